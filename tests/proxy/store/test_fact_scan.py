"""Facts in bulk: every request of a span once, in pieces of bounded size, whatever is asked of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import SQL, fn

from proxy.errors import DatabaseError
from proxy.store import fact_scan
from proxy.store.database import Database, open_database
from proxy.store.fact_scan import Reading, Span, add_values, read_facts, to_numbers
from proxy.store.models import LogFact

EVERY = SQL("1 = 1")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_database(tmp_path_factory.mktemp("scan") / "f.db", create=True) as database:
        yield database


def fill(database: Database, places: set[int]) -> None:
    """Have a fact at each place, the place as its duration; one in three has none."""
    with database.transaction():
        database.connection().execute("DELETE FROM log_facts")
        for place in places:
            took = place if place % 3 else None
            LogFact.insert(place=place, took_ms=took, request_size=2, id="log").execute(database.peewee)


def read(database: Database, spans: list[Span], condition: object = EVERY) -> list[Reading]:
    values = [LogFact.took_ms, LogFact.place * 10]
    return [*read_facts(database, spans, condition, values, [fn.SUM(LogFact.request_size)])]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.sets(st.integers(0, 60), max_size=40),
    bounds=st.lists(st.integers(-5, 70), min_size=2, max_size=8).map(sorted),
    rows_per_reading=st.integers(1, 20),
)
def test_each_request_of_a_span_is_read_once(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    places: set[int],
    bounds: list[int],
    rows_per_reading: int,
) -> None:
    monkeypatch.setattr(fact_scan, "ROWS_PER_READING", rows_per_reading)
    fill(database, places)
    spans = [*pairwise(bounds)]
    found: dict[int, list[str]] = {number: [] for number in range(len(spans))}
    for reading in read(database, spans):
        took, tens = (text.split(",") if text else [] for text in reading.values)
        assert len(tens) <= rows_per_reading
        assert took == [str(int(ten) // 10) for ten in tens if int(ten) % 3]
        assert reading.totals == [2 * len(tens)]
        found[reading.span] += tens
    for (low, high), tens in zip(spans, found.values(), strict=True):
        assert tens == [str(place * 10) for place in sorted(places) if low <= place < high]


def test_what_a_condition_keeps_out_is_not_read(database: Database) -> None:
    fill(database, {1, 2, 4, 5})
    (reading,) = read(database, [(0, 9)], LogFact.place > 3)
    assert reading == (0, ["4,5", "40,50"], [4])
    (reading,) = read(database, [(0, 9)], LogFact.place > 7)
    assert reading == (0, ["", ""], [0])


def test_of_nothing_nothing_is_read(database: Database) -> None:
    fill(database, set())
    assert read(database, [(0, 9), (9, 99)]) == []


@pytest.mark.parametrize("taken", [1, 100])
def test_the_thread_that_reads_ahead_ends_with_the_reading(
    database: Database, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(fact_scan, "ROWS_PER_READING", 1)
    fill(database, set(range(20)))
    before = threading.active_count()
    readings = read_facts(database, [(0, 99)], EVERY, [LogFact.place])
    for _, _reading in zip(range(taken), readings, strict=False):
        assert threading.active_count() >= before
    readings.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_what_goes_wrong_in_the_thread_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_scan, "ROWS_PER_READING", 1)
    fill(database, {1, 2, 3})
    with pytest.raises(DatabaseError, match="no such column"):
        [*read_facts(database, [(0, 9)], SQL("nonsense"), [LogFact.place])]


@given(st.lists(st.integers(-(10**6), 10**6), max_size=50), st.integers(1, 40))
def test_values_are_counted_whatever_the_steps(numbers: list[int], step: int) -> None:
    counts = Counter[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fact_scan, "_CHARACTERS_PER_STEP", step)
        add_values(counts, ",".join(map(str, numbers)))
        add_values(counts, "")
    assert to_numbers(counts) == Counter(numbers)


def test_what_is_no_number_is_told(database: Database) -> None:
    fill(database, {1})
    database.connection().execute("UPDATE log_facts SET took_ms = 'soon'")
    (reading,) = read(database, [(0, 9)])
    counts = Counter[str]()
    add_values(counts, reading.values[0])
    with pytest.raises(DatabaseError, match="not a number"):
        to_numbers(counts)
