"""A time is cut into even parts by the clock of a zone, and what is told below them is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.time_axis import STEPS, choose_step, choose_tick, label_starts, list_starts
from proxy.clock import from_us

NOW = datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC)
EAST = timezone(timedelta(hours=8))
moments = st.integers(0, 4_000_000_000_000_000).map(from_us)
lengths = st.integers(1, 400 * 86_400_000_000).map(lambda us: timedelta(microseconds=us))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments, lengths, st.integers(2, 300), zones)
def test_a_time_is_cut_into_even_parts_of_which_there_are_not_too_many(
    since: datetime, length: timedelta, parts_max: int, zone: timezone
) -> None:
    until = since + length
    step = choose_step(length, parts_max)
    starts = list_starts(since, until, step, zone)
    assert 1 <= len(starts) <= parts_max
    assert starts[0] <= since < starts[0] + step
    assert starts[-1] < until <= starts[-1] + step
    assert starts == [starts[0] + step * number for number in range(len(starts))]
    if step <= timedelta(days=1):
        midnight = starts[0].astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        assert (starts[0] - midnight) % step == timedelta()


@pytest.mark.parametrize(
    ("length", "parts_max", "step"),
    [
        (timedelta(hours=1), 72, timedelta(minutes=1)),
        (timedelta(hours=24), 72, timedelta(minutes=30)),
        (timedelta(days=7), 72, timedelta(hours=3)),
        (timedelta(seconds=20), 72, timedelta(seconds=1)),
        (timedelta(days=7000), 11, timedelta(days=700)),
    ],
)
def test_a_part_is_a_length_that_people_count_in(length: timedelta, parts_max: int, step: timedelta) -> None:
    assert choose_step(length, parts_max) == step


def test_times_are_told_where_they_are_round() -> None:
    starts = list_starts(NOW, NOW + timedelta(hours=1), timedelta(minutes=1), EAST)
    line = label_starts(starts, EAST, 1)
    assert line == "      20:40     20:50     21:00     21:10     21:20     21:30"
    assert label_starts(starts[:3], EAST, 4) == "20:34"
    days = list_starts(NOW, NOW + timedelta(days=12), timedelta(days=1), EAST)
    assert label_starts(days, EAST, 4) == "01-31   02-02   02-04   02-06   02-08   02-10"


@given(moments, lengths, st.integers(2, 120), zones, st.integers(1, 5))
def test_each_label_stands_below_the_part_that_begins_then(
    since: datetime, length: timedelta, parts_max: int, zone: timezone, columns: int
) -> None:
    starts = list_starts(since, since + length, choose_step(length, parts_max), zone)
    line = label_starts(starts, zone, columns)
    assert len(line) <= len(starts) * columns
    place = 0
    for label in line.split():
        place = line.index(label, place)
        assert place % columns == 0
        start = starts[place // columns].astimezone(zone)
        forms = ("%H:%M:%S", "%H:%M", "%m-%d", "%Y-%m-%d")
        assert label in [start.strftime(form) for form in forms]
        place += len(label)


@given(st.sampled_from(STEPS), st.integers(1, 20))
def test_labels_stand_so_far_apart_that_they_fit(step: timedelta, parts_min: int) -> None:
    tick = choose_tick(step, parts_min)
    assert tick >= parts_min * step
    assert tick % step == timedelta()
