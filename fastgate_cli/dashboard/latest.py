"""The latest requests as `fastgate logs tail` shows them, and which of them is selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from fastgate_cli.columns import Column, Row
from fastgate_cli.commands.log_columns import COLUMNS, IN_FLIGHT, date_columns
from fastgate_cli.commands.metric_chart import TITLE_STYLE
from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.paper import GAP, Paper, fit_line
from fastgate_cli.dashboard.state import State
from fastgate_cli.drawing import fit_stream, title_of

_NONE = "no requests yet"
_NONE_WANTED = "no such requests"
# What a terminal that is less wide does without, and what one that is wide shows besides.
_MIDDLE, _WIDE = 100, 150
_DROPPED = {80: ("response_size", "ttfb", "method"), _MIDDLE: ("response_size",)}
_REMARK_WIDTH = 18  # on one that is not wide, so that a path of the usual kind is whole
_ADDED = {"ip_address": 15, "target_url": 40}


def list_latest(board: Board, state: State) -> tuple[Row, ...]:
    """Return what is listed: the newest requests, or those held, as far along as they are known to be."""
    newest = board.latest.value if board.latest else ()
    if not state.held:
        return tuple(newest)
    known = {row["id"]: row for row in newest}
    return tuple(known.get(row["id"], row) for row in state.held)


def build_latest(board: Board, state: State, paper: Paper, height: int) -> list[Text]:
    """Return the line of titles, and so many requests."""
    rows = list_latest(board, state)
    columns = _choose_columns(rows, paper)
    widths = fit_stream(columns, paper.width)
    heading = Text(style=TITLE_STYLE)
    for column, width in zip(columns, widths, strict=True):
        text = title_of(column)
        heading.append(paper.cut(text.rjust(width) if column.justify == "right" else text, width))
        heading.append(" " * GAP)
    if not rows:
        text = "reading" if board.latest is None else _NONE_WANTED if state.question.text else _NONE
        return [heading, Text(text, "dim")]
    top = find_top(state, len(rows), height)
    lines = [heading]
    for place, row in enumerate(rows[top : top + height], top):
        line = _build_row(row, columns, widths, paper)
        if place == state.selected:
            line = fit_line(line, paper.width)
            line.stylize("reverse")
        lines.append(line)
    return lines


def find_top(state: State, count: int, height: int) -> int:
    """Return the first request that is listed, such that the selected one is, whatever the height is now."""
    if state.selected < 0:
        return 0
    top = max(state.selected - height + 1, min(state.top, state.selected))
    return max(0, min(top, count - height))


def _choose_columns(rows: Sequence[Row], paper: Paper) -> list[Column]:
    shown = [column for column in COLUMNS if column.shown in ("always", "display")]
    dropped = next((names for width, names in _DROPPED.items() if paper.width < width), ())
    shown = [column for column in shown if column.name not in dropped]
    if paper.width < _MIDDLE:
        shown = [replace(one, width=_REMARK_WIDTH) if one.name == "remark" else one for one in shown]
    if paper.width >= _WIDE:
        known = {column.name: column for column in COLUMNS}
        shown += [replace(known[name], width=width) for name, width in _ADDED.items()]
    midnight = paper.now.astimezone(paper.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return date_columns(shown, rows, midnight)


def _build_row(row: Row, columns: Sequence[Column], widths: Sequence[int], paper: Paper) -> Text:
    line = Text()
    for column, width in zip(columns, widths, strict=True):
        text = column.cell_of(row, paper.zone, full=False)
        if paper.plain:
            text = text.replace(IN_FLIGHT, "...")
        if column.justify == "right":
            text = text.rjust(width)
        line.append(paper.cut(text, width), column.style_of(row))
        line.append(" " * GAP)
    return line
