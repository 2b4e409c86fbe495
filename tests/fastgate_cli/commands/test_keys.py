"""`fastgate keys`, run as people and scripts run it."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
Create = Callable[..., dict[str, Any]]
Listed = Callable[..., list[dict[str, Any]]]
Execute = Callable[..., None]


def test_reads_without_a_database_say_so_and_create_nothing(cli: Cli, environment: dict[str, str]) -> None:
    for command in (["list"], ["show", "key_x"], ["disable", "--all"], ["delete", "-y", "key_x"]):
        done = cli("keys", *command)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr.startswith("error: ")
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_lists_are_filtered_and_limited(cli: Cli, create: Create, listed: Listed) -> None:
    first, second, third = create("--source", "a"), create("--source", "b"), create("--source", "b")
    cli("keys", "disable", third["key_id"])
    ids = [key["key_id"] for key in (first, second, third)]
    assert cli("keys", "list", "-o", "id").stdout.split() == ids
    assert [row["key_id"] for row in listed("--source", "b")] == ids[1:]
    assert [row["key_id"] for row in listed("--active")] == ids[:2]
    assert [row["key_id"] for row in listed("--disabled")] == ids[2:]
    assert listed("--expired") == []
    assert len(listed("-n", "1")) == 1
    assert cli("keys", "list", "--active", "--expired").returncode == 2


def test_a_pipe_reads_tsv_and_a_spreadsheet_csv(cli: Cli, create: Create) -> None:
    row = create("--source", "=cmd()")
    header, line = cli("keys", "list").stdout.splitlines()
    assert dict(zip(header.split("\t"), line.split("\t"), strict=True))["key_id"] == row["key_id"]
    [record] = csv.DictReader(io.StringIO(cli("keys", "list", "-o", "csv").stdout))
    assert record["source_path"] == "'=cmd()"


def test_an_unknown_key_is_not_found_and_nothing_changes(cli: Cli, create: Create, listed: Listed) -> None:
    key_id = create()["key_id"]
    for command in (["show"], ["disable"], ["enable"], ["delete", "-y"]):
        done = cli("keys", *command, key_id, "key_nosuch")
        assert (done.returncode, done.stdout) == (3, "")
        assert "key_nosuch" in done.stderr.splitlines()[0]
    assert [row["status"] for row in listed()] == ["active"]


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
