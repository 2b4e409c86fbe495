"""The latest requests: listed as `logs tail` does, held while one of them is selected."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.latest import build_latest, find_top, list_latest
from fastgate_cli.dashboard.question import Question
from fastgate_cli.dashboard.state import Seen, State, press_key
from proxy.store.log_filter import LogFilter
from tests.fastgate_cli.dashboard.boards import NOW, full_board, known, paper, request, running

ROWS = [request(str(turn), -turn) for turn in range(9)]


def latest(
    rows: list[Row], width: int = 80, height: int = 5, state: State | None = None, *, plain: bool = False
) -> list[str]:
    lines = build_latest(full_board(rows), state or State(), paper(width, plain=plain), height)
    return [line.plain.rstrip() for line in lines]


def select(times: int, rows: list[Row] | None = None, page: int = 5) -> State:
    state = State()
    for _ in range(times):
        state = press_key(state, "down", Seen(ROWS if rows is None else rows, page), lambda _: LogFilter())
    return state


def test_80_columns_show_what_a_tail_shows_but_for_the_size() -> None:
    failed = request("x", status_code=502, error_message="upstream_unreachable", source_path="ci")
    title, first, second = latest([failed, running("y")])
    assert title.split() == ["TIME", "METHOD", "PATH", "STATUS", "TTFB", "TOOK", "REASON,", "SOURCE"]
    assert first == "12:29:17  POST    /v1/chat/completions     502   80ms   82ms  upstream_unreacha…"
    assert second == "12:29:17  POST    /v1/chat/completions       …      -      -  in flight, ci"


def test_60_columns_show_the_core_and_200_show_client_and_target() -> None:
    title, first = latest([ROWS[0]], 60)
    assert title.split() == ["TIME", "PATH", "STATUS", "TOOK", "REASON,", "SOURCE"]
    assert len(first) <= 60
    title, first = latest([ROWS[0]], 200)
    assert title.split()[-2:] == ["CLIENT", "TARGET"]
    assert "  127.0.0.1        http://127.0.0.1:8000/v1/chat/" in first


def test_requests_from_before_midnight_have_a_date() -> None:
    old = request("old", request_time=NOW - timedelta(days=1))
    assert latest([ROWS[0], old])[2].startswith("01-30 12:30")


def test_none_yet_differs_from_none_such_and_from_not_known() -> None:
    assert latest([])[1] == "no requests yet"
    assert latest([], state=State(Question(text="--errors")))[1] == "no such requests"
    assert build_latest(Board(), State(), paper(), 5)[1].plain == "reading"


def test_what_is_selected_stands_out_over_the_whole_line() -> None:
    lines = build_latest(full_board(ROWS), select(2), paper(), 5)
    reversed_lines = [
        place for place, line in enumerate(lines) if any("reverse" in str(span.style) for span in line.spans)
    ]
    assert reversed_lines == [2]
    assert lines[2].cell_len == 80


def test_a_held_list_does_not_move_but_its_requests_end() -> None:
    before = [running("0"), *ROWS[1:]]
    state = select(1, before)
    later = [request("new", 5), request("0"), *ROWS[1:]]
    listed = list_latest(full_board(later), state)
    assert [row["id"] for row in listed] == [row["id"] for row in before]
    assert listed[0]["status_code"] == 200
    assert list_latest(full_board(later), State())[0]["id"] == "log_new"


@given(times=st.integers(1, 12), page=st.integers(1, 12), height=st.integers(1, 12), count=st.integers(1, 12))
def test_what_is_selected_is_seen_whatever_the_height_has_become(
    times: int, page: int, height: int, count: int
) -> None:
    state = select(times, [request(str(turn)) for turn in range(count)], page)
    top = find_top(state, count, height)
    assert top <= state.selected < top + height
    assert 0 <= top <= max(0, count - height)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_ascii_is_enough_and_the_columns_stay(width: int) -> None:
    rows = [running("y"), request("z", path="/ü" * 40)]
    lines = latest(rows, width, plain=True)
    assert all(line.isascii() for line in lines)
    assert lines[1].split()[2 if width == 60 else 3] == "..."
    assert len({line.index("ci") for line in lines[1:]}) <= 2


def test_a_path_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in latest([request("x", path="/\x1b[2J")])[1]
    assert known(1).value == 1


def test_a_path_that_would_turn_its_line_round_is_spelled_out() -> None:
    assert "/a\\u202eb" in latest([request("x", path="/a\u202eb")])[1]
