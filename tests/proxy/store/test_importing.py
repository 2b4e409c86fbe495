"""Rows made elsewhere are written in bulk, and what clashes with them is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.store.database import Database, open_database
from proxy.store.importing import (
    LOG_COLUMNS,
    LOGS_PER_CHUNK,
    delete_logs,
    find_key_clashes,
    find_logged,
    find_route_clashes,
    insert_logs,
    last_log_number,
)
from proxy.store.keys import create_key
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from proxy.store.routes import NewRoute, add_route

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as opened:
        yield opened


def make_log(number: int, **changes: object) -> dict[str, Any]:
    plain = {
        "id": f"log_{number:05}",
        "request_id": f"req_{number}",
        "method": "GET",
        "path": "/",
        "request_time": NOW,
    }
    return {**dict.fromkeys(LOG_COLUMNS), **plain, "error_message": "interrupted", **changes}


def test_rows_are_inserted_as_they_leave_the_store(database: Database) -> None:
    row = make_log(1, request_headers=[["a", "b"]], response_time=NOW, is_stream=True, status_code=200)
    with database.transaction():
        assert insert_logs(database, [row]) == 1
    assert get_log(database, "req_1") == row


def test_any_number_of_rows_is_inserted_without_being_kept(database: Database) -> None:
    with database.transaction():
        assert (
            insert_logs(database, (make_log(n) for n in range(LOGS_PER_CHUNK * 2 + 1)))
            == LOGS_PER_CHUNK * 2 + 1
        )
        assert insert_logs(database, []) == 0
    assert len(list(list_logs(database, LogFilter()))) == LOGS_PER_CHUNK * 2 + 1


def test_requests_are_found_and_deleted_by_their_ids(database: Database) -> None:
    with database.transaction():
        insert_logs(database, [make_log(1), make_log(2)])
        last = last_log_number(database)
        insert_logs(database, [make_log(3), make_log(4, request_id="req_1")])
        ids = [f"req_{n}" for n in range(1200)]
        assert find_logged(database, ids) == {"req_1", "req_2", "req_3"}
        assert find_logged(database, ids, up_to=last) == {"req_1", "req_2"}
        assert delete_logs(database, ["req_1"]) == 2
    assert find_logged(database, ids) == {"req_2", "req_3"}


def test_an_empty_audit_trail_has_no_last_row(database: Database) -> None:
    assert last_log_number(database) == 0


def test_a_key_clashes_by_its_id_and_by_its_digest(database: Database) -> None:
    row, _ = create_key(database, key_prefix="fg_", value="the-same-key", now=NOW)
    digest = database.connection().execute("SELECT key_value FROM api_keys").fetchone()[0]
    assert find_key_clashes(database, {"key_id": row["key_id"], "key_value": "x"}) == [row["key_id"]]
    assert find_key_clashes(database, {"key_id": "x", "key_value": digest}) == [row["key_id"]]
    assert find_key_clashes(database, {"key_id": "x", "key_value": "x"}) == []


@pytest.mark.parametrize(
    ("route_id", "name", "clashes"),
    [("r", "x", True), ("n", "x", True), ("x", "r", True), ("x", "n", True), ("x", "x", False)],
)
def test_a_route_clashes_with_whatever_could_be_meant_instead(
    database: Database, route_id: str, name: str, clashes: bool
) -> None:
    add_route(database, NewRoute("/", "h", route_id="r", route_name="n"), NOW)
    found = find_route_clashes(database, {"route_id": route_id, "route_name": name})
    assert found == (["r"] if clashes else [])
