"""Gateway time: exact round trips, one stored form, and what people may write."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.clock import (
    STORAGE_TIMEZONE,
    ForwardClock,
    format_stored,
    format_time,
    format_us,
    from_us,
    list_days,
    list_hours,
    now_us,
    parse_duration,
    parse_moment,
    parse_stored,
    parse_timezone,
    to_us,
)
from proxy.errors import InvalidInputError

# From 1970 to the last hours of the year 9999, which not every offset has.
TIMES_US = st.integers(0, 253_402_200_000_000_000)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NOW = datetime(2026, 1, 31, 1, 30, 0, 250_000, tzinfo=UTC)
EAST = timezone(timedelta(hours=8))


@settings(max_examples=200)
@given(time_us=TIMES_US)
def test_microseconds_survive_every_round_trip(time_us: int) -> None:
    assert to_us(from_us(time_us)) == time_us
    assert to_us(parse_stored(format_us(time_us))) == time_us
    assert format_stored(from_us(time_us)) == format_us(time_us)


@settings(max_examples=200)
@given(first=TIMES_US, second=TIMES_US)
def test_order_of_stored_texts_is_order_of_times(first: int, second: int) -> None:
    assert (format_us(first) < format_us(second)) == (first < second)
    assert len(format_us(first)) == len("2026-01-31T08:00:00.000000+08:00")


@settings(max_examples=100)
@given(time_us=st.integers(0, 253_402_100_000_000_000), zone=OFFSETS)
def test_stored_text_does_not_depend_on_the_offset_a_time_came_with(time_us: int, zone: timezone) -> None:
    moment = from_us(time_us).astimezone(zone)
    assert format_stored(moment) == format_us(time_us)
    assert datetime.fromisoformat(format_time(moment, zone, timespec="microseconds")) == moment


def test_stored_text_is_as_documented() -> None:
    assert format_stored(datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T08:00:00.000000+08:00"
    assert from_us(0).utcoffset() == timedelta(hours=8)


def test_time_without_an_offset_is_at_utc_8() -> None:
    expected = datetime(2026, 1, 31, 8, tzinfo=EAST)
    assert parse_stored("2026-01-31 08:00:00") == expected
    assert to_us(datetime(2026, 1, 31, 8)) == to_us(expected)  # noqa: DTZ001


def test_time_is_shown_in_the_zone_asked_for() -> None:
    assert format_time(NOW, EAST) == "2026-01-31T09:30:00.250+08:00"
    assert format_time(NOW, UTC, timespec="seconds") == "2026-01-31T01:30:00+00:00"


def test_now_is_the_wall_clock() -> None:
    before, now, after = time.time(), now_us(), time.time()
    assert before * 1e6 - 1 <= now <= after * 1e6 + 1


@settings(max_examples=200)
@given(minutes=st.integers(-23 * 60 - 59, 23 * 60 + 59), colon=st.sampled_from([":", ""]))
def test_every_offset_is_read_back(minutes: int, colon: str) -> None:
    hours, rest = divmod(abs(minutes), 60)
    text = f"{'-' if minutes < 0 else '+'}{hours:02}{colon}{rest:02}"
    assert parse_timezone(text).utcoffset(None) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["UTC", "utc", "Z", "z", "+00:00", "-0000"])
def test_utc_has_several_names(text: str) -> None:
    assert parse_timezone(text).utcoffset(None) == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "8", "08:00", "+8", "+24:00", "-99:00", "+08:60", "+08:00:00", "+08:00\n", "Mars"]
)
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a UTC offset"):
        parse_timezone(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta(0)),
        ("90m", timedelta(minutes=90)),
        (" 5s ", timedelta(seconds=5)),
    ],
)
def test_duration_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@settings(max_examples=200)
@given(
    counts=st.tuples(*(st.none() | st.integers(0, 5000) for _ in "wdhms")).filter(
        lambda counts: any(n is not None for n in counts)
    )
)
def test_duration_is_the_sum_of_its_parts(counts: tuple[int | None, ...]) -> None:
    text = "".join(f"{n}{unit}" for n, unit in zip(counts, "wdhms", strict=True) if n is not None)
    seconds = sum((n or 0) * size for n, size in zip(counts, (604_800, 86_400, 3_600, 60, 1), strict=True))
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "90", "d", "1x", "-1d", "1.5h", "30m1h", "1h1h", "1 h", "1H", "9" * 30 + "d", "9" * 5000 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_duration(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("15m", NOW - timedelta(minutes=15)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("today", datetime(2026, 1, 31, tzinfo=EAST)),
        ("yesterday", datetime(2026, 1, 30, tzinfo=EAST)),
        ("2026-01-31T08:00:00+08:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T00:00:00Z", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31 08:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=EAST)),
    ],
)
def test_moment_is_read(text: str, moment: datetime) -> None:
    assert parse_moment(text, now=NOW, zone=EAST) == moment


def test_duration_may_lie_ahead() -> None:
    assert parse_moment("90d", now=NOW, zone=EAST, future=True) == NOW + timedelta(days=90)


def test_today_begins_at_midnight_of_the_zone() -> None:
    late = datetime(2026, 1, 31, 17, 0, tzinfo=UTC)
    assert parse_moment("today", now=late, zone=EAST) == datetime(2026, 2, 1, tzinfo=EAST)
    assert parse_moment("today", now=late, zone=UTC) == datetime(2026, 1, 31, tzinfo=UTC)


def test_yesterday_begins_at_midnight_where_the_clocks_were_changed_since() -> None:
    zone = ZoneInfo("Europe/Berlin")
    noon = datetime(2026, 3, 29, 12, tzinfo=zone)
    assert parse_moment("yesterday", now=noon, zone=zone) == datetime(2026, 3, 28, tzinfo=zone)


@settings(max_examples=100)
@given(time_us=TIMES_US)
def test_what_is_shown_can_be_written_back(time_us: int) -> None:
    text = format_time(from_us(time_us), EAST, timespec="microseconds")
    assert to_us(parse_moment(text, now=NOW, zone=UTC)) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "tomorrow",
        "2026",
        "2026-02-30",
        "2026-01-31T25:00",
        "5",
        "9999999d",
        "9" * 5000 + "s",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
@pytest.mark.parametrize("future", [False, True])
def test_what_is_no_time_is_refused(text: str, future: bool) -> None:
    with pytest.raises(InvalidInputError, match="is not a time"):
        parse_moment(text, now=NOW, zone=EAST, future=future)


def test_every_accepted_time_can_be_stored() -> None:
    last = parse_moment("9999-12-31T23:59:59+08:00", now=NOW, zone=EAST)
    assert format_stored(last) == "9999-12-31T23:59:59.000000+08:00"


@given(st.integers(0, 4_000_000_000), st.integers(-14 * 60, 14 * 60), st.integers(1, 60))
def test_buckets_begin_with_the_hours_and_days_of_the_zone_and_end_with_now(
    second: int, offset_minutes: int, count: int
) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    now = from_us(second * 1_000_000)
    for starts, width in ((list_hours(now, zone, count), 1), (list_days(now, zone, count), 24)):
        assert len(starts) == count
        assert starts[-1] <= now < starts[-1] + timedelta(hours=width)
        assert all(later - earlier == timedelta(hours=width) for earlier, later in pairwise(starts))
        assert all(start.astimezone(zone).minute == 0 for start in starts)


def test_storage_is_at_utc_8() -> None:
    assert STORAGE_TIMEZONE.utcoffset(None) == timedelta(hours=8)


def test_a_forward_clock_follows_the_systems_forward_and_never_goes_back() -> None:
    wall, monotonic = [1_000_000_000], [0]
    clock = ForwardClock(lambda: wall[0], lambda: monotonic[0])
    told = [clock.now_us()]
    for wall_ns, monotonic_ns in ((2, 1), (100, 2), (50, 4), (50, 4), (99, 60), (131, 90), (140, 99)):
        wall[0], monotonic[0] = wall_ns * 1_000_000_000, monotonic_ns * 1_000_000_000
        told.append(clock.now_us())
    assert told == sorted(set(told))
    # Half of what has passed is added to what was told while the system is behind.
    assert [time_us / 1_000_000 for time_us in told] == [
        1,
        2,
        100,
        101,
        101.000001,
        129.000001,
        131,
        140,
    ]


def test_a_forward_clock_is_caught_up_with() -> None:
    wall, monotonic = [100_000_000_000], [0]
    clock = ForwardClock(lambda: wall[0], lambda: monotonic[0])
    clock.now_us()
    wall[0], monotonic[0] = 90_000_000_000, 0
    for _ in range(30):
        wall[0], monotonic[0] = wall[0] + 1_000_000_000, monotonic[0] + 1_000_000_000
        time_us = clock.now_us()
    assert time_us == wall[0] // 1000
