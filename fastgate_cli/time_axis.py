"""How a time is cut into even parts for a chart, and what stands below them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from proxy.clock import from_us, to_us

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
# Lengths that people count in, the shortest first; beyond them it is as many days as it takes.
STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(1, 2, 5, 10, 15, 30),
        *(60, 120, 300, 600, 900, 1800),
        *(3600, 7200, 10_800, 21_600, 43_200),
        *(86_400, 172_800, 604_800),
    )
)
_LABEL_GAP = 3


def choose_step(length: timedelta, parts_max: int) -> timedelta:
    """Return how long each part is if a time is cut into so many parts at most, all of them even."""
    # The first and the last part may be cut short, so that there can be one more than the length has.
    least = length / max(1, parts_max - 1)
    return next((step for step in STEPS if step >= least), -(-least // _DAY) * _DAY)


def list_starts(since: datetime, until: datetime, step: timedelta, zone: tzinfo) -> list[datetime]:
    """Return when each part of a time begins, by the clock of a zone: the first not after `since`."""
    offset = since.astimezone(zone).utcoffset() or timedelta()
    step_us, offset_us = step // timedelta(microseconds=1), offset // timedelta(microseconds=1)
    first = (to_us(since) + offset_us) // step_us * step_us - offset_us
    return [from_us(start) for start in range(first, to_us(until), step_us)]


def label_starts(starts: Sequence[datetime], zone: tzinfo, columns: int) -> str:
    """Return the line below a chart of these parts, each so many columns wide: times where they are round."""
    step = starts[1] - starts[0] if len(starts) > 1 else _SECOND
    form = _choose_form(starts, zone)
    width = len(starts) * columns
    room = len(starts[0].astimezone(zone).strftime(form)) + _LABEL_GAP
    tick = choose_tick(step, -(-room // columns))
    line = ""
    for number, start in enumerate(starts):
        label = start.astimezone(zone).strftime(form)
        place = number * columns
        is_round = list_starts(start, start + step, tick, zone)[0] == start
        if is_round and place + len(label) <= width and place >= len(line) + (1 if line else 0):
            line = line.ljust(place) + label
    return line


def choose_tick(step: timedelta, parts_min: int) -> timedelta:
    """Return how far apart times are told: a length that people count in, so many parts at least."""
    fitting = (tick for tick in STEPS if tick >= parts_min * step and tick % step == timedelta())
    return next(fitting, parts_min * step)


def _choose_form(starts: Sequence[datetime], zone: tzinfo) -> str:
    if len(starts) > 1 and starts[1] - starts[0] < timedelta(minutes=1):
        return "%H:%M:%S"
    first, last = starts[0].astimezone(zone), starts[-1].astimezone(zone)
    if last - first < 2 * _DAY:
        return "%H:%M"
    return "%m-%d" if last - first < timedelta(days=365) else "%Y-%m-%d"
