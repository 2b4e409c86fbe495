"""How one value reads: exactly in data, briefly in a table, harmlessly everywhere."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.columns import (
    Column,
    escape_controls,
    escape_json,
    format_age,
    format_count,
    format_day,
    format_flag,
    format_list,
    format_minute,
    format_plain,
    format_second,
    format_text,
    style_error_share,
    style_errors,
    style_flag,
    style_method,
    style_status,
    style_status_code,
    style_success_rate,
)

HIDDEN = [
    *map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
    *"\u061c\ufeff\u2028\u2029\u00ad\u2060\U000e0041",
]
ZONE = timezone(timedelta(hours=8))
MOMENT = datetime(2026, 1, 31, 20, 5, 9, 123456, tzinfo=timezone.utc)  # noqa: UP017


def test_times_are_rfc_3339_in_the_zone_at_any_depth() -> None:
    assert format_plain({"at": [MOMENT]}, ZONE) == {"at": ["2026-02-01T04:05:09.123456+08:00"]}


def test_a_text_of_a_value_is_what_json_calls_it_and_none_is_empty() -> None:
    values = [None, True, 3, ["/v1/*"], {"ключ": None}, "as it is"]
    texts = ["", "true", "3", '["/v1/*"]', '{"ключ": null}', "as it is"]
    assert [format_text(value, ZONE) for value in values] == texts


@given(st.text())
def test_no_control_character_survives_escaping(text: str) -> None:
    escaped = escape_controls(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in escaped)
    assert not any(letter in HIDDEN for letter in escaped)
    assert escape_controls(escaped) == escaped


@pytest.mark.parametrize("letter", HIDDEN, ids=ascii)
def test_what_turns_a_line_round_or_is_not_seen_is_spelled_out(letter: str) -> None:
    spelled = letter.encode("ascii", "backslashreplace").decode()
    assert escape_controls(f"/v1/{letter}x") == f"/v1/{spelled}x"
    escaped = escape_json(json.dumps([letter], ensure_ascii=False))
    assert escaped.isascii()
    assert json.loads(escaped) == [letter]


@pytest.mark.parametrize("text", ["naïve", "日本語", "مرحبا", "😀", "e\u0301"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text
    assert escape_json(text) == text


def test_controls_are_spelled_out() -> None:
    assert escape_controls("a\tb\n\x1b[31m\x9b\u2028") == "a\\tb\\n\\x1b[31m\\x9b\\u2028"


def test_a_cell_is_brief_in_a_table_and_exact_in_full() -> None:
    column = Column("at", text=format_minute)
    assert column.cell_of({"at": MOMENT}, ZONE, full=False) == "2026-02-01 04:05"
    assert column.cell_of({"at": MOMENT}, ZONE, full=True) == "2026-02-01T04:05:09.123456+08:00"


def test_a_field_without_value_is_a_dim_dash() -> None:
    column = Column("permissions", style=style_status)
    empty: list[dict[str, Any]] = [{}, {"permissions": None}, {"permissions": []}, {"permissions": {}}]
    for row in empty:
        assert column.cell_of(row, ZONE, full=False) == "-"
        assert column.style_of(row) == "dim"


def test_a_display_column_is_worked_out_from_the_row() -> None:
    column = Column("sum", shown="display", value=lambda row: row["a"] + row["b"])
    assert column.cell_of({"a": 1, "b": 2}, ZONE, full=False) == "3"


def test_brief_forms() -> None:
    assert format_day(MOMENT, ZONE) == "2026-02-01"
    assert format_second(MOMENT, ZONE) == "04:05:09"
    assert format_list(["a", "b"], ZONE) == "a, b"
    assert [format_flag(flag, ZONE) for flag in (True, False)] == ["yes", "no"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (9_999, "9999"),
        (10_000, "10.0k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (123_456_789, "123M"),
        (10**12, "1.0T"),
    ],
)
def test_a_count_is_brief(count: int, text: str) -> None:
    assert format_count(count, ZONE) == text


@given(st.integers(0, 10**15 - 1))
def test_a_count_of_any_size_takes_five_characters_and_stays_near_the_truth(count: int) -> None:
    text = format_count(count, ZONE)
    assert len(text) <= 5
    scale = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    value = float(text.rstrip("kMGT")) * scale.get(text[-1], 1)
    assert abs(value - count) <= count * 0.05


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s ago"), (65, "1m5s ago"), (90_000, "1d1h ago"), (-60, "0s ago")]
)
def test_an_age_is_in_its_two_largest_units_and_never_negative(seconds: int, text: str) -> None:
    assert format_age(MOMENT - timedelta(seconds=seconds), MOMENT) == text


def test_colours_have_meaning() -> None:
    assert [style_status(status) for status in ("active", "disabled", "expired")] == [
        "green",
        "dim",
        "yellow",
    ]
    assert [style_status_code(code) for code in (200, 301, 404, 503)] == ["green", "cyan", "yellow", "red"]
    assert [style_error_share(errors, 100) for errors in (0, 1, 9, 10)] == ["cyan", "yellow", "yellow", "red"]
    assert style_error_share(0, 0) == "cyan"
    assert [style_success_rate(rate) for rate in (100.0, 99.0, 90.0)] == ["green", "yellow", "red"]
    assert [style_errors(count) for count in (0, 1)] == ["dim", "red"]
    assert style_method("DELETE") == "red"
    assert style_flag(True) == "green"


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=5), LEAVES | st.lists(LEAVES, max_size=3), max_size=3))
def test_plain_json_values_stay_themselves(value: dict[str, Any]) -> None:
    assert json.loads(format_text(value, ZONE)) == format_plain(value, ZONE) == value
