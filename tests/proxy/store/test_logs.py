"""The audit trail: filtered, looked up, and followed while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError, NotFoundError
from proxy.store.database import Database, open_database
from proxy.store.logs import LogFilter, LogFollower, get_log, list_logs
from proxy.store.models import AuditLogRow
from proxy.store.routes import NewRoute, add_route

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERYTHING = LogFilter()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def begin(database: Database, name: str, *, second: float = 0, **columns: Any) -> None:
    defaults: dict[str, Any] = {
        "id": f"log_{name}",
        "request_id": f"req_{name}",
        "method": "POST",
        "path": "/v1/chat",
        "request_time": NOW + timedelta(seconds=second),
    }
    with database.transaction():
        AuditLogRow.insert({**defaults, **columns}).execute(database.peewee)


def end(database: Database, name: str, *, second: float = 1, status: int = 200) -> None:
    moment = NOW + timedelta(seconds=second)
    with database.transaction():
        AuditLogRow.update(status_code=status, response_time=moment).where(
            AuditLogRow.id == f"log_{name}"
        ).execute(database.peewee)


def record(database: Database, name: str, *, second: float = 0, **columns: Any) -> None:
    moment = NOW + timedelta(seconds=second + 0.1)
    begin(database, name, second=second, **{"status_code": 200, "response_time": moment, **columns})


def execute(database: Database, statement: str) -> None:
    database.connection().execute(statement)


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"].removeprefix("log_") for row in rows]


def find(database: Database, wanted: LogFilter, **options: Any) -> list[str]:
    return names(list(list_logs(database, wanted, **options)))


def told(rows: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(row["id"].removeprefix("log_"), row["status_code"]) for row in rows]


def test_lists_are_newest_first_and_limited(database: Database) -> None:
    for index, name in enumerate("abcd"):
        record(database, name, second=index)
    assert find(database, EVERYTHING) == ["d", "c", "b", "a"]
    assert find(database, EVERYTHING, limit=2) == ["d", "c"]
    assert find(database, EVERYTHING, limit=2, newest_first=False) == ["a", "b"]
    assert find(database, EVERYTHING, limit=2**70) == ["d", "c", "b", "a"]


def test_a_list_does_without_headers_and_bodies(database: Database) -> None:
    record(database, "a", request_headers=[["x", "y"]], response_body="{}", is_stream=True)
    (row,) = list_logs(database, EVERYTHING)
    assert list(row)[:4] == ["id", "request_id", "api_key", "source_path"]
    assert not {"request_headers", "request_body", "response_headers", "response_body"} & set(row)
    assert row["is_stream"] is True
    assert row["request_time"] == NOW


def test_one_request_is_found_whole_by_either_id(database: Database) -> None:
    record(database, "a", request_headers=[["x", "y"]], request_body="hello")
    row = get_log(database, "log_a")
    assert row == get_log(database, "req_a")
    assert (row["request_headers"], row["request_body"]) == ([["x", "y"]], "hello")
    for ref in ("a", "", "log_", "bad\udcff"):
        with pytest.raises(NotFoundError):
            get_log(database, ref)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(), "chat models refused running"),
        (LogFilter(since=NOW + timedelta(seconds=1)), "models refused running"),
        (LogFilter(until=NOW + timedelta(seconds=1)), "chat"),
        (LogFilter(keys=["key_1", "key_9"]), "chat models"),
        (LogFilter(sources=["ci"]), "models"),
        (LogFilter(routes=["rt_1"]), "chat"),
        (LogFilter(routes=["Models"]), "models"),
        (LogFilter(methods=["get"]), "models"),
        (LogFilter(status=["404"]), "refused"),
        (LogFilter(status=["2xx"]), "chat models"),
        (LogFilter(status=["4XX", "201-299"]), "models refused"),
        (LogFilter(path_glob="/v1/*"), "chat models running"),
        (LogFilter(path_glob="/v1/m?dels"), "models"),
        (LogFilter(stream=True), "chat"),
        (LogFilter(stream=False), "models refused running"),
        (LogFilter(min_ms=100), "chat"),
        (LogFilter(errors=True), "refused"),
        (LogFilter(ip="10.0.0.1"), "chat"),
        (LogFilter(ip="0:0:0:0:0:0:0:1"), "models"),
        (LogFilter(grep="NO_ROUTE"), "refused"),
        (LogFilter(grep="50%"), "models"),
        (LogFilter(grep="curl"), "chat"),
        (LogFilter(keys=["key_1"], methods=["POST"]), "chat"),
        (LogFilter(keys=["bad\udcff"]), ""),
    ],
)
def test_a_filter_lets_through_what_it_says(database: Database, wanted: LogFilter, expected: str) -> None:
    add_route(database, NewRoute("/", "h", route_id="rt_2", route_name="Models"), NOW)
    record(
        database,
        "chat",
        api_key="key_1",
        route_id="rt_1",
        is_stream=True,
        response_time_ms=100,
        ip_address="10.0.0.1",
        user_agent="curl/8",
    )
    record(
        database,
        "models",
        second=1,
        api_key="key_1",
        source_path="ci",
        route_id="rt_2",
        method="GET",
        path="/v1/models",
        status_code=201,
        response_time_ms=99,
        ip_address="::1",
        target_url="http://h/50%25",
    )
    record(database, "refused", second=2, path="/nowhere", status_code=404, error_message="no_route")
    begin(database, "running", second=3)
    assert find(database, wanted, newest_first=False) == expected.split()


@pytest.mark.parametrize(
    "wanted",
    [
        LogFilter(status=["4x"]),
        LogFilter(status=["40"]),
        LogFilter(status=["599-500"]),
        LogFilter(status=["٤٠٤"]),
        LogFilter(status=[""]),
        LogFilter(ip="localhost"),
        LogFilter(path_glob=""),
        LogFilter(path_glob="*a" * 251),
        LogFilter(grep="x" * 501),
        LogFilter(min_ms=2**63),
        LogFilter(min_ms=-1),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_at_once(database: Database, wanted: LogFilter) -> None:
    with pytest.raises(InvalidInputError):
        list_logs(database, wanted)
    with pytest.raises(InvalidInputError):
        LogFollower(database, wanted)


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
    with database.transaction():
        AuditLogRow.insert_many(rows).execute(database.peewee)
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
