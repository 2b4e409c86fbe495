"""The first migration: the contract's columns, triggers that move the revision, and the way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

FOLDER = Path(__file__).parents[2] / "migrations"
CONTRACT = {
    "api_keys": "key_id key_value source_path permissions created_at expires_at is_active usage_count "
    "rate_limit last_used_at key_hint",
    "audit_logs": "id request_id api_key source_path method path target_url status_code request_time "
    "first_response_time response_time response_time_ms request_size response_size user_agent ip_address "
    "is_stream stream_chunks error_message request_headers request_body response_headers response_body "
    "created_at route_id gateway_ms writer_id sequence",
    "proxy_routes": "route_id route_name description match_path match_method match_headers "
    "match_body_schema target_host target_path target_protocol strip_path_prefix add_headers "
    "add_body_fields remove_headers timeout retry_count is_active priority created_at updated_at",
    "gateway_state": "id revision",
    "journal_segments": "name offset",
}
KEY = "INSERT INTO api_keys (key_id, key_value) VALUES ('k', 'd')"
ROUTE = "INSERT INTO proxy_routes (route_id, route_name, match_path, target_host) VALUES ('r', 'n', '/', 'h')"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    database = peewee.SqliteDatabase(str(tmp_path / "new.db"))
    runner = Runner(database, str(FOLDER))
    runner.up("0001_initial")
    yield runner
    database.close()


@pytest.fixture
def connection(runner: Runner) -> sqlite3.Connection:
    connection: sqlite3.Connection = runner.database.connection()
    return connection


def read_revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM gateway_state").fetchone()[0])


@pytest.mark.parametrize("table", CONTRACT)
def test_a_table_has_the_columns_of_the_contract_in_its_order(
    connection: sqlite3.Connection, table: str
) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    assert columns == CONTRACT[table].split()


def test_types_are_those_of_the_seed(connection: sqlite3.Connection) -> None:
    types = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(audit_logs)")}
    assert types["id"] == "VARCHAR(50)"
    assert types["path"] == "VARCHAR(500)"
    assert types["request_time"] == "DATETIME"
    assert types["is_stream"] == "BOOLEAN"
    assert types["response_body"] == "TEXT"


def test_the_file_is_marked_as_fastgates(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"FGAT"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_keys SET is_active = 0",
        "UPDATE api_keys SET expires_at = '2026-01-01'",
        "UPDATE api_keys SET permissions = '[]'",
        "UPDATE api_keys SET rate_limit = 1",
        "DELETE FROM api_keys",
        "INSERT INTO api_keys (key_id, key_value) VALUES ('k2', 'd2')",
        "UPDATE proxy_routes SET priority = 1",
        "UPDATE proxy_routes SET add_headers = '{}'",
        "DELETE FROM proxy_routes",
    ],
)
def test_a_change_that_policy_sees_moves_the_revision(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(KEY)
    connection.execute(ROUTE)
    before = read_revision(connection)
    connection.execute(statement)
    assert read_revision(connection) == before + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE api_keys SET usage_count = usage_count + 1, last_used_at = '2026-01-01'",
        "UPDATE proxy_routes SET description = 'x', updated_at = '2026-01-01'",
        "INSERT INTO audit_logs (id, request_id, method, path, request_time) "
        "VALUES ('l', 'r', 'GET', '/', '')",
    ],
)
def test_use_and_audit_leave_the_revision_alone(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(KEY)
    connection.execute(ROUTE)
    before = read_revision(connection)
    connection.execute(statement)
    assert read_revision(connection) == before


def test_there_is_one_row_of_gateway_state(connection: sqlite3.Connection) -> None:
    assert connection.execute("SELECT id, revision FROM gateway_state").fetchall() == [(1, 1)]
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO gateway_state VALUES (2, 1)")


def test_two_keys_never_share_a_digest(connection: sqlite3.Connection) -> None:
    connection.execute(KEY)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO api_keys (key_id, key_value) VALUES ('k2', 'd')")


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("request_id = 'r'", "audit_logs_request_id"),
        ("api_key = 'k' ORDER BY request_time", "audit_logs_api_key"),
        ("path = '/' ORDER BY request_time", "audit_logs_path"),
        ("writer_id = 'w' AND response_time IS NULL AND error_message IS NULL", "audit_logs_in_flight"),
    ],
)
def test_what_is_looked_for_often_has_an_index(
    connection: sqlite3.Connection, condition: str, index: str
) -> None:
    plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM audit_logs WHERE {condition}").fetchall()
    assert f"INDEX {index} " in plan[0][3]
    assert len(plan) == 1


def test_down_leaves_nothing_behind(runner: Runner, connection: sqlite3.Connection) -> None:
    assert runner.down() == ["0001_initial"]
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE sql IS NOT NULL")}
    assert {name for name in names if not name.startswith("schema_migration")} == set()
    assert runner.up()[0] == "0001_initial"
