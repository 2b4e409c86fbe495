"""Single values of old rows: whatever SQLite holds, nothing is taken for what it is not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.predecessor.values import read_count, read_flag, read_json, read_text, read_time, show

ANYTHING = st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.booleans()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31 08:00:00", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31 08:00:00.123456", "2026-01-31T00:00:00.123456+00:00"),
        ("2026-01-31T08:00:00+00:00", "2026-01-31T08:00:00+00:00"),
    ],
)
def test_a_time_without_an_offset_is_at_utc_8(text: str, instant: str) -> None:
    moment = read_time(text)
    assert moment == datetime.fromisoformat(instant)
    assert moment is not None
    assert moment.utcoffset() == timedelta(hours=8)


@pytest.mark.parametrize(
    "value", [None, "", "soon", "2026-13-01", 5, 1.5, b"2026", "9999-12-31T23:59:59-10:00"]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert read_time(value) is None


@pytest.mark.parametrize(
    ("value", "count"), [(0, 0), (7, 7), (-1, None), (True, None), ("7", None), (2**63, None)]
)
def test_a_count_is_a_whole_number_that_fits(value: object, count: int | None) -> None:
    assert read_count(value) == count


def test_only_one_is_true() -> None:
    assert [read_flag(value) for value in (1, True, 0, None, 2, "1", "yes")] == [True, True] + [False] * 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, (True, None)),
        ("", (True, None)),
        ('{"a": [1]}', (True, {"a": [1]})),
        ("{", (False, None)),
        ("[NaN]", (False, None)),
        ('"\\ud800"', (False, None)),
        ("[" * 100_000, (False, None)),
    ],
)
def test_json_is_told_from_what_only_looks_like_it(text: str | None, found: tuple[bool, object]) -> None:
    assert read_json(text) == found


@given(ANYTHING)
def test_nothing_that_sqlite_can_hold_is_too_much(value: object) -> None:
    read_time(value)
    read_json(value)
    text = read_text(value)
    assert text is None or text.encode().decode() == text
    assert len(show(value)) <= 61
    assert show(value).isprintable()
