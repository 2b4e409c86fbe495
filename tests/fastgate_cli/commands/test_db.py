"""`fastgate db`: the state of the database, and its exit codes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_upgrade_creates_the_database_and_status_tells_when(cli: Cli) -> None:
    applied = json.loads(cli("db", "upgrade", "--json").stdout)
    rows = json.loads(cli("db", "status", "--json").stdout)
    assert rows == applied
    assert [set(row) for row in rows] == [{"name", "applied"}] * len(rows)
    assert rows[0]["name"] == "0001_initial"
    assert rows[0]["applied"].endswith("+08:00")
    assert json.loads(cli("db", "upgrade", "--json").stdout) == []


def test_a_pending_migration_is_exit_1_until_it_is_applied(cli: Cli) -> None:
    cli("db", "upgrade")
    path = cli("db", "path").stdout.strip()
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        connection.execute("DELETE FROM schema_migration")
        for (table,) in found:
            if table != "schema_migration":
                connection.execute(f"DROP TABLE {table}")
    connection.close()
    status = cli("db", "status", "--json")
    assert status.returncode == 1
    assert {row["applied"] for row in json.loads(status.stdout)} == {None}
    assert cli("keys", "list").returncode == 4
    dry = cli("db", "upgrade", "-n", "--json")
    assert [row["name"] for row in json.loads(dry.stdout)][:1] == ["0001_initial"]
    assert cli("db", "status").returncode == 1
    assert cli("db", "upgrade").returncode == 0
    assert cli("db", "status").returncode == 0


def test_path_is_one_line_whether_the_file_is_there_or_not(cli: Cli, environment: dict[str, str]) -> None:
    path = Path(environment["XDG_DATA_HOME"]) / "fastgate" / "fastgate.db"
    assert cli("db", "path").stdout == f"{path}\n"
    assert json.loads(cli("db", "path", "--json").stdout) == {"path": str(path)}
    assert not path.exists()


def test_status_without_a_database_is_exit_4(cli: Cli, environment: dict[str, str]) -> None:
    done = cli("db", "status")
    assert (done.returncode, done.stdout) == (4, "")
    assert not Path(environment["XDG_DATA_HOME"]).exists()


def test_a_dry_upgrade_of_nothing_creates_nothing(cli: Cli, environment: dict[str, str]) -> None:
    done = cli("db", "upgrade", "--dry-run", "-o", "id")
    assert done.stdout.split()[0] == "0001_initial"
    assert not Path(environment["XDG_DATA_HOME"]).exists()


@pytest.mark.parametrize(
    "command", [["db", "status"], ["db", "upgrade"], ["keys", "list"], ["keys", "create"]]
)
def test_a_file_that_is_no_database_is_refused_and_untouched(
    cli: Cli, environment: dict[str, str], command: list[str]
) -> None:
    path = Path(environment["XDG_DATA_HOME"]) / "fastgate" / "fastgate.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(garbage := b"not a database at all\n" * 500)
    done = cli(*command)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert path.read_bytes() == garbage
