"""Where the time of a request went: its parts, and how wide each is in a bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from fastgate_cli.columns import Row
from fastgate_cli.commands.log_columns import find_ttfb_ms


class TimePart(NamedTuple):
    """A part of the time that a request took."""

    name: str
    ms: float


def find_took_ms(row: Row) -> float | None:
    """Return the milliseconds from the request to the end of its response; None while there is none."""
    ended: datetime | None = row["response_time"]
    return None if ended is None else (ended - row["request_time"]).total_seconds() * 1000


def split_time(row: Row) -> list[TimePart]:
    """Return the parts of the time that a request took, in their order; none if it has not ended.

    The gateway's own share, then the wait for the first byte of the body, then the rest of the body.
    """
    took = find_took_ms(row)
    if took is None or took <= 0:
        return []
    ttfb = find_ttfb_ms(row)
    first = took if ttfb is None else min(max(ttfb, 0.0), took)
    own = min(max(row["gateway_ms"] or 0.0, 0.0), first)
    parts = [TimePart("gateway", own)] if row["gateway_ms"] is not None else []
    if ttfb is None:
        return [*parts, TimePart("wait", first - own)]
    return [*parts, TimePart("first byte", first - own), TimePart("rest", took - first)]


def share_cells(values: Sequence[float], width: int) -> list[int]:
    """Return how many of `width` cells each value gets: to scale, but no less than one if it is anything."""
    total = sum(values)
    if total <= 0:
        return [0] * len(values)
    exact = [value / total * width for value in values]
    cells = [max(int(share), 1) if value > 0 else 0 for value, share in zip(values, exact, strict=True)]
    while (missing := width - sum(cells)) != 0:
        # The one that is furthest from its share gives or takes.
        step = 1 if missing > 0 else -1
        able = [index for index, count in enumerate(cells) if step > 0 or count > 1]
        if not able:
            break
        cells[max(able, key=lambda index: (exact[index] - cells[index]) * step)] += step
    return cells


def format_exact_ms(value: float) -> str:
    """Return a duration with three digits that count: 0.42ms, 38.2ms, 382ms, 1.46s, 95s."""
    if value < 999.5:
        return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}ms"
    seconds = value / 1000
    return f"{seconds:.{0 if seconds >= 99.95 else 1 if seconds >= 9.995 else 2}f}s"
