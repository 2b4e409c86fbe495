"""What the range came to in all, its latency and statuses, and beside them the trend of the last 24 hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.text import Text

from fastgate_cli.charts import build_bars
from fastgate_cli.columns import (
    NO_VALUE,
    format_age,
    format_count,
    style_error_share,
    style_errors,
    style_success_rate,
)
from fastgate_cli.commands.log_columns import format_size
from fastgate_cli.commands.metric_columns import format_percent
from fastgate_cli.commands.metric_page import list_latency, list_statuses
from fastgate_cli.dashboard.board import Beat, Board
from fastgate_cli.dashboard.paper import (
    GAP,
    Block,
    Paper,
    draw_bars,
    figure,
    join_parts,
    put_beside,
    put_right,
    title,
)
from fastgate_cli.dashboard.state import State
from fastgate_cli.time_axis import label_starts
from proxy.store.figures import Tally

OLD_AFTER = timedelta(seconds=10)
_LATENCY_WIDTH, _AVERAGE_WIDTH = 31, 38
_STATUSES_WIDTH_MIN = 21
_HOURS = 24
_HOURS_WIDTH_MIN = 80  # of the paper
_AXIS_WIDTH = 8
_AXIS_WIDTH_MIN = 110  # of the paper, from which on the hours have an axis
_COLUMNS_MAX = 4  # of one hour


def build_totals(board: Board, state: State, paper: Paper) -> Text:
    """Return the line of what the range came to; it says so if that was some time ago."""
    known, zone = board.picture, paper.zone
    if known is None:
        return join_parts([title(state.question.range.title), Text("reading", "dim")], paper.width)
    figures = known.value.figures
    rate = figures.success_rate
    success = NO_VALUE if rate is None else format_percent(rate, zone)
    parts = [
        title(known.question.range.title),
        figure(format_count(figures.requests, zone), "requests"),
        figure(success, "success", "dim" if rate is None else style_success_rate(rate)),
        figure(format_count(figures.errors, zone), "errors", style_errors(figures.errors)),
        figure(format_count(figures.streams, zone), "streams"),
        figure(format_size(figures.bytes_in, zone), "in"),
        figure(format_size(figures.bytes_out, zone), "out"),
    ]
    age = Text()
    if known.question != state.question:
        age = Text("  reading", "yellow")
    elif paper.now - known.at > OLD_AFTER:
        age = Text(f"  {format_age(known.at, paper.now)}", "yellow")
    return put_right(join_parts(parts, paper.width - age.cell_len), age, paper.width)


def build_figures(board: Board, paper: Paper, height: int) -> list[Text]:
    """Return a title line and so many below it: latency, statuses, and the last hours if there is room."""
    figures = board.picture.value.figures if board.picture else Tally().sum_up()
    has_axis = paper.width >= _AXIS_WIDTH_MIN
    latency_width = _AVERAGE_WIDTH if has_axis else _LATENCY_WIDTH
    hours, hours_width = _build_hours(board, paper, height, has_axis=has_axis)
    statuses_width = paper.width - latency_width - GAP - (hours_width + GAP if hours_width else 0)
    statuses = list_statuses(figures, statuses_width, height, paper.zone, plain=paper.plain)
    if len(statuses) == 1:
        statuses.append(Text(NO_VALUE, "dim"))
    blocks: list[Block] = [
        (list_latency(figures, paper.zone, average=has_axis), latency_width),
        (statuses, statuses_width),
    ]
    if hours_width:
        blocks.append((hours, hours_width))
    return put_beside(blocks)


def _build_hours(board: Board, paper: Paper, height: int, *, has_axis: bool) -> Block:
    if paper.width < _HOURS_WIDTH_MIN:
        return [], 0
    axis_width = _AXIS_WIDTH if has_axis else 0
    room = paper.width - _AVERAGE_WIDTH - _STATUSES_WIDTH_MIN - 3 * GAP - axis_width
    columns = max(1, min(room // _HOURS, _COLUMNS_MAX))
    hours = board.hours.value if board.hours else []
    width = _HOURS * columns + axis_width
    if has_axis:
        return [title("last 24 hours"), *_draw_with_axis(hours, height, columns, paper)], width
    peak = max((hour.requests for hour in hours), default=0)
    heading = put_right(title("24 hours"), Text(f"most {format_count(peak, paper.zone)}", "dim"), width)
    return [heading, *_draw_hours(hours, height, columns, paper)], width


def _draw_with_axis(hours: Sequence[Beat], height: int, columns: int, paper: Paper) -> list[Text]:
    """Return the bars with their scale, and times below them."""
    upright, corner, level = ("|", "+", "-") if paper.plain else ("│", "└", "─")
    peak = max((hour.requests for hour in hours), default=0)
    bars = _draw_hours(hours, max(1, height - 2), columns, paper)
    scale = [format_count(peak, paper.zone), *[""] * (len(bars) - 1)]
    lines = [
        Text.assemble((f"{label} {upright}".rjust(_AXIS_WIDTH), "dim"), line)
        for label, line in zip(scale, bars, strict=True)
    ]
    lines.append(Text(f"0 {corner}".rjust(_AXIS_WIDTH) + level * (columns * _HOURS), "dim"))
    labels = label_starts([hour.start for hour in hours], paper.zone, columns) if len(hours) > 1 else ""
    lines.append(Text(" " * _AXIS_WIDTH + labels, "dim"))
    return lines[:height]


def _draw_hours(hours: Sequence[Beat], height: int, columns: int, paper: Paper) -> list[Text]:
    styles = [style_error_share(hour.errors, hour.requests) for hour in hours]
    counts = [hour.requests for hour in hours] or [0]
    return [
        draw_bars(bars[: len(styles)], styles, columns)
        for bars in build_bars(counts, height, plain=paper.plain)
    ]
