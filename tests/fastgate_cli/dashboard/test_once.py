"""One picture: read at one time, printed without keys, and the same as data."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.columns import format_plain
from fastgate_cli.dashboard.board import KINDS, Beat, Board
from fastgate_cli.dashboard.once import COLUMNS, build_picture, build_row, read_board, sum_minutes
from fastgate_cli.dashboard.question import RANGES, Question, Wish
from fastgate_cli.dashboard.state import State
from proxy.errors import DatabaseError
from proxy.settings import Settings
from proxy.store.database import Database
from proxy.store.log_filter import LogFilter
from tests.fastgate_cli.dashboard.boards import NOW, QUESTION, full_board, paper
from tests.proxy.store.rows import begin, record

beats = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)


def at(database: Database, name: str, ago: timedelta, **columns: Any) -> None:
    record(database, name, request_time=NOW - ago, **columns)


def test_without_a_database_there_is_no_picture(settings: Settings) -> None:
    with pytest.raises(DatabaseError, match="there is no database"):
        read_board(settings, Wish(), NOW)


def test_an_empty_trail_is_a_picture_too(settings: Settings, database: Database) -> None:
    lines = build_picture(read_board(settings, Wish(), NOW), State(), paper())
    screen = "\n".join(line.plain for line in lines)
    assert "no gateway runs" in screen
    assert "no requests yet" in screen
    assert "reading" not in screen


def test_its_data_are_what_it_shows(settings: Settings, database: Database) -> None:
    at(database, "one", timedelta(seconds=3), source_path="ci", response_size=100)
    at(database, "two", timedelta(minutes=2), source_path="ci", status_code=502)
    at(database, "three", timedelta(hours=3), source_path="app")
    begin(database, "running", is_stream=True, request_time=NOW - timedelta(minutes=1))
    wish = Wish(Question(RANGES[1]))
    row = build_row(read_board(settings, wish, NOW), wish, NOW)
    assert {name: row[name] for name in ("requests", "errors", "success_rate", "bytes_out")} == {
        "requests": 3,
        "errors": 1,
        "success_rate": 50.0,
        "bytes_out": 100,
    }
    assert (row["range"], row["since"], row["time"]) == ("1h", NOW - timedelta(hours=1), NOW)
    assert (row["gateway"], row["address"]) == ("stopped", None)
    assert (row["in_flight"], row["streams_in_flight"]) == (1, 1)
    assert row["status_codes"] == {200: 1, 502: 1}
    assert [(top["source_path"], top["requests"]) for top in row["top_sources"]] == [("ci", 2)]
    assert [each["id"] for each in row["latest"]] == ["log_one", "log_running", "log_two", "log_three"]
    assert sum(hour["requests"] for hour in row["hours"]) == 4
    assert sum(minute["requests"] for minute in row["minutes"]) == 3
    assert row["requests_per_second"] > 0


def test_a_filter_is_for_all_of_it(settings: Settings, database: Database) -> None:
    at(database, "one", timedelta(seconds=3))
    at(database, "two", timedelta(seconds=4), status_code=502)
    wish = Wish(Question(wanted=LogFilter(status=("5xx",)), text="--status 5xx"))
    row = build_row(read_board(settings, wish, NOW), wish, NOW)
    assert (row["requests"], len(row["latest"]), sum(hour["requests"] for hour in row["hours"])) == (1, 1, 1)


def test_the_columns_are_the_fields_of_the_row_and_every_one_is_json() -> None:
    row = build_row(full_board(), Wish(QUESTION), NOW)
    assert {column.name for column in COLUMNS} == set(row)
    for column in COLUMNS:
        json.dumps(format_plain(column.value_of(row), NOW.tzinfo))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 40), (200, 50)])
def test_the_picture_is_the_screen_without_keys_and_without_space_behind_lines(size: tuple[int, int]) -> None:
    lines = build_picture(full_board(), State(), paper(*size))
    assert len(lines) == size[1] - 1
    assert all(line.plain == line.plain.rstrip() for line in lines)
    assert "q quit" not in lines[-1].plain
    assert lines[-1].plain


def test_an_empty_board_has_a_short_picture() -> None:
    assert 0 < len(build_picture(Board(), State(), paper())) < 24
    assert len(build_picture(Board(), State(), paper(20, 1))) == 1


@given(beats=beats, offset=st.integers(0, 11))
def test_minutes_have_the_requests_of_their_beats(beats: list[tuple[int, int]], offset: int) -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=NOW.tzinfo) + timedelta(seconds=5 * offset)
    found = [Beat(start + timedelta(seconds=5 * turn), *counts) for turn, counts in enumerate(beats)]
    minutes = sum_minutes(found)
    assert all(minute.start.second == 0 for minute in minutes)
    whole = [beat for beat in found if not minutes or beat.start >= minutes[0].start]
    if minutes:
        assert sum(minute.requests for minute in minutes) == sum(beat.requests for beat in whole)
        assert sum(minute.errors for minute in minutes) == sum(beat.errors for beat in whole)
    assert set(KINDS) == {"sources", "routes", "paths", "errors"}
