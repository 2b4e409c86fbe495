"""`fastgate keys create`: a secret that is shown once, and values that are checked."""

from __future__ import annotations

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
Create = Callable[..., dict[str, Any]]
Listed = Callable[..., list[dict[str, Any]]]
Execute = Callable[..., None]
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
    "rotated_at",
    "previous_key_hint",
    "previous_expires_at",
    "previous_last_used_at",
    "previous_last_used_ip",
}


def test_create_in_a_pipe_prints_just_the_secret(cli: Cli, listed: Listed) -> None:
    done = cli("keys", "create")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fg_")
    assert len(done.stdout) == len("fg_") + 36 + 1
    [row] = listed()
    assert row["source_path"] == "default"
    assert row["status"] == "active"


def test_json_has_the_secret_here_and_nowhere_else(cli: Cli, create: Create, listed: Listed) -> None:
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
    assert set(listed()[0]) == LIST_FIELDS


def test_a_burst_is_kept_and_shown_where_there_is_room(
    cli: Cli, terminal_cli: TerminalCli, create: Create
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
    create: Create, expires: tuple[str, ...], days: int
) -> None:
    row = create(*expires)
    created, ends = (datetime.fromisoformat(row[field]) for field in ("created_at", "expires_at"))
    assert (ends - created).days == days
    assert ends.utcoffset() == timedelta(hours=8)


def test_never_and_a_default_of_zero_days_mean_no_end(cli: Cli, create: Create, tmp_path: Path) -> None:
    assert create("--expires", "never")["expires_at"] is None
    (tmp_path / "fastgate.yaml").write_text("security: {default_expiry_days: 0}\n")
    assert create()["expires_at"] is None


def test_times_are_shown_in_the_configured_zone(create: Create, tmp_path: Path) -> None:
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
        ["--permission", "PSOT /v1/chat/*"],
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
    cli: Cli, create: Create, environment: dict[str, str], listed: Listed
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
    assert [(key["key_id"], key["status"]) for key in listed()] == [(row["key_id"], "active")]


def test_a_secret_that_was_not_asked_for_is_mentioned(cli: Cli) -> None:
    done = cli("keys", "create", "-o", "id")
    assert done.stdout.startswith("key_")
    assert done.stderr.startswith("note: the secret was not asked for")
