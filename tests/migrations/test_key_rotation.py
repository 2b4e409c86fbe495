"""The migration for rotated keys: columns, a digest that is there once, a trigger, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

FOLDER = Path(__file__).parents[2] / "migrations"
NAME = "0004_key_rotation"
KEY = "INSERT INTO api_keys (key_id, key_value) VALUES (?, ?)"


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


def read_schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Return what there is of the table of keys: its columns, its indexes and its triggers."""
    columns = [(row[1], row[2]) for row in connection.execute("PRAGMA table_info(api_keys)")]
    query = "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'api_keys' AND type IN ('index', 'trigger')"
    return columns + sorted(connection.execute(query).fetchall())


def test_keys_that_were_there_have_never_been_rotated(runner: Runner, connection: sqlite3.Connection) -> None:
    connection.execute(KEY, ("k", "d"))
    runner.up(NAME)
    query = "SELECT key_value, rotated_at, previous_key_value, previous_expires_at FROM api_keys"
    assert connection.execute(query).fetchone() == ("d", None, None, None)


def test_a_previous_digest_is_there_once_and_its_absence_as_often_as_need_be(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    runner.up(NAME)
    for name in ("a", "b", "c"):
        connection.execute(KEY, (name, name))
    connection.execute("UPDATE api_keys SET previous_key_value = 'old' WHERE key_id = 'a'")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("UPDATE api_keys SET previous_key_value = 'old' WHERE key_id = 'b'")


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ("previous_key_value = 'old'", True),
        ("previous_expires_at = 'now'", True),
        ("rate_burst = 5", True),
        ("is_active = 0", True),
        ("previous_last_used_at = 'now', previous_last_used_ip = '::1'", False),
        ("usage_count = 5", False),
    ],
)
def test_what_policy_can_see_moves_the_revision_and_a_use_does_not(
    runner: Runner, connection: sqlite3.Connection, change: str, moves: bool
) -> None:
    runner.up(NAME)
    connection.execute(KEY, ("k", "d"))
    before = read_revision(connection)
    connection.execute(f"UPDATE api_keys SET {change}")
    assert read_revision(connection) == before + moves


def test_the_way_back_leaves_the_table_as_it_was_with_its_rows(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    before = read_schema(connection)
    runner.up(NAME)
    connection.execute(KEY, ("k", "d"))
    connection.execute("UPDATE api_keys SET previous_key_value = 'old'")
    assert runner.down() == [NAME]
    assert read_schema(connection) == before
    assert connection.execute("SELECT key_id, key_value FROM api_keys").fetchall() == [("k", "d")]
