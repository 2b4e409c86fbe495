"""What the gateway did in a time: one picture of it, or bucket by bucket.

Everything is read from the facts; `audit_logs`, whose rows are a kilobyte each, is never touched. A short
time is read in a few milliseconds, so that it can be asked for every second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any

from proxy.store.database import Database
from proxy.store.fact_scan import Span, add_values, read_facts, to_numbers
from proxy.store.facts import bound_place
from proxy.store.figures import TOTALS, Figures, Tally, list_values
from proxy.store.group_names import read_words
from proxy.store.groups import Group, choose_largest, count_groups, tag_errors
from proxy.store.log_filter import LogFilter, build_timeless_condition
from proxy.store.models import LogFact, Row

TOP_ROWS = 10


@dataclass(frozen=True, slots=True)
class Bucket:
    """A time that begins at `start`, and what it came to."""

    start: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class Picture:
    """What a time came to, as a whole and by its parts."""

    since: datetime
    until: datetime
    figures: Figures
    requests_per_minute: float
    top_paths: Sequence[Row]  # path, requests, errors
    top_sources: Sequence[Row]  # source_path, requests, errors
    intervals: Sequence[tuple[datetime, Group]]  # when each begins, and its requests


def read_now(
    database: Database,
    since: datetime,
    until: datetime,
    *,
    starts: Sequence[datetime] = (),
    wanted: LogFilter | None = None,
    top: int = TOP_ROWS,
) -> Picture:
    """Return what the time from `since` to `until` came to.

    `starts` are when its intervals begin, the first not after `since`, and each as long as the one before.
    Times of `wanted` do not count. Raises `InvalidInputError` for a filter that cannot be meant.
    """
    tally, paths = Tally(), Counter[str]()
    values = [*list_values(_number_intervals(starts)), tag_errors(LogFact.path_n)]
    condition = build_timeless_condition(database, wanted)
    for reading in read_facts(database, _find_spans([since, until]), condition, values, TOTALS):
        tally.add(reading)
        add_values(paths, reading.values[-1])
    figures, intervals = tally.sum_up(), tally.group_intervals()
    return Picture(
        since,
        until,
        figures,
        requests_per_minute=round(figures.requests / ((until - since) / timedelta(minutes=1)), 2),
        top_paths=_name_largest(database, "path", count_groups(to_numbers(paths)), top),
        top_sources=_name_largest(database, "source_path", tally.group_sources(), top),
        intervals=[(start, intervals.get(number, Group())) for number, start in enumerate(starts)],
    )


def read_buckets(
    database: Database, starts: Sequence[datetime], end: datetime, *, wanted: LogFilter | None = None
) -> list[Bucket]:
    """Return what each time came to that begins with one of `starts`, in order, and ends with the next.

    The last ends at `end`. One without requests is there, too. `wanted` is as for `read_now`.
    """
    figures = [Tally().sum_up()] * len(starts)
    condition = build_timeless_condition(database, wanted)
    readings = read_facts(database, _find_spans([*starts, end]), condition, list_values(), TOTALS)
    for span, parts in groupby(readings, key=attrgetter("span")):
        tally = Tally()
        for part in parts:
            tally.add(part)
        figures[span] = tally.sum_up()
    return [Bucket(start, figure) for start, figure in zip(starts, figures, strict=True)]


def _number_intervals(starts: Sequence[datetime]) -> Any:
    """Return the expression of the number of a request's interval; None if there is only one."""
    if len(starts) < 2:
        return None
    first, second = map(bound_place, starts[:2])
    return (LogFact.place - first) / (second - first)


def _find_spans(bounds: Sequence[datetime]) -> list[Span]:
    return [*pairwise(map(bound_place, bounds))]


def _name_largest(database: Database, field: str, groups: Mapping[int, Group], limit: int) -> list[Row]:
    chosen = choose_largest(groups, limit)
    words = read_words(database, chosen)
    return [
        {
            field: words.get(number),
            "requests": groups[number].requests,
            "errors": groups[number].errors,
        }
        for number in chosen
    ]
