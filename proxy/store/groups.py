"""Requests that have something in common: how many there are, and how many failed, run or are streams.

One number for each request says both which group it belongs to and what became of it, so that a single
expression is to be read; such numbers are counted, and only then taken apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import add
from typing import Any, NamedTuple

from peewee import Case

from proxy.store.arithmetic import find_success_rate
from proxy.store.fact_scan import to_numbers
from proxy.store.facts import IS_ERROR
from proxy.store.models import LogFact

_FLAGS = 8
_ERROR, _RUNNING, _STREAM = 1, 2, 4


class Group(NamedTuple):
    """Some requests; what becomes of those in flight is not known yet."""

    requests: int = 0
    errors: int = 0  # refused, failed, or answered with 400 and above
    in_flight: int = 0
    streams: int = 0

    @property
    def success_rate(self) -> float | None:
        """Return the share in percent, of the requests that have ended, of those that are no errors."""
        return find_success_rate(self.requests - self.in_flight, self.errors)


def tag_group(number: Any) -> Any:
    """Return the expression of a group's number together with what became of a request."""
    return (
        number * _FLAGS
        + Case(None, [(IS_ERROR, _ERROR), (LogFact.took_ms.is_null(), _RUNNING)], 0)
        + Case(None, [(LogFact.is_stream, _STREAM)], 0)
    )


def count_groups(counts: Counter[str]) -> dict[int, Group]:
    """Return the groups by their numbers, given how often each value of `tag_group` was there."""
    return merge_groups(
        (value // _FLAGS, _build_group(count, value % _FLAGS)) for value, count in to_numbers(counts).items()
    )


def merge_groups(groups: Iterable[tuple[int, Group]]) -> dict[int, Group]:
    """Return groups by their numbers, those of one number together."""
    merged: dict[int, Group] = {}
    for number, group in groups:
        before = merged.get(number)
        merged[number] = group if before is None else Group(*map(add, before, group))
    return merged


def sum_groups(groups: Iterable[Group]) -> Group:
    """Return all requests together."""
    return Group(*map(sum, zip(*groups, strict=True)))


def _build_group(count: int, flags: int) -> Group:
    return Group(count, *(count if flags & flag else 0 for flag in (_ERROR, _RUNNING, _STREAM)))


def choose_largest(groups: Mapping[int, Group], limit: int) -> list[int]:
    """Return the numbers of the largest groups, the largest first; `limit` 0 is all."""
    numbers = sorted(groups, key=lambda number: (-groups[number].requests, number))
    return numbers[: limit or None]
