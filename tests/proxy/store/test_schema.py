"""Comparing what a database is made of with what the migrations make."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.store.database import open_database
from proxy.store.models import ApiKeyRow, AuditLogRow
from proxy.store.schema import Difference, build_schema, compare_schemas, list_models, read_schema
from proxy.store.state import known_migrations

NEWEST = known_migrations()[-1]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    open_database(tmp_path / "f.db", create=True).close()
    with closing(sqlite3.connect(tmp_path / "f.db")) as opened:
        yield opened


def differences(connection: sqlite3.Connection, wanted: str = NEWEST) -> list[tuple[str, str, str]]:
    found: list[Difference] = list(compare_schemas(read_schema(connection), build_schema(wanted)))
    return [(difference.state, difference.part.name, difference.column) for difference in found]


def test_a_migrated_database_is_as_the_migrations_make_it(connection: sqlite3.Connection) -> None:
    assert differences(connection) == []
    assert differences(connection, known_migrations()[0]) != []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP INDEX api_keys_source_path", ("missing", "api_keys_source_path", "")),
        ("DROP TRIGGER api_keys_insert", ("missing", "api_keys_insert", "")),
        ("CREATE TABLE mine (x)", ("extra", "mine", "")),
        ("CREATE VIEW seen AS SELECT 1", ("extra", "seen", "")),
        ("CREATE INDEX mine ON api_keys (rate_limit)", ("extra", "mine", "")),
        ("ALTER TABLE api_keys ADD COLUMN mine TEXT", ("extra", "api_keys", "mine")),
        ("ALTER TABLE audit_logs DROP COLUMN gateway_ms", ("missing", "audit_logs", "gateway_ms")),
    ],
)
def test_each_change_is_one_difference(
    connection: sqlite3.Connection, statement: str, expected: tuple[str, str, str]
) -> None:
    connection.execute(statement)
    assert expected in differences(connection)


def test_a_missing_table_needs_no_line_for_each_of_its_indexes(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE journal_segments")
    connection.execute("DROP TABLE gateway_state")
    names = {name for _, name, _ in differences(connection)}
    assert names == {"journal_segments", "gateway_state"}


def test_what_is_declared_otherwise_is_different(connection: sqlite3.Connection) -> None:
    connection.executescript(
        "DROP INDEX api_keys_source_path; CREATE INDEX api_keys_source_path ON api_keys (key_hint);"
        "ALTER TABLE journal_segments RENAME COLUMN name TO old;"
        "ALTER TABLE journal_segments ADD COLUMN name TEXT;"
    )
    found = differences(connection)
    assert ("different", "api_keys_source_path", "") in found
    assert ("different", "journal_segments", "name") in found


def test_blanks_and_quotes_make_no_difference(connection: sqlite3.Connection) -> None:
    connection.executescript(
        "DROP INDEX api_keys_source_path;"
        'CREATE INDEX "api_keys_source_path"\n ON "api_keys" ( "source_path" );'
    )
    assert differences(connection) == []


def test_all_models_are_known() -> None:
    assert {ApiKeyRow, AuditLogRow} < set(list_models())
