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
