"""`fastgate keys rotate`: a new secret once, the old one for a while, and the truth about both."""

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
SECRET = re.compile(r"fg_[0-9A-Za-z]{36}")


def rotate(cli: Cli, *arguments: str, input: str = "") -> dict[str, Any]:
    done = cli("keys", "rotate", "--json", *arguments, input=input)
    assert (done.returncode, done.stderr) == (0, "")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def grace_of(row: dict[str, Any]) -> timedelta:
    ends, rotated = (datetime.fromisoformat(row[name]) for name in ("previous_expires_at", "rotated_at"))
    return ends - rotated


def test_a_pipe_gets_just_the_new_secret(cli: Cli, create: Create, listed: Listed) -> None:
    created = create("--source", "ci")
    done = cli("keys", "rotate", created["key_id"])
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET.fullmatch(done.stdout.removesuffix("\n"))
    assert created["key"] not in done.stdout
    [row] = listed()
    assert row["previous_key_hint"] == created["key_hint"]
    assert row["key_hint"] == f"{done.stdout[:4]}…{done.stdout[-5:-1]}"


def test_json_has_the_new_secret_and_the_rest_of_the_key_is_as_it_was(cli: Cli, create: Create) -> None:
    created = create("--source", "ci", "--permission", "/v1/*", "--rate-limit", "5")
    row = rotate(cli, created["key_id"])
    changed = {name for name in row if row[name] != created[name]}
    assert changed == {"key", "key_hint", "rotated_at", "previous_key_hint", "previous_expires_at"}


@pytest.mark.parametrize(
    ("options", "hours"), [([], 24), (["--grace", "7d"], 168), (["--grace", "0"], 0), (["--grace", "0s"], 0)]
)
def test_the_old_secret_has_its_grace(cli: Cli, create: Create, options: list[str], hours: int) -> None:
    row = rotate(cli, create()["key_id"], *options)
    assert grace_of(row) == timedelta(hours=hours)


def test_a_second_rotation_within_the_grace_says_that_the_oldest_secret_ends(
    cli: Cli, create: Create
) -> None:
    created = create()
    rotate(cli, created["key_id"])
    done = cli("keys", "rotate", created["key_id"], "--grace", "0")
    assert done.stderr.splitlines() == [
        f"note: the secret before that, {created['key_hint']}, still works, and ends with this"
    ]
    assert cli("keys", "rotate", created["key_id"]).stderr == ""


def test_an_own_secret_is_read_from_stdin_and_must_be_nobodys(cli: Cli, create: Create) -> None:
    key_id, other = create()["key_id"], create()
    own = "sk-my-own-key-1234567890"
    assert rotate(cli, key_id, "--value-stdin", input=f"{own}\n")["key"] == own
    assert cli("keys", "rotate", key_id).returncode == 0
    for taken in (own, other["key"]):
        for command in (["rotate", other["key_id"]], ["create"]):
            done = cli("keys", *command, "--value-stdin", input=taken)
            assert (done.returncode, done.stdout) == (2, "")
            assert taken not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["key_nosuch"], 3),
        (["KEY", "--grace", "soon"], 2),
        (["KEY", "--grace", "-1h"], 2),
        (["KEY", "--grace", "366d"], 2),
        (["KEY", "--grace", "99999999999d"], 2),
        (["KEY", "--value-stdin"], 2),
        (["KEY", "--fields", "nosuch"], 2),
        (["KEY", "KEY"], 2),
    ],
)
def test_what_cannot_be_done_is_one_error_and_changes_nothing(
    cli: Cli, create: Create, listed: Listed, arguments: list[str], code: int
) -> None:
    key_id = create()["key_id"]
    before = listed()
    done = cli("keys", "rotate", *[key_id if word == "KEY" else word for word in arguments])
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert listed() == before


def test_without_a_database_there_is_nothing_to_rotate(cli: Cli, environment: dict[str, str]) -> None:
    assert cli("keys", "rotate", "key_x").returncode == 4
    assert not Path(environment["XDG_DATA_HOME"]).exists()


@pytest.mark.parametrize("output", [[], ["--json"], ["-o", "table"]])
def test_a_dry_run_shows_no_secret_and_leaves_the_old_one_alone(
    cli: Cli, create: Create, listed: Listed, output: list[str]
) -> None:
    key_id = create()["key_id"]
    before = listed()
    done = cli("keys", "rotate", key_id, "-n", *output)
    assert (done.returncode, done.stderr) == (0, "dry run: nothing was written\n")
    assert "previous_expires_at" in done.stdout
    assert not SECRET.search(done.stdout)
    assert listed() == before


@pytest.mark.parametrize(
    ("change", "command"),
    [("is_active = 0", "keys enable"), ("expires_at = created_at", "keys update")],
)
def test_a_key_that_does_not_work_gets_its_secret_and_a_hint(
    cli: Cli, create: Create, execute: Execute, change: str, command: str
) -> None:
    key_id = create()["key_id"]
    execute(f"UPDATE api_keys SET {change}")
    done = cli("keys", "rotate", key_id)
    assert SECRET.search(done.stdout)
    assert done.stderr.startswith("note: the key is ")
    assert f"{command} {key_id}" in done.stderr


def test_a_terminal_shows_a_panel_with_both_secrets_fates(
    cli: Cli, terminal_cli: TerminalCli, create: Create
) -> None:
    created = create("--source", "ci")
    plain = {"NO_COLOR": "1"}
    code, screen = terminal_cli("keys", "rotate", created["key_id"], "--grace", "2h", env=plain)
    assert code == 0
    assert SECRET.search(screen)
    assert f"old secret  {created['key_hint']} works until 20" in screen
    assert f"key         {created['key_id']}" in screen
    screen = terminal_cli("keys", "rotate", created["key_id"], "--grace", "0", env=plain)[1]
    assert re.search(r"old secret  \S+ has ended", screen)
