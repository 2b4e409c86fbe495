"""Priorities for a wanted order: always that order, and never more changes than it takes."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.renumbering import PRIORITY_MAX, Place, renumber


def is_in_order(places: list[Place], priorities: list[int]) -> bool:
    keys = [(priority, place.tie) for place, priority in zip(places, priorities, strict=True)]
    return keys == sorted(keys)


def count_changes(places: list[Place], priorities: list[int]) -> int:
    return sum(place.priority != priority for place, priority in zip(places, priorities, strict=True))


@st.composite
def wanted_orders(draw: st.DrawFn, size_max: int, priority_max: int) -> tuple[list[Place], int]:
    """Return routes in the order that they have, but for one that is to be moved, and its index."""
    size = draw(st.integers(1, size_max))
    ties = draw(st.permutations(range(size)))
    numbers = draw(st.lists(st.integers(0, priority_max), min_size=size, max_size=size))
    places = sorted(map(Place, numbers, ties))
    moved = places.pop(draw(st.integers(0, size - 1)))
    index = draw(st.integers(0, size - 1))
    return [*places[:index], moved, *places[index:]], index


@given(wanted_orders(40, PRIORITY_MAX))
def test_the_order_is_the_wanted_one_within_the_bounds(case: tuple[list[Place], int]) -> None:
    places, moved = case
    priorities = renumber(places, moved)
    assert is_in_order(places, priorities)
    assert all(0 <= priority <= PRIORITY_MAX for priority in priorities)


@given(wanted_orders(4, 4))
def test_no_other_numbers_would_change_fewer_routes(case: tuple[list[Place], int]) -> None:
    places, moved = case
    changes = count_changes(places, renumber(places, moved, priority_max=4))
    fewest = min(
        count_changes(places, list(numbers))
        for numbers in product(range(5), repeat=len(places))
        if is_in_order(places, list(numbers))
    )
    assert changes == fewest


@given(wanted_orders(40, PRIORITY_MAX))
def test_what_is_in_order_already_stays_as_it_is(case: tuple[list[Place], int]) -> None:
    places = sorted(case[0])
    assert renumber(places, case[1]) == [place.priority for place in places]


@pytest.mark.parametrize(
    ("priorities", "ties", "moved", "expected"),
    [
        ([100, 100], [1, 0], 0, [90, 100]),
        ([100, 100], [1, 0], 1, [100, 110]),
        ([100, 300, 200], [0, 1, 2], 1, [100, 150, 200]),
        ([100, 5, 100], [0, 1, 2], 1, [100, 100, 100]),
        ([100, 5, 100], [0, 3, 2], 1, [0, 5, 100]),
        ([0, 0], [1, 0], 0, [0, 10]),
        ([PRIORITY_MAX, PRIORITY_MAX], [1, 0], 1, [PRIORITY_MAX - 10, PRIORITY_MAX]),
        ([7], [0], 0, [7]),
        ([-5, 20_000, 3], [0, 1, 2], 1, [-5, -1, 3]),
    ],
)
def test_the_moved_route_is_the_one_that_changes_if_there_is_room(
    priorities: list[int], ties: list[int], moved: int, expected: list[int]
) -> None:
    assert renumber(list(map(Place, priorities, ties)), moved) == expected


def test_more_routes_than_numbers_go_beyond_the_bound() -> None:
    places = [Place(0, tie) for tie in (2, 1, 0)]
    assert renumber(places, 0, priority_max=1) == [0, 1, 2]
