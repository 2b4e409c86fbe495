"""Rows that cannot be read are found, one fault each, and no secret is quoted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.store.database import Database, open_database
from proxy.store.keys import create_key
from proxy.store.row_checks import Fault, check_keys, check_routes, check_state, check_values, is_time, quote

NOW = datetime(2026, 1, 31, tzinfo=UTC)
TIME = "'2026-01-31T08:00:00.000000+08:00'"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as opened:
        create_key(opened, key_prefix="fg_", permissions=["/v1/*"], now=NOW)
        yield opened


def execute(database: Database, *statements: str) -> None:
    with database.transaction():
        for statement in statements:
            database.connection().execute(statement)


def places(faults: Iterator[Fault]) -> list[str]:
    return [f"{fault.place}: {fault.message}" for fault in faults]


def test_sound_rows_have_no_faults(database: Database) -> None:
    for check in (check_values, check_keys, check_routes, check_state):
        assert list(check(database)) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE api_keys SET created_at = 'soon'", "created_at holds 'soon', which is not a time"),
        ("UPDATE api_keys SET expires_at = 5", "expires_at holds 5, which is not a time"),
        ("UPDATE api_keys SET permissions = '{'", "permissions holds something that is not JSON"),
        (
            "INSERT INTO audit_logs (id, request_id, method, path, request_time, request_headers) "
            f"VALUES ('l', 'r', 'GET', '/', {TIME}, 'cookie: secret')",
            "request_headers holds something that is not JSON",
        ),
        (
            "INSERT INTO audit_logs (id, request_id, method, path, request_time) "
            "VALUES ('l', 'r', 'GET', '/', '')",
            "request_time holds '', which is not a time",
        ),
    ],
)
def test_a_value_that_cannot_be_read_is_a_fault(database: Database, statement: str, expected: str) -> None:
    execute(database, statement)
    (fault,) = places(check_values(database))
    assert fault.endswith(expected)
    assert "secret" not in fault


def test_keys_that_share_a_digest_or_have_none(database: Database) -> None:
    execute(
        database,
        "DROP INDEX api_keys_key_value",
        "INSERT INTO api_keys (key_id, key_value) VALUES ('a', 'clear-text'), ('b', 'clear-text')",
    )
    faults = places(check_keys(database))
    assert faults[0] == "api_keys: a and b have the same digest"
    assert faults[1:] == [f"api_keys {key}: what it holds for the secret is no digest" for key in "ab"]
    assert "clear-text" not in repr(faults)


@pytest.mark.parametrize("permissions", ['"x"', "[1]", '["nonsense"]'])
def test_permissions_that_mean_nothing(database: Database, permissions: str) -> None:
    execute(database, f"UPDATE api_keys SET permissions = '{permissions}'")
    assert [fault.endswith("it opens nothing") for fault in places(check_keys(database))] == [True]


def test_a_route_that_is_left_out(database: Database) -> None:
    execute(
        database,
        "INSERT INTO proxy_routes (route_id, route_name, match_path, target_host, remove_headers) "
        "VALUES ('r', 'r', '/', 'h', '{\"a\": 1}')",
    )
    assert places(check_routes(database)) == [
        "proxy_routes r: it is left out: its remove_headers cannot be read"
    ]


def test_a_lost_revision(database: Database) -> None:
    execute(database, "DELETE FROM gateway_state")
    assert places(check_state(database)) == ["gateway_state: it has lost its row"]


def test_what_is_missing_is_no_reason_to_fail(database: Database) -> None:
    execute(database, "DROP TRIGGER api_keys_update", "ALTER TABLE api_keys DROP COLUMN permissions")
    execute(database, "DROP TABLE gateway_state", "DROP TABLE audit_logs", "DROP TABLE proxy_routes")
    for check in (check_values, check_keys, check_routes, check_state):
        assert list(check(database)) == []


def test_times_and_quotes() -> None:
    assert is_time("2026-01-31 08:00:00")
    assert not is_time("2026-02-30 08:00:00")
    assert quote("x" * 100) == "'" + "x" * 39 + "…"
