"""The chart of `fastgate metrics now`: the requests of each part of the time, and the errors among them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta, tzinfo

from rich.text import Text

from fastgate_cli.charts import build_bars, build_sparkline
from fastgate_cli.columns import format_count, style_error_share
from fastgate_cli.time_axis import label_starts
from proxy.store.metrics import Picture

AXIS_WIDTH = 8  # a count of five characters or a name, and the line
HEIGHT = 3
TITLE_STYLE = "bold dim"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def build_chart(picture: Picture, zone: tzinfo, width: int, height: int, *, plain: bool) -> list[Text]:
    """Return the lines of the chart: its title, so many lines of bars, errors if there are any, and the axis.

    A bar has the colour of its share of errors; how many they are says the line below it, whatever colours
    there are.
    """
    starts = [start for start, _ in picture.intervals]
    groups = [group for _, group in picture.intervals]
    columns = max(1, (width - AXIS_WIDTH) // len(groups))
    requests, errors = [group.requests for group in groups], [group.errors for group in groups]
    styles = [style_error_share(group.errors, group.requests) for group in groups]
    upright, corner, level = ("|", "+", "-") if plain else ("│", "└", "─")
    labels = [format_count(max(requests), zone), *[""] * (height - 1)]
    lines = [Text(f"REQUESTS, EACH BAR {format_step(_find_step(picture))}", TITLE_STYLE)]
    for label, bars in zip(labels, build_bars(requests, height, plain=plain), strict=True):
        lines.append(_draw_bars(f"{label} {upright}", bars, styles, columns))
    lines.append(Text(f"0 {corner}".rjust(AXIS_WIDTH) + level * (columns * len(groups)), "dim"))
    if any(errors):
        spark = build_sparkline(errors, plain=plain)
        lines.append(_draw_bars("errors  ", spark, ["red"] * len(spark), columns))
    lines.append(Text(" " * AXIS_WIDTH + label_starts(starts, zone, columns), "dim"))
    return lines


def format_step(step: timedelta) -> str:
    """Return a length in its largest whole unit: 30s, 5m, 2h, 7d."""
    seconds = step.total_seconds()
    size, unit = next((one for one in _UNITS if seconds >= one[0] and seconds % one[0] == 0), _UNITS[-1])
    return f"{seconds / size:g}{unit}"


def _find_step(picture: Picture) -> timedelta:
    if len(picture.intervals) < 2:
        return picture.until - picture.since
    (first, _), (second, _) = picture.intervals[:2]
    return second - first


def _draw_bars(axis: str, bars: str, styles: Sequence[str], columns: int) -> Text:
    line = Text.assemble((axis.rjust(AXIS_WIDTH), "dim"))
    for bar, style in zip(bars, styles, strict=True):
        line.append(bar * columns, style)
    line.rstrip()
    return line
