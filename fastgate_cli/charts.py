"""Bars and charts as text, an eighth of a character exact. Pure: whoever draws them gives the colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastgate_cli.columns import format_count
from proxy.clock import STORAGE_TIMEZONE

HEIGHT = 4
_STEPS = 8  # of one line
_BLOCKS = " ▁▂▃▄▅▆▇█"
_SLICES = " ▏▎▍▌▋▊▉█"
_PLAIN_BLOCKS = " ...:::##"  # for a terminal whose encoding has no blocks


@dataclass(frozen=True, slots=True)
class BarChart:
    """One bar for each count, the oldest first, with what stands below the first and the last of them."""

    title: str
    counts: Sequence[int]
    first_label: str
    last_label: str


def chart_lines(chart: BarChart, *, height: int = HEIGHT, plain: bool = False) -> list[tuple[str, str]]:
    """Return a chart line by line, each as its axis and its bars; no lines if there is nothing to show."""
    peak = max(chart.counts, default=0)
    if peak <= 0:
        return []
    upright, corner, level = ("|", "+", "-") if plain else ("│", "└", "─")
    top = format_count(peak, STORAGE_TIMEZONE)
    labels = [top, *[""] * (height - 1)]
    lines = [
        (f"{label:>{len(top)}} {upright}", bars)
        for label, bars in zip(labels, build_bars(chart.counts, height, plain=plain), strict=True)
    ]
    width = len(chart.counts)
    lines.append((f"{'0':>{len(top)}} {corner}{level * width}", ""))
    below = f"{chart.first_label}{chart.last_label:>{max(0, width - len(chart.first_label))}}"
    lines.append((" " * (len(top) + 2) + below, ""))
    return lines


def build_bars(counts: Sequence[int], height: int, *, plain: bool = False) -> list[str]:
    """Return the lines of the bars, the highest first. What is more than nothing is seen."""
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    peak = max(1, *counts)
    steps = [-(-count * height * _STEPS // peak) for count in counts]  # rounded up
    return [
        "".join(blocks[min(_STEPS, max(0, step - line * _STEPS))] for step in steps)
        for line in range(height - 1, -1, -1)
    ]


def build_sparkline(counts: Sequence[int], *, plain: bool = False) -> str:
    """Return one line of bars. What is more than nothing is seen."""
    return build_bars(counts, 1, plain=plain)[0] if counts else ""


def build_bar(value: float, peak: float, width: int, *, plain: bool = False) -> str:
    """Return a bar that lies, as much of the width as the value is of the peak; more than nothing is seen."""
    if value <= 0 or peak <= 0 or width <= 0:
        return ""
    if plain:
        return "#" * max(1, round(width * min(value / peak, 1)))
    steps = max(1, round(width * _STEPS * min(value / peak, 1)))
    whole, rest = divmod(steps, _STEPS)
    return _SLICES[-1] * whole + (_SLICES[rest] if rest else "")
