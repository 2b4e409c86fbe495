"""Figures of the range, and the trend of 24 hours beside them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from fastgate_cli.charts import build_bars
from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.figures import OLD_AFTER, build_figures, build_totals
from fastgate_cli.dashboard.question import RANGES, Question
from fastgate_cli.dashboard.state import State
from tests.fastgate_cli.dashboard.boards import FIGURES, NO_FIGURES, NOW, full_board, known, paper, picture


def totals(board: Board, state: State | None = None, width: int = 100) -> str:
    line = build_totals(board, state or State(), paper(width))
    assert line.cell_len <= width
    return line.plain.rstrip()


def figures(board: Board, width: int = 80, height: int = 3, *, plain: bool = False) -> list[str]:
    lines = build_figures(board, paper(width, plain=plain), height)
    return [line.plain for line in lines]


def test_the_range_is_summed_up_in_a_line() -> None:
    assert totals(full_board()) == (
        "LAST 5 MINUTES  3600 requests  99.0% success  36 errors  120 streams  68K in  2.9M out"
    )


def test_a_narrow_terminal_gets_what_matters_most() -> None:
    assert totals(full_board(), width=60) == "LAST 5 MINUTES  3600 requests  99.0% success  36 errors"


@pytest.mark.parametrize("age", [timedelta(0), OLD_AFTER])
def test_young_figures_say_nothing_of_their_age(age: timedelta) -> None:
    assert "ago" not in totals(full_board(picture=known(picture(), at=NOW - age)))


def test_old_figures_say_so_at_the_end_of_the_line_however_narrow_it_is() -> None:
    old = known(picture(), at=NOW - timedelta(seconds=75))
    for width in (60, 80, 200):
        assert totals(full_board(picture=old), width=width).endswith("1m15s ago")


def test_figures_of_another_range_are_named_for_what_they_are_until_the_new_ones_come() -> None:
    line = totals(full_board(), State(Question(RANGES[3])))
    assert line.startswith("LAST 5 MINUTES")
    assert line.endswith("reading")
    assert totals(Board(), State(Question(RANGES[3]))) == "LAST 24 HOURS  reading"


def test_latency_statuses_and_hours_stand_side_by_side_in_80_columns() -> None:
    title, first, second, third = figures(full_board())
    assert title.split() == ["LATENCY", "P50", "P95", "P99", "STATUS", "24", "HOURS", "most", "2300"]
    assert first.startswith("duration     82ms   1.5s   4.2s  200  ")
    assert second.startswith("first byte   80ms   95ms  110ms  429  ")
    assert third.startswith("gateway    0.21ms 0.50ms 1.25ms  502  ")
    bars = build_bars([100 * turn for turn in range(24)], 3)
    assert [line[56:] for line in (first, second, third)] == bars


def test_a_wide_terminal_has_averages_counts_and_an_axis() -> None:
    lines = figures(full_board(), width=200, height=8)
    assert "AVG" in lines[0]
    assert "240ms" in lines[1]
    assert "3560  98.9%" in lines[1]
    assert "2300 │" in lines[1]
    assert "0 └────" in lines[7]
    assert "00:00" in lines[8]


def test_below_80_columns_there_are_no_hours() -> None:
    lines = figures(full_board(), width=60)
    assert "HOURS" not in lines[0]
    assert "98.9%" in lines[1]


def test_more_statuses_than_there_is_room_for_are_put_together() -> None:
    codes = dict.fromkeys((200, 400, 401, 404, 429, 500, 502), 10)
    board = full_board(picture=known(picture(replace(FIGURES, status_codes=codes, requests=74))))
    assert "more" in figures(board, height=3)[3]
    assert "more" not in "".join(figures(board, height=7))


@pytest.mark.parametrize("board", [Board(), full_board(picture=known(picture(NO_FIGURES)), hours=None)])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_a_dash_and_no_error(board: Board, width: int) -> None:
    lines = figures(board, width)
    assert lines[1].split()[:5] == ["duration", "-", "-", "-", "-"]


def test_ascii_is_enough() -> None:
    for width in (80, 200):
        assert all(line.isascii() for line in figures(full_board(), width, 6, plain=True))
