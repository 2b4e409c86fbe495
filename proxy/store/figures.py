"""What requests come to: counts, averages and true percentiles, of however many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import Any

from peewee import Case, fn

from proxy.store.arithmetic import Distribution
from proxy.store.fact_scan import Reading, add_values, to_numbers
from proxy.store.groups import Group, count_groups, tag_group
from proxy.store.models import LogFact

STATUS_MIN, STATUS_MAX = 100, 999
STATUS: Any = Case(None, [(LogFact.status.between(STATUS_MIN, STATUS_MAX), LogFact.status)])
_STATUSES = STATUS_MAX + 1
_SOURCES = 2**31
# Of sources and statuses together there are few that differ.
_SOURCE_AND_STATUS: Any = fn.COALESCE(LogFact.source_n, 0) * _STATUSES + fn.COALESCE(STATUS, 0)
# What a tally adds up.
TOTALS: tuple[Any, ...] = (fn.SUM(LogFact.request_size), fn.SUM(LogFact.response_size))


@dataclass(frozen=True, slots=True)
class Figures:
    """What some requests came to. Those in flight are among the requests, and have no duration yet.

    Percentiles are of all values, by nearest rank. What nothing is known of is None. A stream that is in
    flight has a time to its first byte (TTFB) as soon as that has come.
    """

    requests: int
    errors: int  # refused, failed, or answered with 400 and above
    success_rate: float | None  # in percent of those that have ended
    in_flight: int
    streams: int
    bytes_in: int
    bytes_out: int
    avg_ms: float | None
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None
    ttfb_p50_ms: int | None
    ttfb_p95_ms: int | None
    ttfb_p99_ms: int | None
    gateway_p50_ms: float | None
    gateway_p95_ms: float | None
    gateway_p99_ms: float | None
    status_codes: Mapping[int, int]  # how many requests were answered with each


def list_values(interval: Any = None) -> list[Any]:
    """Return the expressions that a tally counts; `interval` is one for the number of a part of time."""
    number = _SOURCE_AND_STATUS
    if interval is not None:
        number = interval * (_SOURCES * _STATUSES) + number
    return [tag_group(number), LogFact.took_ms, LogFact.ttfb_ms, LogFact.gateway_us]


class Tally:
    """Adds up what is read of facts, `list_values` and `TOTALS`, to figures."""

    def __init__(self) -> None:
        self._counts: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())
        self._bytes = [0, 0]

    def add(self, reading: Reading) -> None:
        """Add some requests; values beyond those of a tally do not count."""
        for counts, values in zip(self._counts, reading.values, strict=False):
            add_values(counts, values)
        self._bytes = [*map(add, self._bytes, reading.totals)]

    @cached_property
    def _outcomes(self) -> dict[int, int]:
        """How often each outcome was there; asked for when everything was added."""
        return to_numbers(self._counts[0])

    def sum_up(self) -> Figures:
        """Return the figures of all that was added."""
        every = count_groups(self._outcomes, lambda _: 0).get(0, Group())
        statuses = count_groups(self._outcomes, lambda number: number % _STATUSES)
        took, ttfb, gateway = (Distribution(to_numbers(counts)) for counts in self._counts[1:])
        p50, p95, p99 = took.find_percentiles()
        ttfb_p50, ttfb_p95, ttfb_p99 = ttfb.find_percentiles()
        own_p50, own_p95, own_p99 = map(_to_ms, gateway.find_percentiles())
        return Figures(
            requests=every.requests,
            errors=every.errors,
            success_rate=every.success_rate,
            in_flight=every.in_flight,
            streams=every.streams,
            bytes_in=self._bytes[0],
            bytes_out=self._bytes[1],
            avg_ms=took.find_average(),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            ttfb_p50_ms=ttfb_p50,
            ttfb_p95_ms=ttfb_p95,
            ttfb_p99_ms=ttfb_p99,
            gateway_p50_ms=own_p50,
            gateway_p95_ms=own_p95,
            gateway_p99_ms=own_p99,
            status_codes={status: statuses[status].requests for status in sorted(statuses) if status},
        )

    def group_sources(self) -> dict[int, Group]:
        """Return the requests of each source, by the number of its word; those without one are not there."""
        sources = count_groups(self._outcomes, lambda number: number // _STATUSES % _SOURCES)
        sources.pop(0, None)
        return sources

    def group_intervals(self) -> dict[int, Group]:
        """Return the requests of each part of time, by its number; one without any is not there."""
        return count_groups(self._outcomes, lambda number: number // (_SOURCES * _STATUSES))


def _to_ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000
