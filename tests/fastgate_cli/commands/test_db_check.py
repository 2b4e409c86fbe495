"""`fastgate db check`: exit codes and output; what it finds is tested in the store."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]


@pytest.fixture
def database(cli: Cli) -> Path:
    cli("keys", "create")
    return Path(cli("db", "path").stdout.strip())


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_a_sound_database_is_exit_0(cli: Cli, database: Path) -> None:
    done = cli("db", "check", "--json")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [], "")


def test_a_fault_is_exit_1_and_one_line(cli: Cli, database: Path) -> None:
    execute(database, "DROP INDEX api_keys_source_path")
    done = cli("db", "check")
    assert done.returncode == 1
    header, line = done.stdout.splitlines()
    assert header.split("\t") == ["check", "place", "message", "hint"]
    assert line.split("\t")[:3] == ["schema", "api_keys", "the index api_keys_source_path is missing"]
    (fault,) = json.loads(cli("db", "check", "--json").stdout)
    assert set(fault) == {"check", "place", "message", "hint"}


def test_pending_migrations_are_a_fault(cli: Cli, database: Path) -> None:
    cli("db", "downgrade", "-y")
    done = cli("db", "check", "--json")
    assert done.returncode == 1
    assert [fault["check"] for fault in json.loads(done.stdout)] == ["migrations"]


def test_damage_is_a_fault_and_what_is_no_database_an_error(cli: Cli, database: Path) -> None:
    os.truncate(database, 8192)
    assert cli("db", "check").returncode == 1
    database.write_bytes(garbage := b"not a database\n" * 500)
    done = cli("db", "check")
    assert (done.returncode, done.stdout) == (4, "")
    assert database.read_bytes() == garbage


def test_without_a_database_it_is_exit_4(cli: Cli, environment: dict[str, str]) -> None:
    assert cli("db", "check").returncode == 4
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_a_person_is_told_that_all_is_well(database: Path, terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("db", "check")
    assert code == 0
    assert "no faults found" in screen
