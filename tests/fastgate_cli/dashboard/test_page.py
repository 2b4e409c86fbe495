"""The screen at every size: full, without a line that is too long or too many, and with what matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.page import HEIGHT_MIN, WIDTH_MIN, build_page, find_heights, summarize
from fastgate_cli.dashboard.question import Question
from fastgate_cli.dashboard.request import SheetPrinter
from fastgate_cli.dashboard.state import Seen, State, press_key
from proxy.store.log_filter import LogFilter
from tests.fastgate_cli.dashboard.boards import boards, full_board, paper
from tests.fastgate_cli.dashboard.test_state import KEYS


def page(
    width: int, height: int, state: State | None = None, board: Board | None = None, *, plain: bool = False
) -> list[str]:
    sheet = paper(width, height, plain=plain)
    built = build_page(board or full_board(), state or State(), sheet, SheetPrinter())
    return [line.plain for line in built.lines]


@settings(max_examples=200)
@given(
    board=boards(),
    width=st.integers(1, 250),
    height=st.integers(1, 70),
    keys=st.lists(st.sampled_from(KEYS), max_size=8),
    plain=st.booleans(),
    busy=st.floats(0, 100),
)
def test_whatever_is_shown_every_line_is_as_wide_as_the_screen_and_there_are_as_many(
    board: Board, width: int, height: int, keys: list[str], plain: bool, busy: float
) -> None:
    state, seen = State(), Seen()
    for key in [*keys, "nothing"]:
        built = build_page(board, state, paper(width, height, plain=plain), SheetPrinter(), busy)
        assert len(built.lines) == height
        assert {line.cell_len for line in built.lines} == {width}
        assert not any("\n" in line.plain or "\x1b" in line.plain for line in built.lines)
        assert not plain or all(line.plain.isascii() for line in built.lines)
        seen = built.seen
        state = press_key(state, key, seen, lambda _: LogFilter())


@given(height=st.integers(HEIGHT_MIN, 300))
def test_a_height_is_shared_out_to_the_last_line(height: int) -> None:
    heights = find_heights(height)
    assert heights.latest >= (3 if height < 24 else 5)
    lines = page(80, height)
    assert len(lines) == height
    # The latest requests end right above the keys, unless there are fewer of them than there is room for.
    if heights.latest <= 40:
        assert "/v1/chat/completions" in lines[-2]
    taller = find_heights(height + 1)
    assert all(getattr(taller, name) >= getattr(heights, name) for name in ("chart", "figures", "tops"))


ESSENTIAL = (
    "requests/s",
    "errors/s",
    "in flight",
    "streams",
    "journal",
    "LATENCY",
    "gateway",
    "STATUS",
    "TOOK",
)


def test_80_by_24_shows_everything_essential() -> None:
    screen = "\n".join(page(80, 24))
    for text in (*ESSENTIAL, "24 HOURS", "SOURCES", "ROUTES", "PATHS", "http://127.0.0.1:8514", "? help"):
        assert text in screen, text
    assert screen.count("/v1/chat/completions") == 5


def test_60_by_15_shows_the_core() -> None:
    screen = "\n".join(page(60, 15))
    for text in (*ESSENTIAL, "http://127.0.0.1:8514", "? help"):
        assert text in screen, text
    assert screen.count("/v1/chat/comple") == 4


def test_200_by_50_is_used() -> None:
    lines = page(200, 50)
    assert "WHAT FAILED" in "\n".join(lines)
    assert sum(1 for line in lines if not line.strip()) <= 6
    assert sum("/v1/chat/completions" in line for line in lines) >= 12


@pytest.mark.parametrize(("width", "height"), [(WIDTH_MIN - 1, 50), (200, HEIGHT_MIN - 1), (30, 2), (10, 1)])
def test_below_that_there_is_one_line(width: int, height: int) -> None:
    lines = page(width, height)
    assert lines[0].startswith("12.4 req/s")
    assert not "".join(lines[1:]).strip()


def test_the_line_has_as_many_figures_as_fit_and_none_is_cut() -> None:
    assert summarize(full_board(), paper(60)).plain == (
        "12.4 req/s  0.5 err/s  1.5s p95  99.0% ok  4 in flight"
    )
    assert summarize(full_board(), paper(30)).plain == "12.4 req/s  0.5 err/s"
    assert summarize(Board(), paper(60)).plain.startswith("- req/s")


def test_a_filter_can_be_written_and_trouble_is_seen_on_the_smallest_screen() -> None:
    writing = press_key(State(), "f", Seen(), lambda _: LogFilter())
    assert page(40, 5, writing)[1].startswith("filter: ")
    assert page(40, 1, writing)[0].startswith("filter: ")
    trouble = full_board(troubles={"pulse": "it is locked"})
    assert page(40, 5, board=trouble)[1].startswith("it is locked")


def test_help_takes_the_place_of_the_figures_and_leaves_the_frame() -> None:
    lines = page(80, 24, State(is_helping=True))
    assert lines[0].startswith("FastGate")
    assert lines[2].startswith("KEYS")
    assert lines[-1].startswith("esc back  q quit")


def test_a_request_takes_the_whole_screen_and_can_be_scrolled_as_far_as_it_goes() -> None:
    board = full_board()
    state = press_key(
        State(), "enter", Seen(board.latest.value if board.latest else ()), lambda _: LogFilter()
    )
    built = build_page(board, state, paper(80, 24), SheetPrinter())
    assert built.lines[2].plain.startswith("200  POST  82ms  log_0")
    assert (built.seen.height, built.seen.lines) == (20, 26)
    end = press_key(state, "end", built.seen, lambda _: LogFilter())
    lines = page(80, 24, end, board)
    assert lines[2].rstrip().endswith("7-26 of 26")
    assert lines[-3].startswith("response body")


def test_the_filter_that_is_in_force_is_always_seen() -> None:
    state = State(Question(text="--status 5xx"))
    for size in ((60, 15), (80, 24), (200, 50), (40, 5)):
        assert "filter: --status 5xx" in page(*size, state)[1]


def test_parts_keep_their_places_however_much_there_is_in_them() -> None:
    empty = replace(full_board([]), tops={}, picture=None, hours=None)
    for size in ((60, 15), (80, 24), (200, 50)):
        full_lines, empty_lines = page(*size), page(*size, board=empty)
        for text in ("requests/s", "LATENCY", "TIME  "):
            places = [
                next(turn for turn, line in enumerate(lines) if line.startswith(text))
                for lines in (full_lines, empty_lines)
            ]
            assert places[0] == places[1], (size, text)
