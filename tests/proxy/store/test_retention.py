"""Deleting what is old in small steps: nothing else goes, and what goes is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.clock import to_us
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from proxy.store.models import JournalWriterRow
from proxy.store.retention import Pruned, Pruner, count_prunable, count_unseen
from tests.proxy.store.rows import NOW, begin, insert_rows, names, record

DAY = 86_400
CUTOFF_US = to_us(NOW) - DAY * 1_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def work_off(prune: Callable[[int], Pruned], before_us: int = CUTOFF_US) -> int:
    changed = 0
    while (pruned := prune(before_us)).seen:
        changed += pruned.changed
    return changed


def left(database: Database) -> list[str]:
    return names(list_logs(database, LogFilter(), newest_first=False))


def test_rows_before_the_time_go_and_those_in_flight_stay(database: Database) -> None:
    record(database, "old", second=-2 * DAY)
    begin(database, "running", second=-2 * DAY + 1)
    begin(database, "cut", second=-2 * DAY + 2, error_message="interrupted")
    record(database, "edge", second=-DAY)
    record(database, "new")
    assert count_prunable(database, CUTOFF_US) == 2
    assert work_off(Pruner(database).prune_rows) == 2
    assert left(database) == ["running", "edge", "new"]
    assert count_prunable(database, CUTOFF_US) == 0
    counts = [database.connection().execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in TABLES]
    assert counts == [3, 3]


TABLES = ("audit_logs", "log_facts")


def test_what_was_deleted_is_on_the_account_of_its_writer(database: Database) -> None:
    for writer_id in ("w", "v"):
        JournalWriterRow.insert(writer_id=writer_id, accepted=9, stored=9).execute(database.peewee)
    record(database, "a", second=-2 * DAY, writer_id="v")
    record(database, "b", second=-2 * DAY + 1, writer_id="w")
    record(database, "c", second=-2 * DAY + 2, writer_id="w")
    record(database, "imported", second=-2 * DAY + 3, writer_id=None)
    work_off(Pruner(database).prune_rows)
    pruned = {row["writer_id"]: row["pruned"] for row in database.fetch(JournalWriterRow.select())}
    assert pruned == {"w": 2, "v": 1}


def test_bodies_go_and_the_rest_of_the_row_stays(database: Database) -> None:
    bodies: dict[str, Any] = {"request_body": "q", "response_body": "a"}
    record(database, "old", second=-2 * DAY, request_headers=[["a", "b"]], **bodies)
    record(database, "none", second=-2 * DAY + 1)
    record(database, "new", **bodies)
    assert count_prunable(database, CUTOFF_US, bodies=True) == 1
    assert count_unseen(database, CUTOFF_US) == 2
    pruner = Pruner(database)
    assert work_off(pruner.prune_bodies) == 1
    row = get_log(database, "log_old")
    assert (row["request_body"], row["response_body"], row["request_headers"]) == (None, None, [["a", "b"]])
    assert get_log(database, "log_new")["request_body"] == "q"
    # What has been looked at is not looked at again.
    assert pruner.prune_bodies(CUTOFF_US) == (0, 0)
    assert count_unseen(database, CUTOFF_US) == 0


def test_any_time_can_be_asked_for(database: Database) -> None:
    record(database, "a")
    ages_ago, some_day = -(10**17), 10**17  # years 1 and 5138
    assert count_prunable(database, ages_ago) == work_off(Pruner(database).prune_rows, ages_ago) == 0
    assert count_prunable(database, some_day) == work_off(Pruner(database).prune_rows, some_day) == 1


def test_words_go_once_no_request_has_them(database: Database) -> None:
    record(database, "old", second=-3 * DAY, path="/only/then")
    record(database, "new", path="/now")
    pruner = Pruner(database)
    work_off(pruner.prune_rows)
    assert work_off(pruner.prune_words) > 0
    words = {row[0] for row in database.connection().execute("SELECT word FROM log_words")}
    assert "/now" in words
    assert "/only/then" not in words
    assert names(list_logs(database, LogFilter(path_glob="/now"))) == ["new"]


def test_words_of_a_request_that_is_still_in_flight_stay(database: Database) -> None:
    record(database, "old", second=-3 * DAY, path="/only/then")
    begin(database, "running", second=-3 * DAY, path="/still")
    pruner = Pruner(database)
    work_off(pruner.prune_rows)
    work_off(pruner.prune_words)
    assert names(list_logs(database, LogFilter(path_glob="/still"))) == ["running"]


def test_a_great_many_are_deleted_in_many_small_steps(database: Database) -> None:
    insert_rows(
        database,
        [
            {
                "id": f"log_{number:05}",
                "request_id": f"req_{number:05}",
                "method": "GET",
                "path": "/",
                "request_time": NOW - timedelta(days=2, microseconds=number),
                "response_time_ms": 1,
            }
            for number in range(3_000)
        ],
    )
    pruner, steps = Pruner(database), 0
    while (pruned := pruner.prune_rows(CUTOFF_US)).seen:
        assert pruned.seen <= 2_000
        steps += 1
    assert left(database) == []
    assert steps >= 3
