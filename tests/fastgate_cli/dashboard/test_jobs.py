"""What each job reads is what the store says of its time, and the last hours are as if read at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.board import Opened
from fastgate_cli.dashboard.jobs import (
    HOURS,
    LATEST_ROWS,
    HoursJob,
    LatestJob,
    OpenedJob,
    PictureJob,
    TopJob,
)
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import RANGES, Question, Wish
from fastgate_cli.dashboard.source import Source
from proxy.store.database import Database
from proxy.store.log_filter import LogFilter
from proxy.store.models import AuditLogRow
from proxy.store.routes import NewRoute, add_route
from tests.fastgate_cli.dashboard.boards import NOW
from tests.proxy.store.rows import begin, record

HOUR = timedelta(hours=1)
ERRORS = Wish(Question(RANGES[1], LogFilter(errors=True), "--errors"))


@pytest.fixture
def pace() -> Pace:
    return Pace(1, 1)


def at(database: Database, name: str, ago: timedelta, **columns: Any) -> None:
    record(database, name, request_time=NOW - ago, **columns)


def ids(rows: Iterable[Row]) -> list[str]:
    return [row["id"].removeprefix("log_") for row in rows]


def test_figures_are_of_the_range_and_of_the_filter(database: Database, source: Source, pace: Pace) -> None:
    at(database, "now", timedelta(minutes=1))
    at(database, "failed", timedelta(minutes=20), status_code=502)
    at(database, "old", timedelta(hours=2))
    job = PictureJob(pace)
    requests = [job.read(source, Wish(Question(one)), NOW).figures.requests for one in RANGES[:3]]
    assert requests == [1, 2, 3]
    assert job.read(source, ERRORS, NOW).figures.requests == 1


def test_tables_are_of_the_range_and_of_the_filter_and_know_names(
    database: Database, source: Source, pace: Pace
) -> None:
    row = add_route(database, NewRoute("/v1/*", "127.0.0.1:1", route_name="mock"), NOW)
    at(database, "one", timedelta(minutes=1), route_id=row["route_id"], source_path="ci")
    at(database, "two", timedelta(minutes=30), route_id=row["route_id"], status_code=404, source_path="app")
    (route,) = TopJob("routes", pace).read(source, Wish(Question(RANGES[1])), NOW)
    assert (route["route_name"], route["requests"], route["errors"]) == ("mock", 2, 1)
    (source_row,) = TopJob("sources", pace).read(source, Wish(), NOW)
    assert source_row["source_path"] == "ci"
    assert [row["path"] for row in TopJob("paths", pace).read(source, ERRORS, NOW)] == ["/v1/chat"]
    (error,) = TopJob("errors", pace).read(source, ERRORS, NOW)
    assert error["error"] == "HTTP 404"


def test_the_latest_come_first_and_are_not_all(database: Database, source: Source, pace: Pace) -> None:
    for turn in range(LATEST_ROWS + 1):
        at(database, str(turn), timedelta(seconds=turn), status_code=500 if turn == 7 else 200)
    job = LatestJob(pace)
    assert ids(job.read(source, Wish(), NOW)) == [str(turn) for turn in range(LATEST_ROWS)]
    assert ids(job.read(source, ERRORS, NOW)) == ["7"]


def test_the_hours_are_those_of_the_clock(database: Database, source: Source, pace: Pace) -> None:
    at(database, "this-hour", timedelta(minutes=30))
    at(database, "last-hour", timedelta(minutes=31), status_code=500)
    at(database, "first-hour", 23 * HOUR + timedelta(minutes=30))
    at(database, "too-old", 24 * HOUR)
    hours = HoursJob(UTC, pace).read(source, Wish(), NOW)
    assert len(hours) == HOURS
    assert hours[-1].start == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert [(turn, hour.requests, hour.errors) for turn, hour in enumerate(hours) if hour.requests] == [
        (0, 1, 0),
        (22, 1, 1),
        (23, 1, 0),
    ]


def test_only_hours_that_can_change_are_read_again_until_an_hour_has_passed(
    database: Database, source: Source, pace: Pace
) -> None:
    job = HoursJob(UTC, pace)
    at(database, "this-hour", timedelta(minutes=5))
    at(database, "last-hour", timedelta(minutes=40))
    begin(database, "running", request_time=NOW - timedelta(minutes=50))

    def read(now: datetime, wish: Wish | None = None) -> list[int]:
        return [hour.errors for hour in job.read(source, wish or Wish(), now)[-3:]]

    assert read(NOW) == [0, 0, 0]
    at(database, "late", timedelta(minutes=100), status_code=500)
    database.connection().execute("UPDATE log_facts SET status = 500, took_ms = 1")
    assert read(NOW) == [0, 2, 1]
    at(database, "later", timedelta(minutes=45), status_code=500)
    assert read(NOW) == [0, 2, 1]
    assert read(NOW + HOUR) == [3, 1, 0]
    assert read(NOW + HOUR, ERRORS) == [3, 1, 0]


def test_a_filter_is_for_all_hours(database: Database, source: Source, pace: Pace) -> None:
    job = HoursJob(UTC, pace)
    at(database, "old", 5 * HOUR)
    at(database, "failed", 6 * HOUR, status_code=500)
    assert sum(hour.requests for hour in job.read(source, Wish(), NOW)) == 2
    assert sum(hour.requests for hour in job.read(source, ERRORS, NOW)) == 1


def test_an_opened_request_is_read_whole_and_again_as_long_as_it_is_in_flight(
    database: Database, source: Source, pace: Pace
) -> None:
    begin(database, "one", request_time=NOW, request_body="hello")
    job, wish = OpenedJob(pace), Wish(opened="log_one")
    opened = job.read(source, wish, NOW)
    assert opened.row is not None
    assert (opened.id, opened.row["request_body"]) == ("log_one", "hello")
    assert pace.interval_seconds == 1
    AuditLogRow.update(status_code=200, response_time=NOW).execute(database.peewee)
    assert job.read(source, wish, NOW) != opened
    assert pace.interval_seconds > 60


def test_a_request_that_is_gone_is_no_error(database: Database, source: Source, pace: Pace) -> None:
    assert OpenedJob(pace).read(source, Wish(opened="log_none"), NOW) == Opened("log_none", None)


def test_what_a_job_is_about_is_what_it_reads(pace: Pace) -> None:
    one, other = Wish(Question(RANGES[0])), Wish(Question(RANGES[1]))
    filtered = Wish(Question(RANGES[0], LogFilter(errors=True)))
    for job in (PictureJob(pace), TopJob("paths", pace)):
        assert len({job.find_subject(wish) for wish in (one, other, filtered)}) == 3
    for timeless in (HoursJob(UTC, pace), LatestJob(pace)):
        assert timeless.find_subject(one) == timeless.find_subject(other)
        assert timeless.find_subject(one) != timeless.find_subject(filtered)
    assert OpenedJob(pace).find_subject(one) is None
    assert OpenedJob(pace).find_subject(Wish(opened="log_1")) == "log_1"
