"""Requests and errors a second, now and over the last minutes, and beside them what is under way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from fastgate_cli.charts import build_bars
from fastgate_cli.columns import NO_VALUE, format_count, style_error_share, style_errors
from fastgate_cli.commands.log_columns import format_ms, format_size
from fastgate_cli.commands.metric_page import format_rate
from fastgate_cli.dashboard.board import Board
from fastgate_cli.dashboard.paper import GAP, Paper, draw_bars, put_beside
from fastgate_cli.dashboard.pulse import BEAT_SECONDS

ERRORS_HEIGHT_MIN = 4  # of the requests, from which on errors have two lines
_LABEL_WIDTH, _RATE_WIDTH = 11, 6
_FACTS_WIDTH = 30
_LATE_MS, _VERY_LATE_MS = 2_000, 10_000


def build_rates(board: Board, paper: Paper, height: int) -> list[Text]:
    """Return the lines: so many for requests, and below them one for errors, or two if there is room."""
    pulse = board.pulse.value if board.pulse else None
    facts = _list_facts(board, paper)
    chart_width = max(1, paper.width - _LABEL_WIDTH - _RATE_WIDTH - _FACTS_WIDTH - 2 * GAP)
    beats = pulse.beats[-chart_width:] if pulse else []
    errors_height = 2 if height >= ERRORS_HEIGHT_MIN else 1
    peak = max((beat.requests for beat in beats), default=0)
    rates = (pulse.requests_per_second, pulse.errors_per_second) if pulse else (None, None)
    labels = [
        *_label("requests/s", rates[0], "bold", height),
        *_label("errors/s", rates[1], f"bold {style_errors(1 if rates[1] else 0)}", errors_height),
    ]
    if height > 1 and peak:
        labels[1] = Text(f"most {format_rate(peak / BEAT_SECONDS)}".rjust(_LABEL_WIDTH + _RATE_WIDTH), "dim")
    styles = [style_error_share(beat.errors, beat.requests) for beat in beats]
    charts = [
        *_draw_chart([beat.requests for beat in beats], peak, styles, height, paper),
        *_draw_chart([beat.errors for beat in beats], peak, ["red"] * len(beats), errors_height, paper),
    ]
    # What is younger stands further right, also as long as there are fewer beats than there is room.
    charts = [Text.assemble(" " * (chart_width - line.cell_len), line) for line in charts]
    return put_beside(
        [(labels, _LABEL_WIDTH + _RATE_WIDTH), (charts, chart_width), (facts[: len(charts)], _FACTS_WIDTH)]
    )


def _label(name: str, rate: float | None, style: str, height: int) -> list[Text]:
    value = NO_VALUE if rate is None else format_rate(rate)
    line = Text.assemble((name.ljust(_LABEL_WIDTH), "dim"), (value.rjust(_RATE_WIDTH), style))
    return [line, *[Text()] * (height - 1)]


def _draw_chart(
    counts: Sequence[int], peak: int, styles: Sequence[str], height: int, paper: Paper
) -> list[Text]:
    """Return the lines of bars whose height is of a peak that may be another chart's."""
    scaled = build_bars([*counts, peak], height, plain=paper.plain)
    return [draw_bars(bars[:-1], styles) for bars in scaled]


def _list_facts(board: Board, paper: Paper) -> list[Text]:
    pulse = board.pulse.value if board.pulse else None
    gateway = board.gateway.value if board.gateway else None
    zone = paper.zone
    running = pulse.in_flight if pulse else None
    if gateway and gateway.in_flight is not None and board.pulse and not board.pulse.question.text:
        running = gateway.in_flight
    streams = pulse.streams if pulse else None
    rows = pulse.rows_per_second if pulse else None
    late = gateway.lag_ms if gateway else 0
    lag = "bold red" if late >= _VERY_LATE_MS else "bold yellow" if late >= _LATE_MS else "bold"
    facts = [
        ("in flight", NO_VALUE if running is None else format_count(running, zone), "bold"),
        ("streams", NO_VALUE if streams is None else format_count(streams, zone), "bold"),
        ("journal", NO_VALUE if gateway is None else format_ms(gateway.lag_ms, zone), lag),
        ("waiting", NO_VALUE if gateway is None else format_size(gateway.waiting_bytes, zone), lag),
        ("rows/s", NO_VALUE if rows is None else format_rate(rows), "bold"),
    ]
    return [_line_up(facts[start : start + 2]) for start in range(0, len(facts), 2)]


def _line_up(facts: Sequence[tuple[str, str, str]]) -> Text:
    line = Text()
    for name, value, style in facts:
        line.append(name.ljust(10) if not line else f"  {name:<8}", "dim")
        line.append(value.rjust(5), style)
    return line
