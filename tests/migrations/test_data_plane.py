"""The second migration: further columns, a trigger that watches them, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

FOLDER = Path(__file__).parents[2] / "migrations"
KEY = "INSERT INTO api_keys (key_id, key_value) VALUES ('k', 'd')"
ROUTE = "INSERT INTO proxy_routes (route_id, route_name, match_path, target_host) VALUES ('r', 'n', '/', 'h')"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(peewee.SqliteDatabase(str(tmp_path / "new.db")), str(FOLDER))
    runner.up("0001_initial")
    yield runner
    runner.database.close()


@pytest.fixture
def connection(runner: Runner) -> sqlite3.Connection:
    connection: sqlite3.Connection = runner.database.connection()
    return connection


def read_revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM gateway_state").fetchone()[0])


def read_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_rows_that_were_there_get_the_defaults(runner: Runner, connection: sqlite3.Connection) -> None:
    connection.execute(ROUTE)
    runner.up("0002_data_plane")
    row = connection.execute("SELECT balance, http_version, tls_verify, on_client_abort FROM proxy_routes")
    assert row.fetchone() == ("failover", "1.1", 1, "cancel")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE api_keys SET rate_burst = 5",
        "UPDATE api_keys SET is_active = 0",
        "UPDATE proxy_routes SET tls_verify = 0",
        "UPDATE proxy_routes SET priority = 5",
    ],
)
def test_a_change_that_policy_can_see_moves_the_revision(
    runner: Runner, connection: sqlite3.Connection, change: str
) -> None:
    runner.up("0002_data_plane")
    connection.execute(KEY)
    connection.execute(ROUTE)
    before = read_revision(connection)
    connection.execute(change)
    assert read_revision(connection) == before + 1


def test_counting_a_use_does_not(runner: Runner, connection: sqlite3.Connection) -> None:
    runner.up("0002_data_plane")
    connection.execute(KEY)
    before = read_revision(connection)
    connection.execute("UPDATE api_keys SET usage_count = 5")
    assert read_revision(connection) == before


def test_the_way_back_keeps_rows_and_restores_the_trigger(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    columns = {table: read_columns(connection, table) for table in ("api_keys", "proxy_routes")}
    runner.up("0002_data_plane")
    connection.execute(ROUTE)
    assert runner.down() == ["0002_data_plane"]
    assert {table: read_columns(connection, table) for table in columns} == columns
    before = read_revision(connection)
    connection.execute("UPDATE proxy_routes SET priority = 5")
    assert read_revision(connection) == before + 1
