"""`fastgate keys delete`: the question, and what is gone after it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
Create = Callable[..., dict[str, Any]]
Listed = Callable[..., list[dict[str, Any]]]
Execute = Callable[..., None]


def test_delete_asks_where_somebody_can_answer(
    cli: Cli, terminal_cli: TerminalCli, create: Create, listed: Listed
) -> None:
    key_id = create()["key_id"]
    refused = cli("keys", "delete", key_id)
    assert refused.returncode == 2
    assert "-y" in refused.stderr.splitlines()[1]
    code, screen = terminal_cli("keys", "delete", key_id, typed="n\n")
    assert (code, "nothing was changed" in screen) == (1, True)
    assert len(listed()) == 1
    code, screen = terminal_cli("keys", "delete", key_id, "-n")
    assert (code, "deleted" in screen, len(listed())) == (0, False, 1)
    code, screen = terminal_cli("keys", "delete", key_id, typed="y\n")
    assert (code, listed()) == (0, [])
    assert screen.splitlines()[-1] == "deleted 1 key"


def test_delete_with_yes_prints_what_was_deleted(cli: Cli, create: Create, listed: Listed) -> None:
    key_id = create()["key_id"]
    done = cli("keys", "delete", "-y", key_id, "--json")
    assert (json.loads(done.stdout)["key_id"], done.stderr) == (key_id, "")
    assert listed() == []


def test_the_question_tells_of_keys_that_are_in_use(
    terminal_cli: TerminalCli, create: Create, execute: Execute
) -> None:
    used, unused = create("--source", "busy")["key_id"], create("--source", "idle")["key_id"]
    execute("UPDATE api_keys SET last_used_at = created_at WHERE key_id = ?", used)
    _, screen = terminal_cli("keys", "delete", used, unused, typed="n\n")
    assert f"delete {used} (busy, used " in screen
    assert f"s ago), {unused} (idle)? [y/N]" in screen


def test_many_keys_go_by_source_all_or_their_age(
    cli: Cli, create: Create, listed: Listed, execute: Execute
) -> None:
    old, one, two, kept = (create("--source", source)["key_id"] for source in ("a", "b", "b", "c"))
    execute("UPDATE api_keys SET expires_at = created_at WHERE key_id = ?", old)
    for selection, gone in ((["--expired"], [old]), (["--source", "b"], [one, two]), (["--all"], [kept])):
        assert cli("keys", "delete", *selection).returncode == 2
        rows = json.loads(cli("keys", "delete", *selection, "-n", "--json").stdout)
        assert [row["key_id"] for row in rows] == gone
        rows = json.loads(cli("keys", "delete", *selection, "-y", "--json").stdout)
        assert [row["key_id"] for row in rows] == gone
        assert cli("keys", "delete", *selection, "-y", "--json").stdout == "[]\n"
    assert listed() == []


@pytest.mark.parametrize("arguments", [[], ["key_x", "--all"], ["--source", "a", "--expired"]])
def test_which_keys_must_be_clear(cli: Cli, create: Create, arguments: list[str], listed: Listed) -> None:
    create("--source", "a")
    done = cli("keys", "delete", "-y", *arguments)
    assert (done.returncode, done.stderr.startswith("error: which keys?")) == (2, True)
    assert "--expired" in done.stderr
    assert len(listed()) == 1
