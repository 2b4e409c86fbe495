"""`fastgate keys`, run as people and scripts run it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


def test_unused_keys_are_those_that_could_have_been_used_and_were_not(
    cli: Cli, terminal_cli: TerminalCli, create: Create, listed: Listed, execute: Execute
) -> None:
    dormant, busy, new = (create("--source", "a-source-with-a-long-name")["key_id"] for _ in range(3))
    execute("UPDATE api_keys SET created_at = '2020-01-01T00:00:00.000000+08:00' WHERE key_id != ?", new)
    execute("UPDATE api_keys SET last_used_at = expires_at WHERE key_id = ?", busy)
    assert [row["key_id"] for row in listed("--unused", "30d")] == [dormant]
    assert listed("--unused", "30d", "--disabled") == []
    assert cli("keys", "list", "--unused", "30d", "-o", "id").stdout == f"{dormant}\n"
    screen = terminal_cli("keys", "list", "--unused", "30d", env={"NO_COLOR": "1"})[1]
    assert screen.splitlines()[0].split("  ")[0] == "KEY"
    assert "LAST USED" in screen.splitlines()[0]
    assert all(len(line) <= 80 for line in screen.splitlines())


def test_expiring_keys_come_in_the_order_of_their_ends(create: Create, listed: Listed, cli: Cli) -> None:
    create("--expires", "8d")
    create("--expires", "never")
    later, sooner = create("--expires", "6d")["key_id"], create("--expires", "1h")["key_id"]
    assert [row["key_id"] for row in listed("--expiring", "7d")] == [sooner, later]
    assert [row["key_id"] for row in listed("--expiring", "7d", "--active", "-n", "1")] == [sooner]
    for other in ("--disabled", "--expired"):
        assert cli("keys", "list", "--expiring", "7d", other).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--unused", "soon"],
        ["--unused", "2999-01-01"],
        ["--expiring", "2001-01-01"],
        ["--expiring", "99999999d"],
        ["--expiring", ""],
        ["--unused", ""],
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(cli: Cli, create: Create, arguments: list[str]) -> None:
    create()
    done = cli("keys", "list", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_list_of_well_used_keys_fits_80_columns(
    terminal_cli: TerminalCli, create: Create, execute: Execute
) -> None:
    key_id = create("--source", "a-source-with-quite-a-long-name")["key_id"]
    execute("UPDATE api_keys SET usage_count = 123456789, is_active = 0")
    screen = terminal_cli("keys", "list", env={"NO_COLOR": "1"})[1]
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert {key_id, "disabled", "123M"} <= set(screen.split())


def test_sources_sum_up_their_keys(
    cli: Cli, terminal_cli: TerminalCli, create: Create, execute: Execute
) -> None:
    assert cli("keys", "sources").returncode == 4
    create("--source", "b")
    off = create("--source", "b")["key_id"]
    create("--source", "a-source-with-quite-a-long-name-for-a-terminal")
    cli("keys", "disable", off)
    execute("UPDATE api_keys SET usage_count = 7, last_used_at = created_at WHERE source_path = 'b'")
    first, second = json.loads(cli("keys", "sources", "--json").stdout)
    assert (first["keys"], first["last_used_at"]) == (1, None)
    assert second.pop("last_used_at").endswith("+08:00")
    counts = {"keys": 2, "active": 1, "disabled": 1, "expired": 0, "usage_count": 14}
    assert second == {"source_path": "b", **counts}
    assert cli("keys", "sources", "-o", "id").stdout.splitlines()[-1] == "b"
    screen = terminal_cli("keys", "sources", env={"NO_COLOR": "1"})[1]
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert len(screen.splitlines()) == 3
