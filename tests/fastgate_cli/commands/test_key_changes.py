"""`fastgate keys update`: only what is given, all keys or none, and never more rights than were meant."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from proxy.settings.model import REQUESTS_MAX

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
Create = Callable[..., dict[str, Any]]
Listed = Callable[..., list[dict[str, Any]]]
Execute = Callable[..., None]


@pytest.fixture
def update(cli: Cli) -> Callable[..., dict[str, Any]]:
    """Change one key and return what was written."""

    def run(*arguments: str) -> dict[str, Any]:
        done = cli("keys", "update", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        row: dict[str, Any] = json.loads(done.stdout)
        return row

    return run


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("key", *names)}


def test_only_what_is_given_changes_and_what_was_written_is_printed(
    create: Create, update: Create, listed: Listed
) -> None:
    before = create("--source", "a", "--permission", "/v1/*", "--rate-limit", "5", "--burst", "2")
    after = update(before["key_id"], "--source", "b", "--rate-limit", "7")
    assert after == {**without(before), "source_path": "b", "rate_limit": 7}
    assert listed() == [after]


def test_a_limit_may_be_as_high_as_in_a_document(create: Create, update: Create, cli: Cli) -> None:
    most, more = str(REQUESTS_MAX), str(REQUESTS_MAX + 1)
    row = create("--rate-limit", most, "--burst", most)
    assert (row["rate_limit"], row["rate_burst"]) == (REQUESTS_MAX, REQUESTS_MAX)
    assert update(row["key_id"], "--burst", "7", "--rate-limit", most)["rate_limit"] == REQUESTS_MAX
    document = f"keys: [{{key_id: k, rate_limit: {most}, rate_burst: {most}}}]"
    assert cli("apply", "-f", "-", "--dry-run", input=document).returncode == 0
    assert cli("apply", "-f", "-", "--dry-run", input=document.replace(most, more)).returncode == 2
    for option in ("--rate-limit", "--burst"):
        assert cli("keys", "create", option, more).returncode == 2
        assert cli("keys", "update", row["key_id"], option, more).returncode == 2


def test_limits_go_back_to_the_configured_default_and_an_end_away(create: Create, update: Create) -> None:
    before = create("--rate-limit", "5", "--burst", "2")
    after = update(before["key_id"], "--rate-limit", "default", "--burst", "default", "--expires", "never")
    assert [after[name] for name in ("rate_limit", "rate_burst", "expires_at")] == [None, None, None]
    assert update(before["key_id"], "--rate-limit", "0")["rate_limit"] == 0


def test_a_key_whose_time_was_over_works_again_with_a_new_one(
    create: Create, update: Create, execute: Execute, listed: Listed
) -> None:
    key_id = create()["key_id"]
    execute("UPDATE api_keys SET expires_at = created_at")
    assert [row["status"] for row in listed()] == ["expired"]
    row = update(key_id, "--expires", "90d")
    assert row["status"] == "active"
    ends, made = (datetime.fromisoformat(row[name]) for name in ("expires_at", "created_at"))
    assert (ends - made).days == 90


@pytest.mark.parametrize(
    ("options", "after"),
    [
        (["--permission", "/v2/*"], ["/v2/*"]),
        (["--permission", "/b", "--permission", "/a", "--permission", "/b"], ["/b", "/a"]),
        (["--add-permission", "route:x"], ["/v1/*", "model:q*", "route:x"]),
        (["--add-permission", "/v1/*"], ["/v1/*", "model:q*"]),
        (["--add-permission", "/v2/*", "--remove-permission", "/v1/*"], ["model:q*", "/v2/*"]),
        (["--no-permissions"], []),
    ],
)
def test_permissions_are_replaced_added_removed_or_taken_away(
    create: Create, update: Create, options: list[str], after: list[str]
) -> None:
    key_id = create("--permission", "/v1/*", "--permission", "model:q*")["key_id"]
    assert update(key_id, *options)["permissions"] == after


@pytest.mark.parametrize("entry", ["/v1/*", "model:q*"])
def test_the_last_permission_of_a_kind_is_not_removed_since_none_allows_everything(
    cli: Cli, create: Create, listed: Listed, entry: str
) -> None:
    key_id = create("--permission", "/v1/*", "--permission", "model:q*")["key_id"]
    done = cli("keys", "update", key_id, "--remove-permission", entry)
    assert done.returncode == 2
    assert f"{key_id}: without '{entry}' the key might use every" in done.stderr
    assert listed()[0]["permissions"] == ["/v1/*", "model:q*"]


def test_a_first_permission_that_takes_rights_away_is_told(cli: Cli, create: Create) -> None:
    key_id = create()["key_id"]
    done = cli("keys", "update", key_id, "--add-permission", "/v1/*")
    assert done.returncode == 0
    assert done.stderr == f"note: {key_id} might use every route until now, and no longer may\n"
    assert cli("keys", "update", key_id, "--add-permission", "/v2/*").stderr == ""


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--source", ""],
        ["--permission", "nonsense"],
        ["--add-permission", "nonsense"],
        ["--add-permission", "PSOT /v1/chat/*"],
        ["--remove-permission", "/nosuch"],
        ["--permission", "/a", "--no-permissions"],
        ["--permission", "/a", "--add-permission", "/b"],
        ["--no-permissions", "--remove-permission", "/v1/*"],
        ["--rate-limit", "many"],
        ["--rate-limit", "0"],
        ["--burst", "-1"],
        ["--expires", "yesterday"],
        ["--expires", "soon"],
        ["--source", "b", "--fields", "nosuch"],
        ["--source", "b", "--rate-limit", "99999999999"],
    ],
)
def test_a_bad_value_is_one_error_and_changes_no_key(
    cli: Cli, create: Create, listed: Listed, options: list[str]
) -> None:
    keys = [create("--permission", "/v1/*")["key_id"], create("--burst", "5")["key_id"]]
    before = listed()
    done = cli("keys", "update", *keys, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert listed() == before


def test_a_limit_and_a_burst_that_contradict_each_other_name_the_key_and_the_way_out(
    cli: Cli, create: Create
) -> None:
    bursting, unlimited = create("--burst", "5")["key_id"], create("--rate-limit", "0")["key_id"]
    error = cli("keys", "update", bursting, "--rate-limit", "0").stderr
    assert (bursting in error, "--burst default" in error) == (True, True)
    error = cli("keys", "update", unlimited, "--burst", "5").stderr
    assert (unlimited in error, "--rate-limit default" in error) == (True, True)
    assert cli("keys", "update", bursting, "--rate-limit", "0", "--burst", "default").returncode == 0


def test_a_missing_key_or_database_is_told_and_nothing_changes(
    cli: Cli, create: Create, listed: Listed
) -> None:
    assert cli("keys", "update", "key_x", "--source", "b").returncode == 4
    key_id = create()["key_id"]
    done = cli("keys", "update", key_id, "key_nosuch", "--source", "b")
    assert (done.returncode, done.stdout) == (3, "")
    assert listed()[0]["source_path"] == "default"


def test_permissions_that_cannot_be_read_can_only_be_replaced(
    cli: Cli, create: Create, update: Create, execute: Execute
) -> None:
    key_id = create("--permission", "/v1/*")["key_id"]
    for text in ("{oops", "[1]"):
        execute("UPDATE api_keys SET permissions = ?", text)
        done = cli("keys", "update", key_id, "--add-permission", "/v2/*")
        assert (done.returncode, "cannot be read" in done.stderr) == (2, True)
    assert update(key_id, "--permission", "/v2/*")["permissions"] == ["/v2/*"]


def test_a_method_that_was_stored_before_it_was_judged_keeps_nothing_from_changing(
    cli: Cli, create: Create, update: Create, execute: Execute
) -> None:
    key_id = create("--permission", "/v1/*")["key_id"]
    execute("UPDATE api_keys SET permissions = ?", '["PSOT /v1/*"]')
    assert update(key_id, "--add-permission", "POST /v1/*")["permissions"] == ["PSOT /v1/*", "POST /v1/*"]
    assert update(key_id, "--remove-permission", "PSOT /v1/*")["permissions"] == ["POST /v1/*"]
    assert cli("db", "check").returncode == 0


def test_a_dry_run_shows_what_would_be_and_writes_nothing(cli: Cli, create: Create, listed: Listed) -> None:
    key_id = create()["key_id"]
    done = cli("keys", "update", key_id, "-n", "--json", "--source", "b")
    assert json.loads(done.stdout)["source_path"] == "b"
    assert done.stderr == "dry run: nothing was written\n"
    assert listed()[0]["source_path"] == "default"


def test_several_keys_are_a_list_and_a_terminal_shows_what_changed_within_80_columns(
    cli: Cli, terminal_cli: TerminalCli, create: Create
) -> None:
    keys = [create("--source", "a-source-with-a-long-name")["key_id"] for _ in range(2)]
    rows = json.loads(cli("keys", "update", *keys, "--burst", "5", "--json").stdout)
    assert [(row["key_id"], row["rate_burst"]) for row in rows] == [(key_id, 5) for key_id in keys]
    changes = ["--permission", "/a-long/path/*", "--rate-limit", "999999", "--burst", "999999"]
    code, screen = terminal_cli(
        "keys", "update", *keys, *changes, "--expires", "2030-01-01", env={"NO_COLOR": "1"}
    )
    lines = screen.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert lines[0].split() == ["KEY", "SOURCE", "PERMISSI…", "RPM", "BURST", "EXPIRES"]
    assert all(len(line) <= 80 and key_id in line for line, key_id in zip(lines[1:], keys, strict=True))
