"""Groups: a number says which one a request belongs to and what became of it, and comes apart again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.database import Database, open_database
from proxy.store.groups import Group, choose_largest, count_groups, tag_errors, tag_group
from proxy.store.models import LogFact


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"status": 200, "took_ms": 1}, Group(1)),
        ({"status": 399, "took_ms": 1, "is_stream": True}, Group(1, streams=1)),
        ({"status": 400, "took_ms": 1}, Group(1, errors=1)),
        ({"status": 200, "took_ms": 1, "error_n": 7}, Group(1, errors=1)),
        ({"error_n": 7}, Group(1, errors=1)),
        ({}, Group(1, in_flight=1)),
        ({"is_stream": True, "ttfb_ms": 3}, Group(1, in_flight=1, streams=1)),
    ],
)
@pytest.mark.parametrize("number", [5, 0, -404])
def test_a_request_is_told_by_one_number(
    database: Database, columns: dict[str, int], expected: Group, number: int
) -> None:
    LogFact.insert(place=1, id="log", path_n=number, **columns).execute(database.peewee)
    query = LogFact.select(tag_group(LogFact.path_n)).bind(database.peewee)
    assert count_groups({query.scalar(): 1}) == {number: expected}
    query = LogFact.select(tag_errors(LogFact.path_n)).bind(database.peewee)
    assert count_groups({query.scalar(): 1}) == {number: Group(1, errors=expected.errors)}


def test_groups_are_counted() -> None:
    tags = {16: 3, 17: 2, 20: 1, 24: 4, 30: 5}
    assert count_groups(tags) == {2: Group(6, errors=2, streams=1), 3: Group(9, in_flight=5, streams=5)}


@given(st.dictionaries(st.integers(-100, 100), st.integers(1, 99), max_size=12), st.integers(1, 5))
def test_several_groups_become_one(tags: dict[int, int], width: int) -> None:
    apart, together = count_groups(tags), count_groups(tags, lambda number: number // width)
    assert {number // width for number in apart} == set(together)
    for number, group in together.items():
        parts = [one for which, one in apart.items() if which // width == number]
        assert group == Group(*map(sum, zip(*parts, strict=True)))


def test_the_largest_come_first_and_those_of_one_size_in_their_order() -> None:
    sized = {4: Group(1), 3: Group(2), 2: Group(2), 1: Group(0)}
    assert choose_largest(sized, 3) == [2, 3, 4]
    assert choose_largest(sized, 0) == [2, 3, 4, 1]


def test_what_is_in_flight_is_neither_a_success_nor_an_error() -> None:
    assert Group(10, errors=1, in_flight=6).success_rate == 75.0
    assert Group(3, in_flight=3).success_rate is None
