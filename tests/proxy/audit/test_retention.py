"""What retention deletes and when: a little at each call, and then it rests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.audit.retention import REST_SECONDS, Retention, RetentionPolicy
from proxy.clock import to_us
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from tests.proxy.store.rows import NOW, names, record

DAY = 86_400
NOW_US = to_us(NOW)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        for days in (0, 2, 5, 9):
            record(database, f"d{days}", second=-days * DAY - 60, request_body="q")
        yield database


def left(database: Database) -> list[str]:
    return names(list_logs(database, LogFilter()))


def test_nothing_goes_unless_it_is_asked_for(database: Database) -> None:
    assert Retention().work(database, NOW_US) == 0
    assert left(database) == ["d0", "d2", "d5", "d9"]


def test_rows_and_bodies_have_terms_of_their_own(database: Database) -> None:
    assert Retention(RetentionPolicy(days=7, body_days=3)).work(database, NOW_US) == 2
    assert left(database) == ["d0", "d2", "d5"]
    bodies = [get_log(database, f"log_{name}")["request_body"] for name in left(database)]
    assert bodies == ["q", "q", None]


def test_bodies_alone_can_have_a_term(database: Database) -> None:
    Retention(RetentionPolicy(body_days=1)).work(database, NOW_US)
    assert left(database) == ["d0", "d2", "d5", "d9"]
    bodies = [get_log(database, f"log_{name}")["request_body"] for name in left(database)]
    assert bodies == ["q", None, None, None]


def test_once_everything_old_is_gone_it_rests_for_a_while(database: Database) -> None:
    seconds = [0.0]
    retention = Retention(RetentionPolicy(days=1), monotonic=lambda: seconds[0])
    assert retention.work(database, NOW_US) == 3
    record(database, "late", second=-4 * DAY)
    assert retention.work(database, NOW_US) == 0
    seconds[0] += REST_SECONDS
    assert retention.work(database, NOW_US) == 1


def test_a_call_ends_when_its_time_is_over_and_the_next_goes_on(database: Database) -> None:
    clock = iter(range(1000))
    retention = Retention(RetentionPolicy(days=1), monotonic=lambda: float(next(clock)))
    assert retention.work(database, NOW_US) == 0  # each look at the clock is a second
    assert len(left(database)) == 4
    seconds = [0.0]
    calm = Retention(RetentionPolicy(days=1), monotonic=lambda: seconds[0])
    assert calm.work(database, NOW_US) == 3
