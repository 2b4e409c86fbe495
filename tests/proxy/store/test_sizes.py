"""How large the trail is: counts that are right, and estimates that are near."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.store.database import Database, open_database
from proxy.store.sizes import SAMPLES_MAX, RowWeight, TrailSize, measure_trail, weigh_rows
from tests.proxy.store.rows import NOW, insert_rows, record

DAY = 86_400


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def test_an_empty_trail_weighs_nothing(database: Database) -> None:
    assert measure_trail(database, NOW) == TrailSize(0, None, None, 0.0)
    assert weigh_rows(database) == RowWeight(0.0, 0.0)


def test_growth_is_that_of_the_last_seven_days(database: Database) -> None:
    for number, day in enumerate((-30, -6, -5, -1, -1)):
        record(database, f"{number}", second=day * DAY + number)
    assert measure_trail(database, NOW) == TrailSize(
        5, NOW + timedelta(days=-30), NOW + timedelta(days=-1, seconds=4), 4 / 7
    )


def test_growth_of_a_young_trail_is_that_of_its_days(database: Database) -> None:
    for number, day in enumerate((-2, -1)):
        record(database, f"{number}", second=day * DAY)
    assert measure_trail(database, NOW).rows_per_day == 1
    # What came within less than a day is a day's.
    assert measure_trail(database, NOW - timedelta(days=1, hours=23)).rows_per_day == 2


def test_headers_and_bodies_are_weighed_in_bytes(database: Database) -> None:
    record(database, "a", request_headers=[["a", "é"]], request_body="ü", response_body="xx")
    record(database, "b", second=1)
    assert weigh_rows(database) == RowWeight(len('[["a","é"]]'.encode()) / 2, 4 / 2)


def test_of_a_long_trail_a_few_are_weighed_and_stand_for_the_rest(database: Database) -> None:
    # Every fourth has a body: a rhythm that a look at every n-th would fall in with.
    rows = [
        {
            "id": f"log_{number:05}",
            "request_id": f"req_{number:05}",
            "method": "GET",
            "path": "/",
            "request_time": NOW + timedelta(microseconds=number),
            "request_body": "x" * 1000 if number % 4 == 0 else None,
        }
        for number in range(8 * SAMPLES_MAX)
    ]
    insert_rows(database, rows)
    looks: list[str] = []
    database.connection().set_trace_callback(looks.append)
    weight = weigh_rows(database)
    assert len(looks) <= SAMPLES_MAX + 10
    assert 150 < weight.bodies < 350
    assert weigh_rows(database) == weight
    # Gaps that retention has left change little.
    database.connection().execute("DELETE FROM audit_logs WHERE rowid < 3000 AND rowid <> 7")
    assert 150 < weigh_rows(database).bodies < 400
