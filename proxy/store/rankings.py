"""What there was most of: paths, sources, keys, routes, errors, and what each of them came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from peewee import SQL, Case, fn

from proxy.store.arithmetic import Distribution
from proxy.store.database import Database
from proxy.store.fact_scan import Span, add_values, read_facts, to_numbers
from proxy.store.facts import IS_ERROR, IS_FAULT, bound_place
from proxy.store.figures import STATUS
from proxy.store.group_names import (
    NameGroups,
    name_by_word,
    name_errors,
    name_keys,
    name_routes,
    name_statuses,
)
from proxy.store.groups import Group, choose_largest, count_groups, tag_group
from proxy.store.log_filter import LogFilter, build_timeless_condition
from proxy.store.models import LogFact, Row

Kind = Literal["paths", "sources", "keys", "routes", "errors", "methods", "ips", "statuses"]
_DURATIONS = 2**30  # milliseconds, twelve days: what took longer counts as that long
_DURATION: Any = Case(None, [(LogFact.took_ms >= _DURATIONS, _DURATIONS - 1)], LogFact.took_ms)
# What an error is called by: its reason or, below zero, the status that a backend answered with.
_REASON: Any = Case(None, [(IS_FAULT, LogFact.error_n)], 0 - STATUS)
_NUMBERS_MAX = 500  # of groups that a statement lists; for more of them all are read


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What requests are grouped by, as a number, and what says it in words."""

    number: Any
    name_groups: NameGroups
    is_of_errors: bool = False


def read_top(
    database: Database,
    kind: Kind,
    since: datetime,
    until: datetime,
    *,
    wanted: LogFilter | None = None,
    limit: int = 10,
) -> list[Row]:
    """Return what there was most of in a time, the most first; `limit` 0 is all of it.

    Each has the fields that name it, of which the first tells it from the others (see `group_names`);
    `requests`; `share` in percent of all requests, or of all errors if these are asked for; `errors`,
    `success_rate` and `streams`, which errors have not; `avg_ms`, `p50_ms`, `p95_ms` and `p99_ms`.
    Requests that have no such thing, as a refused one has no key, are not listed. Times of `wanted` do not
    count. Raises `InvalidInputError` for a filter that cannot be meant.
    """
    ranking = _RANKINGS[kind]
    condition = build_timeless_condition(database, wanted)
    if ranking.is_of_errors:
        condition &= IS_ERROR
    span = bound_place(since), bound_place(until)
    groups, total = _read_groups(database, span, condition, ranking.number)
    chosen = choose_largest(groups, limit)
    durations = _read_durations(database, span, condition, ranking.number, chosen)
    names = ranking.name_groups(database, chosen)
    return [
        {
            **names[number],
            "requests": groups[number].requests,
            "share": round(groups[number].requests / total * 100, 2),
            **({} if ranking.is_of_errors else _describe_outcomes(groups[number])),
            **_describe_durations(durations.cut_out(number * _DURATIONS, (number + 1) * _DURATIONS)),
        }
        for number in chosen
    ]


def _read_groups(database: Database, span: Span, condition: Any, number: Any) -> tuple[dict[int, Group], int]:
    """Return the groups by their numbers, and how many requests there are, those of no group among them."""
    counts, total = Counter[str](), 0
    for reading in read_facts(database, [span], condition, [tag_group(number)], [fn.COUNT(SQL("*"))]):
        add_values(counts, reading.values[0])
        total += reading.totals[0]
    return count_groups(to_numbers(counts)), total


def _read_durations(
    database: Database, span: Span, condition: Any, number: Any, chosen: Sequence[int]
) -> Distribution:
    """Return the durations of the groups that are chosen, each behind its group's number."""
    if len(chosen) <= _NUMBERS_MAX:
        condition &= number.in_([*chosen])
    counts = Counter[str]()
    for reading in read_facts(database, [span], condition, [number * _DURATIONS + _DURATION]):
        add_values(counts, reading.values[0])
    return Distribution(to_numbers(counts))


def _describe_outcomes(group: Group) -> Row:
    return {"errors": group.errors, "success_rate": group.success_rate, "streams": group.streams}


def _describe_durations(durations: Distribution) -> Row:
    p50, p95, p99 = durations.find_percentiles()
    return {"avg_ms": durations.find_average(), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


_RANKINGS: Mapping[Kind, _Ranking] = {
    "paths": _Ranking(LogFact.path_n, name_by_word("path")),
    "sources": _Ranking(LogFact.source_n, name_by_word("source_path")),
    "keys": _Ranking(LogFact.key_n, name_keys),
    "routes": _Ranking(LogFact.route_n, name_routes),
    "errors": _Ranking(_REASON, name_errors, is_of_errors=True),
    "methods": _Ranking(LogFact.method_n, name_by_word("method")),
    "ips": _Ranking(LogFact.ip_n, name_by_word("ip_address")),
    "statuses": _Ranking(STATUS, name_statuses),
}
