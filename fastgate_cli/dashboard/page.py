"""The whole screen, line by line, at any size: everything, the core of it, or one line.

Every line has room: what is too long for it is cut, and nothing wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from fastgate_cli.columns import NO_VALUE, format_count
from fastgate_cli.commands.log_columns import format_ms
from fastgate_cli.commands.metric_columns import format_percent
from fastgate_cli.commands.metric_page import format_rate
from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.figures import build_figures, build_totals
from fastgate_cli.dashboard.header import build_footer, build_header, build_notice
from fastgate_cli.dashboard.help import build_help
from fastgate_cli.dashboard.latest import build_latest, list_latest
from fastgate_cli.dashboard.paper import Paper, join_parts
from fastgate_cli.dashboard.rates import ERRORS_HEIGHT_MIN, build_rates
from fastgate_cli.dashboard.request import SheetPrinter, build_request
from fastgate_cli.dashboard.state import Seen, State
from fastgate_cli.dashboard.tops import build_tops

WIDTH_MIN, HEIGHT_MIN = 60, 15
_TOPS_HEIGHT_MIN = 20  # from which on there are tables
_FULL_HEIGHT = 24  # from which on there is air between the parts
_FRAME = 3  # header, notice, footer


@dataclass(frozen=True, slots=True)
class Heights:
    """How many lines each part has below its title; none of the tables if there is no room for them."""

    chart: int  # of requests; the errors below it have theirs
    figures: int
    tops: int
    latest: int
    gaps: bool


def find_heights(height: int) -> Heights:
    """Return how a height is shared out; the latest requests get what is left over."""
    more = max(0, height - _FULL_HEIGHT)
    gaps = height >= _FULL_HEIGHT
    chart = 1 + min(5, more // 4)
    figures = 3 + min(5, more // 5)
    tops = 0 if height < _TOPS_HEIGHT_MIN else 3 if not gaps else 4 + min(8, more // 4)
    errors = 2 if chart >= ERRORS_HEIGHT_MIN else 1
    used = _FRAME + chart + errors + 1 + (1 + figures) + (1 + tops if tops else 0) + 1 + (3 if gaps else 0)
    return Heights(chart, figures, tops, max(0, height - used), gaps)


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of the screen, from the top, and what is to be seen on it."""

    lines: Sequence[Text]
    seen: Seen


def build_page(
    board: Board, state: State, paper: Paper, printer: SheetPrinter, busy_seconds: float = 0.0
) -> Page:
    """Return the screen."""
    inner = replace(paper, height=max(1, paper.height - _FRAME))
    rows = list_latest(board, state)
    if state.is_helping:
        body, seen = build_help(inner), Seen(rows)
    elif state.mode == "request":
        body, seen = _build_request(board, state, inner, printer)
    elif paper.width < WIDTH_MIN or paper.height < HEIGHT_MIN:
        return _build_summary(board, state, paper)
    else:
        heights = find_heights(paper.height)
        body, seen = build_body(board, state, paper, heights), Seen(rows, max(1, heights.latest))
    lines = [build_header(board, state, paper), build_notice(board, state, paper, busy_seconds), *body]
    lines += [Text()] * (paper.height - 1 - len(lines))
    lines = [*lines[: paper.height - 1], build_footer(state, paper)]
    return Page(paper.fit(lines), seen)


def build_body(board: Board, state: State, paper: Paper, heights: Heights) -> list[Text]:
    """Return everything between the notice and the footer."""
    gap = [Text()] if heights.gaps else []
    parts: list[list[Text]] = [
        [*build_rates(board, paper, heights.chart), *gap],
        [build_totals(board, state, paper), *build_figures(board, paper, heights.figures), *gap],
        [*build_tops(board, state, paper, heights.tops), *gap] if heights.tops else [],
        build_latest(board, state, paper, heights.latest),
    ]
    sizes = (
        heights.chart + (2 if heights.chart >= ERRORS_HEIGHT_MIN else 1) + len(gap),
        2 + heights.figures + len(gap),
        1 + heights.tops + len(gap) if heights.tops else 0,
        1 + heights.latest,
    )
    # Each part keeps its place, however much of it there is.
    return [line for part, size in zip(parts, sizes, strict=True) for line in _set_height(part, size)]


def _set_height(lines: Sequence[Text], height: int) -> list[Text]:
    return [*lines[:height], *[Text()] * (height - len(lines))]


def _build_request(
    board: Board, state: State, paper: Paper, printer: SheetPrinter
) -> tuple[list[Text], Seen]:
    opened = board.opened
    row = opened.row if opened and opened.id == state.opened else None
    lines = printer.list_lines(row, paper) if row else []
    seen = Seen(list_latest(board, state), 1, len(lines), max(1, paper.height - 1))
    return build_request(state, opened, lines, paper), seen


def _build_summary(board: Board, state: State, paper: Paper) -> Page:
    """Return one line, and below it the filter that is being written, or what is wrong."""
    lines = [summarize(board, paper)]
    if state.mode == "filter":
        lines.append(build_footer(state, paper))
    elif paper.height > 1:
        lines.append(build_notice(board, state, paper, 0.0))
    lines = _set_height(lines, paper.height)
    if state.mode == "filter" and paper.height == 1:
        lines = [build_footer(state, paper)]
    return Page(paper.fit(lines), Seen(list_latest(board, state)))


def summarize(board: Board, paper: Paper) -> Text:
    """Return the figures that matter most in one line, as many as fit."""
    pulse, picture, zone = board.pulse, board.picture, paper.zone
    figures = picture.value.figures if picture else None
    values: list[tuple[str, str]] = [
        (format_rate(pulse.value.requests_per_second) if pulse else NO_VALUE, "req/s"),
        (format_rate(pulse.value.errors_per_second) if pulse else NO_VALUE, "err/s"),
    ]
    more: list[tuple[float | None, Callable[..., str], str]] = [
        (figures.p95_ms if figures else None, format_ms, "p95"),
        (figures.success_rate if figures else None, format_percent, "ok"),
        (pulse.value.in_flight if pulse else None, format_count, "in flight"),
    ]
    values += [(NO_VALUE if value is None else form(value, zone), name) for value, form, name in more]
    return join_parts(
        [Text.assemble((value, "bold"), (f" {name}", "dim")) for value, name in values], paper.width
    )
