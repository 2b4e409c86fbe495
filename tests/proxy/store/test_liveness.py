"""What is in flight is counted by what the rows say, and what was recorded by what the recorder noted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.audit.events import Begin
from proxy.ids import encode_ulid
from proxy.store.database import Database, open_database
from proxy.store.liveness import InFlight, count_in_flight, count_recorded
from proxy.store.log_filter import LogFilter
from proxy.store.retention import Pruner
from tests.proxy.store.rows import begin, record, record_events


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def test_an_empty_trail_has_nothing_in_flight_and_nothing_recorded(database: Database) -> None:
    assert count_in_flight(database) == InFlight(0, 0)
    assert count_recorded(database) == 0


def test_what_has_ended_or_failed_is_not_in_flight(database: Database) -> None:
    begin(database, "waiting")
    begin(database, "streaming", is_stream=True)
    begin(database, "interrupted", error_message="interrupted", is_stream=True)
    record(database, "ended", is_stream=True)
    assert count_in_flight(database) == InFlight(requests=2, streams=1)


def test_a_filter_counts_for_what_is_in_flight(database: Database) -> None:
    begin(database, "of-ci", source_path="ci", is_stream=True)
    begin(database, "of-app", source_path="app")
    assert count_in_flight(database, LogFilter(sources=["app"])) == InFlight(1, 0)


def test_the_index_of_requests_without_an_end_is_used(database: Database) -> None:
    statements: list[str] = []
    database.connection().set_trace_callback(statements.append)
    count_in_flight(database)
    database.connection().set_trace_callback(None)
    (plan,) = database.connection().execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()
    assert "audit_logs_in_flight" in plan[3]


def test_requests_that_were_deleted_still_count_as_recorded(database: Database) -> None:
    ulids = [encode_ulid(1_700_000_000_000 + number, bytes(10)) for number in range(3)]
    record_events(
        database,
        [
            Begin(ulid, turn + 1, 1_700_000_000_000_000, "GET", "/", "::1", None, None, None, None, "", "[]")
            for turn, ulid in enumerate(ulids)
        ],
    )
    assert count_recorded(database) == 3
    database.connection().execute("UPDATE log_facts SET took_ms = 1")
    assert Pruner(database).prune_rows(2_000_000_000_000_000).changed == 3
    assert count_recorded(database) == 3
