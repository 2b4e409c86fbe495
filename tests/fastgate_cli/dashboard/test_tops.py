"""The tables of what was most: sorted as chosen, their numbers in line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.board import KINDS, Board
from fastgate_cli.dashboard.state import SORTS, Sort, State
from fastgate_cli.dashboard.tops import build_tops, sort_rows
from tests.fastgate_cli.dashboard.boards import known, paper, top

ROWS = [top("busy", 12_345, 3, 80), top("broken", 40, 38, None), top("slow", 7, 0, 90_000)]
rows = st.builds(top, st.just("x"), st.integers(1, 99), st.integers(0, 99), st.none() | st.integers(0, 99))


def board(found: list[Row]) -> Board:
    return Board(tops={kind: known(found) for kind in KINDS})


def tops(width: int, sort: Sort = "requests", height: int = 3, found: list[Row] | None = None) -> list[str]:
    lines = build_tops(board(ROWS if found is None else found), State(sort=sort), paper(width), height)
    return [line.plain.rstrip() for line in lines]


@given(found=st.lists(rows, max_size=8), sort=st.sampled_from(SORTS))
def test_the_most_comes_first_and_nothing_is_lost(found: list[Row], sort: Sort) -> None:
    ordered = sort_rows(found, sort)
    keys = [(-1 if row[sort] is None else row[sort], row["requests"]) for row in ordered]
    assert keys == sorted(keys, reverse=True)
    assert sorted(map(id, ordered)) == sorted(map(id, found))


@pytest.mark.parametrize(("sort", "first"), [("requests", "busy"), ("errors", "broken"), ("p95_ms", "slow")])
def test_all_tables_are_sorted_alike(sort: Sort, first: str) -> None:
    assert tops(80, sort)[1].split()[0] == first
    assert tops(80, sort)[1].count(first) == 3


def test_80_columns_have_three_tables_of_two_numbers() -> None:
    lines = tops(80)
    assert lines[0].split() == ["SOURCES", "REQ", "ERR", "ROUTES", "REQ", "ERR", "PATHS", "REQ", "ERR"]
    assert lines[1].split() == ["busy", "12.3k", "3"] * 3
    assert all(len(line) <= 80 for line in lines)
    assert tops(80, "p95_ms")[0].split()[:3] == ["SOURCES", "REQ", "P95"]


def test_more_room_has_all_numbers_and_then_what_failed() -> None:
    assert tops(100)[0].split()[:4] == ["SOURCES", "REQ", "ERR", "P95"]
    assert "WHAT FAILED" not in tops(139)[0]
    wide = tops(140)
    assert wide[0].split()[-4:] == ["WHAT", "FAILED", "REQ", "P95"]


def test_a_path_of_the_usual_kind_is_whole_at_80_columns() -> None:
    lines = tops(80, found=[top("/v1/chat/completions", 99_900, 12_345)])
    assert lines[1].endswith("/v1/chat/completions 99.9k 12.3k")


def test_a_route_without_a_name_has_its_id_for_one() -> None:
    found = [top("x", 1, route_name=None, route_id="rt_9")]
    assert "rt_9" in tops(80, found=found)[1]


def test_what_is_not_known_yet_differs_from_what_is_nothing() -> None:
    assert tops(80, found=[])[1].split() == ["-", "-", "-"]
    lines = build_tops(Board(), State(), paper(80), 3)
    assert lines[1].plain.split() == ["reading", "reading", "reading"]


def test_no_more_rows_than_there_is_room_for() -> None:
    assert len(tops(80, height=2)) == 3


def test_the_column_that_is_sorted_by_stands_out() -> None:
    for sort, title in zip(SORTS, ("REQ", "ERR", "P95"), strict=True):
        heading = build_tops(board(ROWS), State(sort=sort), paper(120), 3)[0]
        lit = {
            heading.plain[span.start : span.end].strip() for span in heading.spans if span.style == "not dim"
        }
        assert lit == {title}


def test_what_turns_a_line_round_is_an_escape() -> None:
    assert tops(140, found=[top("/a\u202eb", 1, 0, 1)])[1].startswith("/a\\u202eb ")
