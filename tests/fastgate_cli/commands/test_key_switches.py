"""`fastgate keys enable` and `disable`: one, several, or many at once after a question."""

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


def test_keys_are_switched_off_and_on(cli: Cli, create: Create, listed: Listed) -> None:
    first, second = create("--source", "a"), create("--source", "b")
    done = cli("keys", "disable", first["key_id"], "--json")
    assert json.loads(done.stdout)["status"] == "disabled"
    assert [row["status"] for row in listed()] == ["disabled", "active"]
    assert len(json.loads(cli("keys", "disable", "--all", "--json").stdout)) == 2
    assert [row["key_id"] for row in json.loads(cli("keys", "enable", "--source", "b", "--json").stdout)] == [
        second["key_id"]
    ]
    assert [row["status"] for row in listed()] == ["disabled", "active"]


@pytest.mark.parametrize("arguments", [[], ["key_x", "--all"], ["--source", "a", "--all"]])
def test_which_keys_must_be_clear(cli: Cli, create: Create, arguments: list[str]) -> None:
    create()
    done = cli("keys", "disable", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: which keys?")


def test_a_person_is_asked_before_many_keys_change_and_told_how_many(
    terminal_cli: TerminalCli, create: Create, listed: Listed, execute: Execute
) -> None:
    for _ in range(4):
        create("--source", "a")
    off, other = create("--source", "a")["key_id"], create("--source", "b")["key_id"]
    execute("UPDATE api_keys SET is_active = 0 WHERE key_id = ?", off)
    execute("UPDATE api_keys SET last_used_at = created_at WHERE key_id = ?", listed()[0]["key_id"])

    code, screen = terminal_cli("keys", "disable", "--source", "a", typed="n\n")
    assert (code, "disable 4 keys, 1 of them used within the last day? [y/N]" in screen) == (1, True)
    assert [row["status"] for row in listed("--active")] == ["active"] * 5
    code, screen = terminal_cli("keys", "disable", "--source", "a", typed="y\n")
    assert (code, [row["key_id"] for row in listed("--active")]) == (0, [other])
    code, screen = terminal_cli("keys", "enable", "--all", typed="\n")
    assert (code, "enable 5 keys, 1 of them used" in screen) == (1, True)


@pytest.mark.parametrize(
    "arguments", [["disable", "--all", "-y"], ["disable", "--all", "-n"], ["enable", "--all"]]
)
def test_nothing_is_asked_where_the_answer_is_known_or_does_not_matter(
    terminal_cli: TerminalCli, create: Create, listed: Listed, arguments: list[str]
) -> None:
    create()
    code, screen = terminal_cli("keys", *arguments)
    assert (code, "?" in screen) == (0, False)
    assert [row["status"] for row in listed()] == ["disabled" if "-y" in arguments else "active"]


def test_a_key_that_is_named_is_switched_without_a_question(
    terminal_cli: TerminalCli, create: Create, listed: Listed
) -> None:
    key_id = create()["key_id"]
    assert terminal_cli("keys", "disable", key_id)[0] == 0
    assert [row["status"] for row in listed()] == ["disabled"]


def test_a_source_without_keys_is_told_to_a_person_and_is_an_empty_list_for_a_program(
    cli: Cli, terminal_cli: TerminalCli, create: Create
) -> None:
    create()
    assert terminal_cli("keys", "disable", "--source", "nosuch") == (0, "no such keys\n")
    assert cli("keys", "disable", "--source", "nosuch", "--json").stdout == "[]\n"
