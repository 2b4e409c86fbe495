"""How a request reads: its outcome in one word, its times and sizes in five characters."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.columns import Column
from fastgate_cli.commands.log_columns import (
    COLUMNS,
    DETAIL_COLUMNS,
    date_columns,
    describe_outcome,
    describe_remark,
    find_ttfb_ms,
    format_clock,
    format_ms,
    format_size,
    is_in_flight,
    spell_details,
    style_outcome,
)
from proxy.store.logs import SUMMARY

ZONE = timezone(timedelta(hours=8))
MIDNIGHT = datetime(2026, 1, 31, tzinfo=ZONE)
MOMENT = MIDNIGHT + timedelta(hours=21, minutes=30, seconds=14)
TABLE_GAP = 2


def make_row(**facts: Any) -> dict[str, Any]:
    row = {
        "request_time": MOMENT,
        "status_code": 200,
        "first_response_time": MOMENT + timedelta(milliseconds=30),
        "response_time": MOMENT + timedelta(milliseconds=45),
        "error_message": None,
        "source_path": "ci",
    }
    return {**row, **facts}


ANSWERED = make_row()
IN_FLIGHT = make_row(status_code=None, response_time=None)
INTERRUPTED = make_row(status_code=None, response_time=None, error_message="interrupted")
REFUSED = make_row(status_code=401, error_message="unknown_api_key", source_path=None)


@pytest.mark.parametrize(
    ("row", "outcome", "style", "remark"),
    [
        (ANSWERED, "200", "green", "ci"),
        (IN_FLIGHT, "…", "dim", "in flight, ci"),
        (INTERRUPTED, "cut", "red", "interrupted, ci"),
        (REFUSED, "401", "yellow", "unknown_api_key"),
        (make_row(source_path=None), "200", "green", None),
    ],
)
def test_the_outcome_is_one_word_and_the_remark_says_why_and_who(
    row: dict[str, Any], outcome: str, style: str, remark: str | None
) -> None:
    assert describe_outcome(row) == outcome
    assert style_outcome(outcome) == style
    assert describe_remark(row) == remark


def test_only_a_request_without_end_and_without_error_is_in_flight() -> None:
    assert [is_in_flight(row) for row in (ANSWERED, IN_FLIGHT, INTERRUPTED, REFUSED)] == [
        False,
        True,
        False,
        False,
    ]


def test_time_to_first_byte_is_from_the_request_to_the_first_byte() -> None:
    assert find_ttfb_ms(ANSWERED) == 30
    assert find_ttfb_ms(make_row(first_response_time=None)) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0ms"), (999, "999ms"), (999.6, "1.0s"), (1234, "1.2s"), (99_940, "99.9s"), (120_000, "120s")],
)
def test_a_duration_is_in_milliseconds_below_a_second(value: float, text: str) -> None:
    assert format_ms(value, ZONE) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (6246, "6.1K"), (10_240, "10K"), (3 << 20, "3.0M")],
)
def test_a_size_is_in_the_unit_that_fits(value: int, text: str) -> None:
    assert format_size(value, ZONE) == text


@given(st.integers(0, 9_999_000), st.integers(0, 9999 << 30))
def test_durations_and_sizes_fit_their_columns(milliseconds: int, size: int) -> None:
    widths = {column.name: column.width for column in COLUMNS}
    assert len(format_ms(milliseconds, ZONE)) <= widths["response_time_ms"] == widths["ttfb"]
    assert len(format_size(size, ZONE)) <= widths["response_size"]


def test_a_request_of_today_has_a_clock_an_older_one_a_date() -> None:
    older, oldest = MIDNIGHT - timedelta(minutes=1), MIDNIGHT - timedelta(days=40)
    column = time_column(date_columns(COLUMNS, (), MIDNIGHT))
    texts = [column.cell_of({"request_time": moment}, ZONE, full=False) for moment in (MOMENT, older, oldest)]
    assert texts == [format_clock(MOMENT, ZONE), "01-30 23:59", "2025-12-22"]
    assert texts[0] == "21:30:14"


def test_room_for_dates_is_reserved_only_where_a_row_needs_it() -> None:
    older = make_row(request_time=MIDNIGHT - timedelta(minutes=1))
    widths = [time_column(date_columns(COLUMNS, rows, MIDNIGHT)).width for rows in ([ANSWERED], [older])]
    assert widths == [len("21:30:14"), len("01-30 23:59")]


def test_a_streamed_table_leaves_room_for_path_and_remark_in_80_columns() -> None:
    shown = [column for column in COLUMNS if column.shown in ("always", "display")]
    assert [column.name for column in shown] == [
        *("request_time", "method", "path", "outcome", "ttfb", "response_time_ms", "response_size", "remark")
    ]
    fixed = sum(max(column.width, len(column.title)) for column in shown if not column.elastic)
    assert 80 - fixed - TABLE_GAP * (len(shown) - 1) >= 2 * len("/v1/chat/compl…")


def test_data_has_every_field_of_a_row_under_its_own_name() -> None:
    names = [column.name for column in COLUMNS if column.shown != "display"]
    assert names[0] == "id"
    assert sorted(names) == sorted(field.name for field in SUMMARY)


def test_details_spell_headers_one_a_line_in_their_order_and_keep_doubled_ones() -> None:
    row = {
        "id": "log_1",
        "request_headers": [["accept", "*/*"], ["x-a", "1"], ["x-a", "2"]],
        "response_headers": None,
        "request_body": '{\n  "a": 1\n}',
        "response_body": None,
    }
    spelled = spell_details(row)
    assert spelled["request_headers"] == ["accept: */*", "x-a: 1", "x-a: 2"]
    assert spelled["request_body"] == ["{", '  "a": 1', "}"]
    assert (spelled["id"], spelled["response_headers"], spelled["response_body"]) == ("log_1", [], [])
    assert {column.name for column in DETAIL_COLUMNS} >= set(row)


def time_column(columns: list[Column]) -> Column:
    [column] = [column for column in columns if column.name == "request_time"]
    return column


@pytest.mark.parametrize(("reason", "style"), [("client_abort", "yellow"), ("client_closed", "dim")])
def test_a_reason_that_is_no_error_is_quiet(reason: str, style: str) -> None:
    (column,) = [column for column in COLUMNS if column.name == "error_message"]
    assert column.style_of({"error_message": reason}) == style
