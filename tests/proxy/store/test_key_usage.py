"""Requests of a key fall into the bucket of their time, whatever the zone that the buckets are made for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.store.database import Database, open_database
from proxy.store.key_usage import count_requests
from tests.proxy.store.rows import insert_rows

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def add(database: Database, name: str, at: datetime, key_id: str = "key_1", **columns: Any) -> None:
    names = {"id": name, "request_id": name, "api_key": key_id}
    row = {**names, "method": "GET", "path": "/", "request_time": at}
    insert_rows(database, [{**row, **columns}])


def test_every_bucket_is_there_with_its_requests_and_errors(database: Database) -> None:
    starts = [NOON, NOON + HOUR, NOON + 2 * HOUR]
    add(database, "before", NOON - timedelta(microseconds=1), status_code=200)
    add(database, "first", NOON, status_code=200)
    add(database, "refused", NOON + HOUR - timedelta(microseconds=1), status_code=429)
    add(database, "cut", NOON + 2 * HOUR, status_code=200, error_message="client_abort")
    add(database, "in-flight", NOON + 99 * HOUR)
    add(database, "other", NOON, "key_2", status_code=200)
    assert count_requests(database, "key_1", starts) == [
        {"start": starts[0], "requests": 2, "errors": 1},
        {"start": starts[1], "requests": 0, "errors": 0},
        {"start": starts[2], "requests": 2, "errors": 1},
    ]


def test_an_unknown_key_has_made_no_requests(database: Database) -> None:
    assert count_requests(database, "bad\udcff", [NOON]) == [{"start": NOON, "requests": 0, "errors": 0}]


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 7200), min_size=1, max_size=20),
    st.sets(st.integers(0, 100), min_size=1, max_size=6),
    st.integers(0, 59),
)
def test_each_request_is_counted_once_in_the_last_bucket_that_has_begun(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], minutes: set[int], shift: int
) -> None:
    moments = [NOON + timedelta(seconds=second) for second in seconds]
    starts = [NOON + timedelta(minutes=minute + shift) for minute in sorted(minutes)]
    with open_database(tmp_path_factory.mktemp("usage") / "f.db", create=True) as database:
        for number, moment in enumerate(moments):
            add(database, f"r{number}", moment)
        buckets = count_requests(database, "key_1", starts)
    ends = [*starts[1:], None]
    assert [bucket["requests"] for bucket in buckets] == [
        sum(start <= moment and (end is None or moment < end) for moment in moments)
        for start, end in zip(starts, ends, strict=True)
    ]
