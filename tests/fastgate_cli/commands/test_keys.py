"""`fastgate keys`, run as people and scripts run it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
LIST_FIELDS = {
    "key_id",
    "key_hint",
    "source_path",
    "status",
    "permissions",
    "rate_limit",
    "rate_burst",
    "created_at",
    "expires_at",
    "is_active",
    "usage_count",
    "last_used_at",
}


@pytest.fixture
def create(cli: Cli) -> Callable[..., dict[str, Any]]:
    """Create a key and return its row, the secret among it."""

    def run(*arguments: str) -> dict[str, Any]:
        done = cli("keys", "create", "--json", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        row: dict[str, Any] = json.loads(done.stdout)
        return row

    return run


def listed(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    done = cli("keys", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_create_in_a_pipe_prints_just_the_secret(cli: Cli) -> None:
    done = cli("keys", "create")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fg_")
    assert len(done.stdout) == len("fg_") + 36 + 1
    [row] = listed(cli)
    assert row["source_path"] == "default"
    assert row["status"] == "active"


def test_json_has_the_secret_here_and_nowhere_else(cli: Cli, create: Callable[..., dict[str, Any]]) -> None:
    row = create(
        "--source", "mobile", "--permission", "/v1/*", "--permission", "route:a*", "--rate-limit", "60"
    )
    assert set(row) == LIST_FIELDS | {"key"}
    assert (row["source_path"], row["permissions"], row["rate_limit"]) == (
        "mobile",
        ["/v1/*", "route:a*"],
        60,
    )
    for arguments in (
        ["list"],
        ["list", "-o", "wide"],
        ["list", "--json"],
        ["show", row["key_id"], "--json"],
    ):
        assert row["key"] not in cli("keys", *arguments).stdout
    assert set(listed(cli)[0]) == LIST_FIELDS


def test_a_burst_is_kept_and_shown_where_there_is_room(
    cli: Cli, terminal_cli: TerminalCli, create: Callable[..., dict[str, Any]]
) -> None:
    row = create("--rate-limit", "600", "--burst", "20")
    assert (row["rate_limit"], row["rate_burst"]) == (600, 20)
    assert create()["rate_burst"] is None
    wide = {"COLUMNS": "200", "NO_COLOR": "1"}
    assert "BURST" in terminal_cli("keys", "list", "-o", "wide", env=wide)[1].splitlines()[0].split()
    assert "BURST" not in terminal_cli("keys", "list", env=wide)[1]


@pytest.mark.parametrize(
    ("expires", "days"), [((), 365), (("--expires", "90d"), 90), (("--expires", "1h"), 0)]
)
def test_a_key_expires_when_asked_or_as_configured(
    create: Callable[..., dict[str, Any]], expires: tuple[str, ...], days: int
) -> None:
    row = create(*expires)
    created, ends = (datetime.fromisoformat(row[field]) for field in ("created_at", "expires_at"))
    assert (ends - created).days == days
    assert ends.utcoffset() == timedelta(hours=8)


def test_never_and_a_default_of_zero_days_mean_no_end(
    cli: Cli, create: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    assert create("--expires", "never")["expires_at"] is None
    (tmp_path / "fastgate.yaml").write_text("security: {default_expiry_days: 0}\n")
    assert create()["expires_at"] is None


def test_times_are_shown_in_the_configured_zone(
    create: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "fastgate.yaml").write_text('app: {timezone: "-03:30"}\n')
    row = create("--expires", "2099-01-01")
    assert row["expires_at"] == "2099-01-01T00:00:00.000000-03:30"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--expires", "yesterday"],
        ["--expires", "2001-01-01"],
        ["--expires", "soon"],
        ["--expires", ""],
        ["--expires", "99999999d"],
        ["--rate-limit", "99999999999999999999"],
        ["--burst", "-1"],
        ["--burst", "99999999999999999999"],
        ["--rate-limit", "0", "--burst", "5"],
        ["--permission", ""],
        ["--permission", "v1"],
        ["--source", ""],
        ["--source", "a\x1b[31mb"],
        ["--fields", "nosuch"],
    ],
)
def test_bad_input_is_one_error_line_and_creates_nothing(cli: Cli, arguments: list[str]) -> None:
    done = cli("keys", "create", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] in (["error"], ["error", "hint"])
    assert "\x1b" not in done.stderr
    assert cli("keys", "list", "-o", "id").stdout == ""


def test_an_own_key_is_read_from_stdin(cli: Cli) -> None:
    done = cli("keys", "create", "--value-stdin", "--json", input="sk-my-own-key-1234567890\n")
    assert json.loads(done.stdout)["key"] == "sk-my-own-key-1234567890"
    again = cli("keys", "create", "--value-stdin", input="sk-my-own-key-1234567890")
    assert again.returncode == 2
    assert "sk-my-own-key" not in again.stdout + again.stderr


@pytest.mark.parametrize("value", ["", "short", "with space in it", "clé-non-ascii", "x" * 600])
def test_an_own_key_that_cannot_be_sent_is_refused_and_not_shown(cli: Cli, value: str) -> None:
    done = cli("keys", "create", "--value-stdin", input=value)
    assert (done.returncode, done.stdout) == (2, "")
    assert not value or value not in done.stderr


def test_a_dry_run_writes_nothing_and_shows_no_secret(
    cli: Cli, create: Callable[..., dict[str, Any]], environment: dict[str, str]
) -> None:
    done = cli("keys", "create", "--dry-run", "--source", "trial")
    assert "trial" in done.stdout
    assert not re.search(r"fg_[0-9A-Za-z]{36}", done.stdout)
    assert done.stderr == "dry run: nothing was written\n"
    assert not Path(environment["XDG_DATA_HOME"]).exists()
    row = create()
    assert cli("keys", "create", "-n", "--json").returncode == 0
    assert cli("keys", "disable", row["key_id"], "-n").returncode == 0
    assert cli("keys", "delete", row["key_id"], "-n").returncode == 0
    assert [(key["key_id"], key["status"]) for key in listed(cli)] == [(row["key_id"], "active")]


def test_reads_without_a_database_say_so_and_create_nothing(cli: Cli, environment: dict[str, str]) -> None:
    for command in (["list"], ["show", "key_x"], ["disable", "--all"], ["delete", "-y", "key_x"]):
        done = cli("keys", *command)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("error: ")
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_lists_are_filtered_and_limited(cli: Cli, create: Callable[..., dict[str, Any]]) -> None:
    first, second, third = create("--source", "a"), create("--source", "b"), create("--source", "b")
    cli("keys", "disable", third["key_id"])
    ids = [key["key_id"] for key in (first, second, third)]
    assert cli("keys", "list", "-o", "id").stdout.split() == ids
    assert [row["key_id"] for row in listed(cli, "--source", "b")] == ids[1:]
    assert [row["key_id"] for row in listed(cli, "--active")] == ids[:2]
    assert [row["key_id"] for row in listed(cli, "--disabled")] == ids[2:]
    assert listed(cli, "--expired") == []
    assert len(listed(cli, "-n", "1")) == 1
    assert cli("keys", "list", "--active", "--expired").returncode == 2


def test_a_pipe_reads_tsv_and_a_spreadsheet_csv(cli: Cli, create: Callable[..., dict[str, Any]]) -> None:
    row = create("--source", "=cmd()")
    header, line = cli("keys", "list").stdout.splitlines()
    assert dict(zip(header.split("\t"), line.split("\t"), strict=True))["key_id"] == row["key_id"]
    [record] = csv.DictReader(io.StringIO(cli("keys", "list", "-o", "csv").stdout))
    assert record["source_path"] == "'=cmd()"


def test_keys_are_switched_off_and_on(cli: Cli, create: Callable[..., dict[str, Any]]) -> None:
    first, second = create("--source", "a"), create("--source", "b")
    done = cli("keys", "disable", first["key_id"], "--json")
    assert json.loads(done.stdout)["status"] == "disabled"
    assert [row["status"] for row in listed(cli)] == ["disabled", "active"]
    assert len(json.loads(cli("keys", "disable", "--all", "--json").stdout)) == 2
    assert [row["key_id"] for row in json.loads(cli("keys", "enable", "--source", "b", "--json").stdout)] == [
        second["key_id"]
    ]
    assert [row["status"] for row in listed(cli)] == ["disabled", "active"]


@pytest.mark.parametrize("arguments", [[], ["key_x", "--all"], ["--source", "a", "--all"]])
def test_which_keys_must_be_clear(
    cli: Cli, create: Callable[..., dict[str, Any]], arguments: list[str]
) -> None:
    create()
    done = cli("keys", "disable", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: which keys?")


def test_an_unknown_key_is_not_found_and_nothing_changes(
    cli: Cli, create: Callable[..., dict[str, Any]]
) -> None:
    key_id = create()["key_id"]
    for command in (["show"], ["disable"], ["enable"], ["delete", "-y"]):
        done = cli("keys", *command, key_id, "key_nosuch")
        assert (done.returncode, done.stdout) == (3, "")
        assert "key_nosuch" in done.stderr.splitlines()[0]
    assert [row["status"] for row in listed(cli)] == ["active"]


def test_delete_asks_where_somebody_can_answer(
    cli: Cli, terminal_cli: TerminalCli, create: Callable[..., dict[str, Any]]
) -> None:
    key_id = create()["key_id"]
    refused = cli("keys", "delete", key_id)
    assert refused.returncode == 2
    assert "-y" in refused.stderr.splitlines()[1]
    code, screen = terminal_cli("keys", "delete", key_id, typed="n\n")
    assert (code, "nothing was changed" in screen) == (1, True)
    assert len(listed(cli)) == 1
    code, screen = terminal_cli("keys", "delete", key_id, typed="y\n")
    assert (code, listed(cli)) == (0, [])


def test_delete_with_yes_prints_what_was_deleted(cli: Cli, create: Callable[..., dict[str, Any]]) -> None:
    key_id = create()["key_id"]
    assert json.loads(cli("keys", "delete", "-y", key_id, "--json").stdout)["key_id"] == key_id
    assert listed(cli) == []


def test_a_terminal_shows_the_secret_in_a_panel_and_keys_in_a_table(
    terminal_cli: TerminalCli,
) -> None:
    code, screen = terminal_cli(
        "keys", "create", "--source", "a-source-with-quite-a-long-name", env={"NO_COLOR": "1"}
    )
    assert code == 0
    assert "│  fg_" in screen
    assert "Shown once" in screen
    code, screen = terminal_cli("keys", "list")
    lines = screen.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert "\x1b[32mactive" in lines[1]
    code, screen = terminal_cli("keys", "list", env={"NO_COLOR": "1"})
    assert "\x1b" not in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert "│" not in screen


def test_a_secret_that_was_not_asked_for_is_mentioned(cli: Cli) -> None:
    done = cli("keys", "create", "-o", "id")
    assert done.stdout.startswith("key_")
    assert done.stderr.startswith("note: the secret was not asked for")
