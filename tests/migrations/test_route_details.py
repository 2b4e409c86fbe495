"""The migration for three flags of a route: their defaults, a trigger that watches them, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

FOLDER = Path(__file__).parents[2] / "migrations"
NAME = "0005_route_details"
FLAGS = ("pass_credential", "encoded_slash", "keep_redirects")
ROUTE = "INSERT INTO proxy_routes (route_id, route_name, match_path, target_host) VALUES ('r', 'n', '/', 'h')"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(peewee.SqliteDatabase(str(tmp_path / "new.db")), str(FOLDER))
    earlier = sorted(script.stem for script in FOLDER.glob("[0-9]*.py") if script.stem < NAME)
    runner.up(earlier[-1])
    yield runner
    runner.database.close()


@pytest.fixture
def connection(runner: Runner) -> sqlite3.Connection:
    connection: sqlite3.Connection = runner.database.connection()
    return connection


def read_revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM gateway_state").fetchone()[0])


def read_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return [(row[1], row[2]) for row in connection.execute("PRAGMA table_info(proxy_routes)")]


def test_routes_that_were_there_have_none_of_them(runner: Runner, connection: sqlite3.Connection) -> None:
    connection.execute(ROUTE)
    runner.up(NAME)
    row = connection.execute(f"SELECT {', '.join(FLAGS)} FROM proxy_routes").fetchone()
    assert row == (0, 0, 0)


@pytest.mark.parametrize("column", [*FLAGS, "priority", "tls_verify", "targets", "created_at"])
def test_a_change_that_policy_can_see_moves_the_revision(
    runner: Runner, connection: sqlite3.Connection, column: str
) -> None:
    runner.up(NAME)
    connection.execute(ROUTE)
    before = read_revision(connection)
    connection.execute(f"UPDATE proxy_routes SET {column} = 1")
    assert read_revision(connection) == before + 1


def test_the_way_back_keeps_rows_and_restores_the_trigger(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    columns = read_columns(connection)
    connection.execute(ROUTE)
    runner.up(NAME)
    assert runner.down() == [NAME]
    assert read_columns(connection) == columns
    assert connection.execute("SELECT count(*) FROM proxy_routes").fetchone() == (1,)
    before = read_revision(connection)
    connection.execute("UPDATE proxy_routes SET tls_verify = 0")
    assert read_revision(connection) == before + 1
