"""`fastgate keys delete`: the question, and what is gone after it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

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
    code, screen = terminal_cli("keys", "delete", key_id, typed="y\n")
    assert (code, listed()) == (0, [])


def test_delete_with_yes_prints_what_was_deleted(cli: Cli, create: Create, listed: Listed) -> None:
    key_id = create()["key_id"]
    assert json.loads(cli("keys", "delete", "-y", key_id, "--json").stdout)["key_id"] == key_id
    assert listed() == []
