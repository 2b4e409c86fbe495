"""The page of `fastgate metrics now` on a terminal: key figures, a chart, latency, statuses, what was most.

It fills the terminal that it is drawn on, and is whole at 80 columns by 24 lines. Everything is laid out line
by line, so that it stands under its title.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from fastgate_cli.charts import build_bar
from fastgate_cli.columns import (
    NO_VALUE,
    Row,
    escape_controls,
    format_count,
    style_error_share,
    style_errors,
    style_status_code,
    style_success_rate,
)
from fastgate_cli.commands.log_columns import format_ms, format_size
from fastgate_cli.commands.metric_chart import AXIS_WIDTH, HEIGHT, TITLE_STYLE, build_chart
from fastgate_cli.commands.metric_columns import format_own_ms, format_percent
from fastgate_cli.drawing import draw_lines
from fastgate_cli.output import blocks_wanted
from proxy.store.figures import Figures
from proxy.store.metrics import Picture

WIDTH_MIN, HEIGHT_MIN = 60, 24
_PIPE_SIZE = (100, 40)  # where there is no terminal that has one
_GAP = 3  # between two lists side by side
_SIDE_BY_SIDE = 80
_CELL_WIDTH_MIN, _CELL_WIDTH_MAX = 10, 16
_COUNT_WIDTH, _SHARE_WIDTH, _NAME_WIDTH, _LATENCY_WIDTH = 8, 7, 10, 7
_STATUSES_MIN, _TOPS_MIN = 4, 3
_COUNTED_WIDTH_MIN = 32
_NO_STATUS, _OTHERS = "none", "more"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page is drawn on; `more` is how many lines there are beyond those that it needs."""

    width: int
    more: int
    zone: tzinfo
    plain: bool

    @property
    def is_narrow(self) -> bool:
        """Whether two lists have no room side by side, and stand below each other."""
        return self.width < _SIDE_BY_SIDE

    @property
    def half(self) -> int:
        """How wide each of two lists is."""
        return self.width if self.is_narrow else (self.width - _GAP) // 2


def draw_picture(picture: Picture, zone: tzinfo) -> None:
    """Draw what a time came to."""
    width, height = measure_page()
    sheet = Sheet(width, max(0, height - HEIGHT_MIN), zone, plain=not blocks_wanted(sys.stdout))
    draw_lines(build_page(picture, sheet))


def count_bars() -> int:
    """Return how many bars the chart has room for."""
    return measure_page()[0] - AXIS_WIDTH


def measure_page() -> tuple[int, int]:
    """Return how many columns and lines there are to draw on."""
    columns, lines = shutil.get_terminal_size(_PIPE_SIZE)
    return max(WIDTH_MIN, columns), lines


def build_page(picture: Picture, sheet: Sheet) -> list[Text]:
    """Return the lines of the page."""
    chart_height = HEIGHT + min(7, sheet.more // 3)
    statuses = _STATUSES_MIN + min(6, sheet.more // 3)
    paths = _list_top("PATHS", "path", picture.top_paths, sheet)
    sources = _list_top("SOURCES", "source_path", picture.top_sources, sheet)
    parts = [
        [_describe_time(picture, sheet.zone)],
        _list_key_figures(picture, sheet),
        build_chart(picture, sheet.zone, sheet.width, chart_height, plain=sheet.plain),
        _put_beside(
            list_latency(picture.figures, sheet.zone),
            list_statuses(picture.figures, sheet.half, statuses, sheet.zone, plain=sheet.plain),
            sheet,
        ),
        _put_beside(paths, sources, sheet),
    ]
    return [line for part in parts for line in (*part, Text())][:-1]


def _describe_time(picture: Picture, zone: tzinfo) -> Text:
    since, until = picture.since.astimezone(zone), picture.until.astimezone(zone)
    clock = "%H:%M:%S" if (until - since).total_seconds() < 600 else "%H:%M"
    date = "%Y-%m-%d "
    last = until.strftime(clock if since.date() == until.date() else date + clock)
    return Text.assemble(
        (f"{since.strftime(date + clock)} to {last}", "bold"), (f"  {until.isoformat()[-6:]}", "dim")
    )


def _list_key_figures(picture: Picture, sheet: Sheet) -> list[Text]:
    figures, zone, rate = picture.figures, sheet.zone, picture.figures.success_rate
    cells = [
        ("requests", format_count(figures.requests, zone), ""),
        ("per min", format_rate(picture.requests_per_minute), ""),
        ("success", *_describe_rate(rate, zone)),
        ("errors", format_count(figures.errors, zone), style_errors(figures.errors)),
        ("streams", format_count(figures.streams, zone), ""),
        ("in flight", format_count(figures.in_flight, zone), ""),
        ("in", format_size(figures.bytes_in, zone), ""),
        ("out", format_size(figures.bytes_out, zone), ""),
    ]
    width = max(_CELL_WIDTH_MIN, min(sheet.width // len(cells), _CELL_WIDTH_MAX))
    shown = cells[: sheet.width // width]
    titles, values = Text(), Text()
    for title, value, style in shown:
        titles.append(title.upper().ljust(width), TITLE_STYLE)
        values.append(value.ljust(width), f"bold {style}")
    return [_trim(titles), _trim(values)]


def _describe_rate(rate: float | None, zone: tzinfo) -> tuple[str, str]:
    return (NO_VALUE, "dim") if rate is None else (format_percent(rate, zone), style_success_rate(rate))


def format_rate(rate: float) -> str:
    """Return a number of requests in some time in five characters."""
    return f"{rate:.1f}" if rate < 999.95 else f"{rate:.0f}" if rate < 9999.5 else f"{rate / 1000:.1f}k"


def list_latency(figures: Figures, zone: tzinfo, *, average: bool = True) -> list[Text]:
    """Return the percentiles of what requests took, a line each; `average` adds a column for it."""
    rows: list[tuple[str, Callable[[Any, tzinfo], str], tuple[float | None, ...]]] = [
        ("duration", format_ms, (figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.avg_ms)),
        ("first byte", format_ms, (figures.ttfb_p50_ms, figures.ttfb_p95_ms, figures.ttfb_p99_ms)),
        (
            "gateway",
            format_own_ms,
            (figures.gateway_p50_ms, figures.gateway_p95_ms, figures.gateway_p99_ms),
        ),
    ]
    columns = ("P50", "P95", "P99", "AVG") if average else ("P50", "P95", "P99")
    names = "".join(name.rjust(_LATENCY_WIDTH) for name in columns)
    lines = [Text("LATENCY".ljust(_NAME_WIDTH) + names, TITLE_STYLE)]
    for title, form, values in rows:
        cells = [NO_VALUE if value is None else form(value, zone) for value in values[: len(columns)]]
        lines.append(
            Text.assemble((title.ljust(_NAME_WIDTH), "dim"), *[cell.rjust(_LATENCY_WIDTH) for cell in cells])
        )
    return lines


def list_statuses(figures: Figures, width: int, room: int, zone: tzinfo, *, plain: bool) -> list[Text]:
    """Return how often each status was answered, the most frequent first; those of none were cut off.

    There is room for so many lines below the title. Where the width is small shares have to do.
    """
    counts = {str(code): count for code, count in figures.status_codes.items()}
    counts[_NO_STATUS] = figures.requests - figures.in_flight - sum(counts.values())
    ranked = sorted(((count, name) for name, count in counts.items() if count > 0), reverse=True)
    if len(ranked) > room:
        ranked[room - 1 :] = [(sum(count for count, _ in ranked[room - 1 :]), _OTHERS)]
    is_counted = width >= _COUNTED_WIDTH_MIN
    width -= 5 + _SHARE_WIDTH + (_COUNT_WIDTH if is_counted else 0)
    lines = [Text("STATUS", TITLE_STYLE)]
    for count, name in ranked:
        style = style_status_code(int(name)) if name.isdigit() else "red" if name == _NO_STATUS else "dim"
        bar = build_bar(count, ranked[0][0], width, plain=plain)
        figure = format_count(count, zone).rjust(_COUNT_WIDTH) if is_counted else ""
        figure += format_percent(count / figures.requests * 100, zone).rjust(_SHARE_WIDTH)
        lines.append(Text.assemble((name.ljust(5), style), (bar.ljust(width), style), figure))
    return lines


def _list_top(title: str, field: str, rows: Sequence[Row], sheet: Sheet) -> list[Text]:
    """Return what there was most of: its name, a bar if there is room for one, its requests and errors."""
    numbers = 2 * _COUNT_WIDTH
    bar_width = sheet.half // 4 if sheet.half >= 60 else 0
    name_width = sheet.half - numbers - bar_width - 1
    heading = f"{'REQUESTS':>{_COUNT_WIDTH + 1}}{'ERRORS':>{_COUNT_WIDTH}}"
    lines = [Text(title.ljust(name_width + bar_width) + heading, TITLE_STYLE)]
    shown = rows[: _TOPS_MIN + min(7, sheet.more // 3)]
    for row in shown:
        style = style_error_share(row["errors"], row["requests"])
        bar = build_bar(row["requests"], shown[0]["requests"], bar_width, plain=sheet.plain)
        lines.append(
            Text.assemble(
                cut_text(row[field] or NO_VALUE, name_width - 1, plain=sheet.plain) + " ",
                (bar.ljust(bar_width), style),
                f"{format_count(row['requests'], sheet.zone):>{_COUNT_WIDTH + 1}}",
                (
                    f"{format_count(row['errors'], sheet.zone):>{_COUNT_WIDTH}}",
                    style_errors(row["errors"]),
                ),
            )
        )
    return lines if rows else [lines[0], Text(NO_VALUE, "dim")]


def _put_beside(left: Sequence[Text], right: Sequence[Text], sheet: Sheet) -> list[Text]:
    if sheet.is_narrow:
        return [_trim(line) for line in (*left, Text(), *right)]
    lines = []
    for one, other in zip_longest(left, right, fillvalue=Text()):
        gap = " " * (sheet.half + _GAP - one.cell_len)
        lines.append(_trim(Text.assemble(one, gap, other)))
    return lines


def cut_text(text: str, width: int, *, plain: bool) -> str:
    """Return a text at a width, safe on a terminal; what is cut off is told. `plain` is for ASCII alone."""
    clean = escape_controls(text)
    if plain:
        clean = clean.encode("ascii", "backslashreplace").decode()
    if cell_len(clean) > width:
        mark = ".." if plain else "…"
        return set_cell_size(clean, width - len(mark)) + mark
    return set_cell_size(clean, width)


def _trim(line: Text) -> Text:
    line.rstrip()
    return line
