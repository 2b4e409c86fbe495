"""The third migration: facts of the rows that are there, accounts of their writers, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

from proxy.clock import format_us

FOLDER = Path(__file__).parents[2] / "migrations"
BEGAN_US = 1_769_817_600_123_456
COLUMNS = """
    id, request_id, method, path, request_time, first_response_time, response_time, response_time_ms,
    status_code, is_stream, error_message, api_key, user_agent, gateway_ms, writer_id, sequence
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(peewee.SqliteDatabase(str(tmp_path / "new.db")), str(FOLDER))
    runner.up("0002_data_plane")
    yield runner
    runner.database.close()


@pytest.fixture
def connection(runner: Runner) -> sqlite3.Connection:
    connection: sqlite3.Connection = runner.database.connection()
    return connection


def insert(connection: sqlite3.Connection, name: str, *, at_us: int = BEGAN_US, sequence: int = 1) -> None:
    values = (
        *(f"log_{name}", f"req_{name}", "GET", "/v1/x", format_us(at_us), format_us(at_us + 2_600)),
        *(format_us(at_us + 9_000), 9, 502, 1, "upstream_truncated", "key_1", "curl/8", 0.25, "w", sequence),
    )
    connection.execute(f"INSERT INTO audit_logs ({COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)


def indexes(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


def test_every_row_gets_its_facts_and_every_text_one_number(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    for sequence, name in enumerate("ba", start=1):
        insert(connection, name, sequence=sequence)
    insert(connection, "later", at_us=BEGAN_US + 86_400_000_000, sequence=5)
    runner.up("0003_audit_facts")
    rows = connection.execute(
        "SELECT place, id, status, is_stream, took_ms, ttfb_ms, gateway_us FROM log_facts ORDER BY place"
    ).fetchall()
    later = BEGAN_US + 86_400_000_000
    assert [tuple(row) for row in rows] == [
        (BEGAN_US * 1024, "log_a", 502, 1, 9, 3, 250),
        (BEGAN_US * 1024 + 1, "log_b", 502, 1, 9, 3, 250),
        (later * 1024, "log_later", 502, 1, 9, 3, 250),
    ]
    words = connection.execute("SELECT kind, word, last_day FROM log_words ORDER BY kind").fetchall()
    day = later // 86_400_000_000
    assert [tuple(row) for row in words] == [
        ("error", "upstream_truncated", day),
        ("key", "key_1", day),
        ("method", "GET", day),
        ("path", "/v1/x", day),
        ("text", "/v1/x\n\ncurl/8", day),
    ]
    assert connection.execute("SELECT COUNT(DISTINCT path_n), COUNT(source_n) FROM log_facts").fetchone() == (
        1,
        0,
    )
    assert connection.execute("SELECT * FROM journal_writers").fetchall() == [("w", 5, 3, 0)]


def test_there_and_back_leaves_the_rows_and_the_indexes(
    runner: Runner, connection: sqlite3.Connection
) -> None:
    before = indexes(connection)
    insert(connection, "a")
    rows = connection.execute("SELECT * FROM audit_logs").fetchall()
    runner.up("0003_audit_facts")
    assert "audit_logs_path" not in indexes(connection)
    assert "audit_logs_in_flight" in indexes(connection)
    runner.down("0003_audit_facts")
    assert indexes(connection) == before
    assert connection.execute("SELECT * FROM audit_logs").fetchall() == rows
    runner.up("0003_audit_facts")
    assert connection.execute("SELECT COUNT(*) FROM log_facts").fetchone() == (1,)


def test_an_imported_request_is_looked_up_by_an_index(runner: Runner, connection: sqlite3.Connection) -> None:
    runner.up("0003_audit_facts")
    query = "EXPLAIN QUERY PLAN SELECT id FROM audit_logs WHERE request_id = 'r' AND writer_id IS NULL"
    assert "audit_logs_foreign" in str([tuple(row) for row in connection.execute(query)])
