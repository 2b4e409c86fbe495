"""The first and the last lines: how things stand, what is wrong, what keys do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastgate_cli.dashboard.board import Board, Gateway
from fastgate_cli.dashboard.header import build_footer, build_header, build_notice
from fastgate_cli.dashboard.line import Line
from fastgate_cli.dashboard.question import Question
from fastgate_cli.dashboard.state import Mode, State
from tests.fastgate_cli.dashboard.boards import full_board, known, paper

FILTERED = State(Question(text="--status 5xx"))


def header(board: Board, state: State | None = None, width: int = 80, *, plain: bool = False) -> str:
    line = build_header(board, state or State(), paper(width, plain=plain))
    assert line.cell_len == width
    return line.plain


def notice(board: Board, state: State | None = None, width: int = 80, busy_seconds: float = 0) -> str:
    line = build_notice(board, state or State(), paper(width), busy_seconds)
    return line.plain.rstrip()


def footer(state: State, width: int = 80, *, plain: bool = False) -> str:
    line = build_footer(state, paper(width, plain=plain))
    assert line.cell_len <= width
    return line.plain


def test_a_gateway_that_runs_is_named_with_its_age() -> None:
    line = header(full_board())
    assert line.startswith("FastGate  ● http://127.0.0.1:8514  2 workers  up 3h12m  version 0.1.0 ")
    assert line.endswith("  12:30:17")


def test_one_worker_is_one_worker() -> None:
    assert "  1 worker  " in header(full_board(gateway=known(Gateway("http://x", 1))))


def test_that_none_runs_is_said_and_that_it_is_not_known_yet_too() -> None:
    assert "○ no gateway runs" in header(full_board(gateway=known(Gateway())))
    assert "looking for the gateway" in header(Board())


def test_a_terminal_of_ascii_gets_ascii() -> None:
    assert header(full_board(), plain=True).isascii()
    assert header(full_board(gateway=known(Gateway())), plain=True).isascii()
    assert footer(State(), plain=True).isascii()


def test_a_pause_stands_beside_the_time_however_narrow_it_is() -> None:
    for width in (20, 60, 120):
        assert header(full_board(), State(is_paused=True), width).rstrip().endswith("PAUSED   12:30:17")


def test_as_long_as_all_is_well_there_is_nothing_to_notice() -> None:
    assert notice(full_board()) == ""
    assert notice(full_board(), busy_seconds=1.0) == ""


def test_what_takes_long_is_told() -> None:
    assert notice(full_board(), busy_seconds=4.2) == "the database has been reading for 4 s"


def test_what_is_wrong_comes_before_the_filter_and_leaves_it_room() -> None:
    board = full_board(troubles={"pulse": "/var/lib/fastgate/fastgate.db is locked by another program"})
    assert notice(board, FILTERED, 200) == (
        "/var/lib/fastgate/fastgate.db is locked by another program  filter: --status 5xx"
    )
    narrow = notice(board, FILTERED, 60)
    assert narrow.startswith("/var/lib/fastgate/")
    assert narrow.endswith("filter: --status 5xx")
    assert len(narrow) <= 60


def test_a_remark_about_the_gateway_is_told() -> None:
    board = full_board(gateway=known(Gateway("http://x", 1, remark="audit.enabled is off")))
    assert notice(board) == "audit.enabled is off"


def test_an_error_of_a_file_with_a_line_break_in_its_name_is_one_line() -> None:
    assert "\n" not in notice(full_board(troubles={"pulse": "a\nb"}))


@pytest.mark.parametrize("mode", ["board", "request"])
@pytest.mark.parametrize("is_helping", [False, True])
@pytest.mark.parametrize("selected", [-1, 0])
def test_how_to_quit_is_always_told(mode: Mode, is_helping: bool, selected: int) -> None:
    state = State(mode=mode, is_helping=is_helping, selected=selected)
    for width in (40, 60, 80):
        assert "q quit" in footer(state, width)


def test_the_keys_of_the_board_fit_80_columns_and_help_is_told_at_60() -> None:
    assert footer(State()) == "q quit  p pause  f filter  s sort  1-5 time  ↑↓ select  ↵ open  ? help"
    assert footer(State(), 60).endswith("? help")


def test_a_filter_is_seen_as_it_is_written() -> None:
    state = State(mode="filter", line=Line("--status 5xx", 12))
    assert footer(state) == "filter: --status 5xx "
    assert footer(replace(state, line=Line("--status 5xx", 2))) == "filter: --status 5xx"


def test_the_place_that_is_written_at_is_always_seen() -> None:
    text = "".join(chr(97 + turn % 26) for turn in range(200))
    for cursor in range(0, 201, 7):
        line = build_footer(State(mode="filter", line=Line(text, cursor)), paper(40))
        (span,) = [span for span in line.spans if "reverse" in str(span.style)]
        assert line.plain[span.start : span.end] == (text[cursor : cursor + 1] or " ")
        assert line.cell_len <= 40


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("text", ["--status 9xx", "--status 9xx " * 20])
def test_a_complaint_stands_behind_the_filter(width: int, text: str) -> None:
    state = State(mode="filter", line=Line(text, len(text)), complaint="'9xx' is not a status")
    line = footer(state, width)
    assert line.startswith("filter: ")
    assert "'9xx'" in line
