"""Figures equal those that are worked out from the requests one by one, whatever the requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.metrics import read_buckets, read_now
from proxy.store.models import Row
from tests.proxy.store.rows import NOW
from tests.proxy.store.traffic import (
    between,
    figures_of,
    is_error,
    is_in_flight,
    ranking_of,
    recorded,
    traffic,
)

HOUR = timedelta(hours=1)
SINCE, UNTIL = NOW - HOUR, NOW + HOUR


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_database(tmp_path_factory.mktemp("metrics") / "f.db", create=True) as database:
        yield database


def top_of(rows: list[Row], name: str) -> list[tuple[int, int]]:
    """Return the sizes of groups and how many errors each has, the largest first."""
    groups = ranking_of(rows, name).values()
    return sorted(((len(group), sum(map(is_error, group))) for group in groups), reverse=True)


@settings(max_examples=100)
@given(rows=traffic, rows_per_reading=st.integers(1, 40), minutes=st.integers(1, 90))
def test_a_picture_has_the_figures_of_its_requests(
    database: Database, rows: list[Row], rows_per_reading: int, minutes: int
) -> None:
    length = timedelta(minutes=minutes)
    starts = [SINCE - timedelta(minutes=1) + length * number for number in range(-(-121 // minutes))]
    with recorded(database, rows, rows_per_reading):
        picture = read_now(database, SINCE, UNTIL, starts=starts)
    inside = between(rows, SINCE, UNTIL)
    assert asdict(picture.figures) == figures_of(inside)
    assert picture.requests_per_minute == round(len(inside) / 120, 2)
    for tops, name in ((picture.top_paths, "path"), (picture.top_sources, "source_path")):
        assert sorted(((top["requests"], top["errors"]) for top in tops), reverse=True) == top_of(
            inside, name
        )
        assert {top[name]: top["requests"] for top in tops} == {
            value: len(group) for value, group in ranking_of(inside, name).items()
        }
    for (start, group), end in zip(picture.intervals, [*starts[1:], UNTIL], strict=True):
        part = between(inside, start, end)
        counts = (len(part), sum(map(is_error, part)), sum(map(is_in_flight, part)))
        assert (group.requests, group.errors, group.in_flight) == counts
        assert group.streams == sum(row["is_stream"] for row in part)


@settings(max_examples=60)
@given(
    rows=traffic,
    rows_per_reading=st.integers(1, 40),
    minutes=st.lists(st.integers(-130, 130), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_a_bucket_has_the_figures_of_its_requests(
    database: Database, rows: list[Row], rows_per_reading: int, minutes: list[int]
) -> None:
    *starts, end = [NOW + timedelta(minutes=minute) for minute in minutes]
    with recorded(database, rows, rows_per_reading):
        buckets = read_buckets(database, starts, end)
    assert [bucket.start for bucket in buckets] == starts
    assert [asdict(bucket.figures) for bucket in buckets] == [
        figures_of(between(rows, start, stop)) for start, stop in pairwise([*starts, end])
    ]


@settings(max_examples=40)
@given(rows=traffic)
def test_a_filter_chooses_the_requests(database: Database, rows: list[Row]) -> None:
    wanted = LogFilter(keys=["key_1"], sources=["ci", "app"], since=UNTIL)
    with recorded(database, rows, 7):
        picture = read_now(database, SINCE, UNTIL, wanted=wanted)
        (bucket,) = read_buckets(database, [SINCE], UNTIL, wanted=wanted)
    expected = figures_of(
        [row for row in between(rows, SINCE, UNTIL) if row["api_key"] == "key_1" and row["source_path"]]
    )
    assert asdict(picture.figures) == asdict(bucket.figures) == expected


def test_the_largest_are_told_and_no_more(database: Database) -> None:
    rows = [
        {**dict.fromkeys(("method", "status_code")), "path": f"/{number}", "request_time": NOW}
        for number in range(5)
        for _ in range(number + 1)
    ]
    with recorded(database, rows, 100):
        picture = read_now(database, SINCE, UNTIL, top=2)
    assert picture.top_paths == [
        {"path": "/4", "requests": 5, "errors": 0},
        {"path": "/3", "requests": 4, "errors": 0},
    ]
    assert picture.top_sources == []
    assert picture.intervals == []


def test_times_that_no_place_can_say_are_no_fault(database: Database) -> None:
    rows = [{"path": "/", "request_time": NOW, "status_code": 200, "response_time_ms": 3}]
    first, last = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    with recorded(database, rows, 100):
        assert read_now(database, first, last).figures.status_codes == {200: 1}
        assert [bucket.figures.requests for bucket in read_buckets(database, [first, NOW], last)] == [0, 1]


def test_a_status_that_is_none_is_no_status(database: Database) -> None:
    rows = [
        {"path": "/", "request_time": NOW, "status_code": status, "response_time_ms": 1}
        for status in (-5, 0, 99, 100, 999, 1000, 2**63 - 1)
    ]
    with recorded(database, rows, 100):
        figures = read_now(database, SINCE, UNTIL).figures
    assert figures.status_codes == {100: 1, 999: 1}
    assert (figures.requests, figures.errors) == (7, 3)


def test_a_filter_that_cannot_be_meant_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInputError):
        read_now(database, SINCE, UNTIL, wanted=LogFilter(status=["4x"]))
    with pytest.raises(InvalidInputError):
        read_buckets(database, [SINCE], UNTIL, wanted=LogFilter(ip="localhost"))


def test_sums_of_more_than_a_reading_are_whole(database: Database) -> None:
    rows = [
        {"path": "/", "request_time": NOW + timedelta(seconds=second), "response_time_ms": second}
        for second in range(100)
    ]
    with recorded(database, rows, 9):
        figures = read_now(database, SINCE, UNTIL).figures
    assert figures.requests == 100
    assert (figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.avg_ms) == (49, 94, 98, 49.5)
