"""Where the time went: the parts add up, and the bar is to scale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.commands.log_timing import find_took_ms, format_exact_ms, share_cells, split_time

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def make_row(took: float | None, first: float | None, own: float | None) -> dict[str, Any]:
    def after(ms: float | None) -> datetime | None:
        return None if ms is None else NOW + timedelta(milliseconds=ms)

    return {
        "request_time": NOW,
        "response_time": after(took),
        "first_response_time": after(first),
        "gateway_ms": own,
    }


def test_an_answered_request_has_three_parts() -> None:
    parts = split_time(make_row(1500, 40, 0.5))
    assert parts == [("gateway", 0.5), ("first byte", 39.5), ("rest", 1460)]


def test_a_request_without_an_answer_waited() -> None:
    assert split_time(make_row(30, None, 0.5)) == [("gateway", 0.5), ("wait", 29.5)]
    assert split_time(make_row(30, None, None)) == [("wait", 30)]


def test_a_request_in_flight_or_cut_has_no_parts_yet() -> None:
    row = make_row(None, 40, 0.5)
    assert (find_took_ms(row), split_time(row)) == (None, [])
    assert split_time(make_row(0, 0, 0)) == []


@given(
    st.integers(1, 10**7),
    st.none() | st.integers(-100, 10**7),
    st.none() | st.floats(-10, 10**7, allow_nan=False),
)
def test_the_parts_add_up_to_the_whole_whatever_a_row_says(
    took: int, first: int | None, own: float | None
) -> None:
    parts = split_time(make_row(took, first, own))
    assert all(part.ms >= 0 for part in parts)
    assert sum(part.ms for part in parts) == pytest.approx(took)


@given(st.lists(st.floats(0, 10**7) | st.just(0.0), min_size=1, max_size=4), st.integers(4, 200))
def test_the_cells_are_all_given_to_scale_and_none_is_left_without(values: list[float], width: int) -> None:
    cells = share_cells(values, width)
    total = sum(values)
    if total == 0:
        assert set(cells) == {0}
        return
    assert sum(cells) == width
    for value, count in zip(values, cells, strict=True):
        assert (count == 0) is (value == 0)
        assert count == 1 or abs(count - value / total * width) <= len(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.418, "0.42ms"),
        (9.994, "9.99ms"),
        (9.996, "10.0ms"),
        (38.24, "38.2ms"),
        (382.4, "382ms"),
        (999.6, "1.00s"),
        (1460, "1.46s"),
        (59_960, "60.0s"),
        (120_400, "120s"),
    ],
)
def test_durations_have_the_digits_that_count(value: float, text: str) -> None:
    assert format_exact_ms(value) == text
