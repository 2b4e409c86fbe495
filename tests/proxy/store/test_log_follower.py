"""Following the audit trail while it grows: nothing is missed, nothing is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.log_follower import LogFollower
from proxy.store.models import AuditLogRow
from tests.proxy.store.rows import NOW, begin, insert_rows, names, record

EVERYTHING = LogFilter()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def end(database: Database, name: str, *, second: float = 1, status: int = 200) -> None:
    ended = AuditLogRow.update(status_code=status, response_time=NOW + timedelta(seconds=second))
    with database.transaction():
        ended.where(AuditLogRow.id == f"log_{name}").execute(database.peewee)


def execute(database: Database, statement: str) -> None:
    database.connection().execute(statement)


def told(rows: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(row["id"].removeprefix("log_"), row["status_code"]) for row in rows]


def test_following_begins_with_the_last_rows_oldest_first(database: Database) -> None:
    for index, name in enumerate("abcd"):
        record(database, name, second=index)
    follower = LogFollower(database, EVERYTHING)
    assert names(follower.start(2)) == ["c", "d"]
    assert follower.poll() == []
    assert names(LogFollower(database, EVERYTHING).start(0)) == ["a", "b", "c", "d"]


def test_a_request_is_told_when_it_begins_and_when_it_ends(database: Database) -> None:
    follower = LogFollower(database, EVERYTHING)
    assert follower.start(10) == []
    begin(database, "long", second=0)
    assert told(follower.poll()) == [("long", None)]
    assert follower.poll() == []
    record(database, "short", second=1)
    assert told(follower.poll()) == [("short", 200)]
    end(database, "long", second=9)
    assert told(follower.poll()) == [("long", 200)]
    assert follower.poll() == []


def test_a_request_in_flight_at_the_start_is_told_when_it_ends(database: Database) -> None:
    begin(database, "old", second=-100)
    for index in range(3):
        record(database, f"n{index}", second=index)
    follower = LogFollower(database, EVERYTHING)
    assert names(follower.start(2)) == ["n1", "n2"]
    end(database, "old", second=5)
    assert told(follower.poll()) == [("old", 200)]


def test_an_interrupted_request_has_ended(database: Database) -> None:
    begin(database, "cut")
    follower = LogFollower(database, EVERYTHING)
    follower.start(10)
    with database.transaction():
        execute(database, "UPDATE audit_logs SET error_message = 'interrupted'")
    assert [row["error_message"] for row in follower.poll()] == ["interrupted"]
    assert follower.poll() == []


def test_a_row_that_is_committed_late_is_not_missed(database: Database) -> None:
    record(database, "first", second=100)
    follower = LogFollower(database, EVERYTHING)
    follower.start(10)
    record(database, "earlier", second=1)
    assert names(follower.poll()) == ["earlier"]


def test_what_happened_between_two_polls_comes_in_order_of_time(database: Database) -> None:
    begin(database, "long", second=0)
    follower = LogFollower(database, EVERYTHING)
    follower.start(10)
    record(database, "after", second=8)
    record(database, "before", second=2)
    end(database, "long", second=5)
    assert names(follower.poll()) == ["before", "long", "after"]


def test_a_filter_on_the_outcome_is_applied_at_the_end(database: Database) -> None:
    follower = LogFollower(database, LogFilter(status=["5xx"]))
    follower.start(10)
    begin(database, "bad")
    begin(database, "good")
    assert follower.poll() == []
    end(database, "bad", status=502)
    end(database, "good", status=200)
    assert told(follower.poll()) == [("bad", 502)]


def test_a_burst_is_told_whole_in_bounded_pieces(database: Database) -> None:
    follower = LogFollower(database, EVERYTHING)
    follower.start(10)
    rows = [
        {"id": f"log_{n:04}", "request_id": "r", "method": "GET", "path": "/", "request_time": NOW}
        for n in range(1500)
    ]
    insert_rows(database, rows)
    pieces = [names(follower.poll()) for _ in range(3)]
    assert [len(piece) for piece in pieces] == [1000, 500, 0]
    assert len({name for piece in pieces for name in piece}) == 1500


def test_no_more_requests_are_remembered_than_allowed(database: Database) -> None:
    follower = LogFollower(database, EVERYTHING, in_flight_max=2)
    follower.start(10)
    for name in "abc":
        begin(database, name)
    assert sorted(names(follower.poll())) == ["a", "b", "c"]
    for name in "abc":
        end(database, name)
    assert len(follower.poll()) == 2


def test_pruning_and_vacuum_neither_repeat_nor_lose(database: Database) -> None:
    for index in range(10):
        record(database, f"n{index}", second=index)
    follower = LogFollower(database, EVERYTHING)
    follower.start(1)
    execute(database, "DELETE FROM audit_logs WHERE id < 'log_n8'")
    execute(database, "VACUUM")
    record(database, "new", second=20)
    assert names(follower.poll()) == ["new"]
    execute(database, "DELETE FROM audit_logs WHERE id = 'log_new'")
    record(database, "newer", second=21)
    assert names(follower.poll()) == ["newer"]
    execute(database, "DELETE FROM audit_logs")
    assert follower.poll() == []
    record(database, "newest", second=22)
    assert names(follower.poll()) == ["newest"]


def test_the_place_is_found_again_although_its_row_is_gone_too(database: Database) -> None:
    for index in range(10):
        record(database, f"n{index}", second=index)
    follower = LogFollower(database, EVERYTHING)
    follower.start(1)
    execute(database, "DELETE FROM audit_logs WHERE id IN ('log_n0', 'log_n9')")
    execute(database, "VACUUM")
    record(database, "new", second=20)
    record(database, "newer", second=21)
    assert names(follower.poll()) == ["new", "newer"]


def test_it_goes_on_in_a_database_that_took_the_place_of_the_other(
    database: Database, tmp_path: Path
) -> None:
    for index in range(3):
        record(database, f"n{index}", second=index)
    follower = LogFollower(database, EVERYTHING)
    follower.start(1)
    with open_database(tmp_path / "other.db", create=True) as other:
        # A restored backup knows the first two; rows that come late are told, whatever their numbers.
        for name, second in (("n0", 0), ("n1", 1), ("x", 10), ("y", 11), ("z", 12)):
            record(other, name, second=second)
        execute(other, "DELETE FROM audit_logs WHERE rowid = 3")
        follower.resume(other)
        assert names(follower.poll()) == ["y", "z"]
        record(other, "last", second=13)
        assert names(follower.poll()) == ["last"]


def test_what_is_in_flight_is_found_by_an_index(database: Database) -> None:
    statements: list[str] = []
    database.connection().set_trace_callback(statements.append)
    LogFollower(database, EVERYTHING).start(10)
    database.connection().set_trace_callback(None)
    plans = [
        row[3]
        for statement in statements
        if "SELECT" in statement
        for row in database.connection().execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert any("audit_logs_in_flight" in plan for plan in plans)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["begin", "end", "record", "poll"]), max_size=30))
def test_every_beginning_seen_and_every_end_is_told_once(database: Database, steps: list[str]) -> None:
    with database.transaction():
        execute(database, "DELETE FROM audit_logs")
    follower = LogFollower(database, EVERYTHING)
    follower.start(10)
    running: list[str] = []
    ended: list[str] = []
    seen: list[tuple[str, int | None]] = []
    for second, step in enumerate([*steps, "poll"]):
        name = f"{second:02}"
        if step == "begin":
            begin(database, name, second=second)
            running.append(name)
        elif step == "record":
            record(database, name, second=second)
            ended.append(name)
        elif step == "end" and running:
            ended.append(running.pop(0))
            end(database, ended[-1], second=second)
        elif step == "poll":
            seen += told(follower.poll())
    assert sorted(name for name, status in seen if status) == sorted(ended)
    assert len(seen) == len(set(seen))
    assert {name for name, status in seen if not status} >= set(running)
