"""Rates, averages and percentiles, against the plain way to work them out."""

from __future__ import annotations

from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.store.arithmetic import Distribution, find_success_rate
from tests.proxy.store.traffic import rank

numbers = st.lists(st.integers(0, 30) | st.integers(0, 10**9), max_size=60)


@given(numbers, st.lists(st.integers(1, 100), max_size=5))
def test_a_percentile_is_a_value_by_its_nearest_rank(values: list[int], percents: list[int]) -> None:
    assert Distribution(Counter(values)).find_percentiles(percents) == [
        rank(values, percent) for percent in percents
    ]


def test_of_one_to_a_hundred_each_percentile_is_its_own_number() -> None:
    assert Distribution(dict.fromkeys(range(1, 101), 1)).find_percentiles() == [50, 95, 99]
    assert Distribution({}).find_percentiles() == [None, None, None]


@given(numbers)
def test_an_average_is_that_of_all_values(values: list[int]) -> None:
    expected = pytest.approx(mean(values), abs=0.006) if values else None
    assert Distribution(Counter(values)).find_average() == expected


@given(numbers, st.integers(-5, 40), st.integers(0, 40))
def test_a_part_is_the_distribution_of_its_numbers(values: list[int], low: int, width: int) -> None:
    part = Distribution(Counter(values)).cut_out(low, low + width)
    inside = Distribution(Counter(value - low for value in values if low <= value < low + width))
    assert part.find_percentiles() == inside.find_percentiles()
    assert part.find_average() == inside.find_average()


@pytest.mark.parametrize(
    ("ended", "errors", "rate"),
    [
        (0, 0, None),
        (3, 0, 100.0),
        (3, 1, 66.67),
        (4, 4, 0.0),
        (1_000_000, 1, 99.99),
        (1_000_000, 999_999, 0.01),
    ],
)
def test_a_success_rate_says_100_only_if_nothing_failed(ended: int, errors: int, rate: float | None) -> None:
    assert find_success_rate(ended, errors) == rate
