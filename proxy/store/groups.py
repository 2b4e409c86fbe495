"""Requests that have something in common: how many there are, and how many failed, run or are streams.

One number for each request says both which group it belongs to and what became of it, so that a single
expression is to be read; such numbers are counted, and only then taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from peewee import Case

from proxy.store.arithmetic import find_success_rate
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


def tag_errors(number: Any) -> Any:
    """Return the same of which only errors can be told: it is read in less time."""
    return number * _FLAGS + Case(None, [(IS_ERROR, _ERROR)], 0)


def count_groups(tags: Mapping[int, int], find: Callable[[int], int] = int) -> dict[int, Group]:
    """Return groups by their numbers, given how often each value of `tag_group` was there.

    `find` makes the number of a group of the number in the tag, so that several become one.
    """
    counts: dict[int, list[int]] = {}
    for tag, count in tags.items():
        number, flags = find(tag // _FLAGS), tag % _FLAGS
        group = counts.get(number)
        if group is None:
            group = counts[number] = [0] * _FLAGS
        group[flags] += count
    return {number: _build_group(group) for number, group in counts.items()}


def _build_group(counts: Sequence[int]) -> Group:
    """Return a group, given how many of its requests have which flags."""
    flagged = [
        sum(count for flags, count in enumerate(counts) if flags & flag)
        for flag in (_ERROR, _RUNNING, _STREAM)
    ]
    return Group(sum(counts), *flagged)


def choose_largest(groups: Mapping[int, Group], limit: int) -> list[int]:
    """Return the numbers of the largest groups, the largest first; `limit` 0 is all."""
    numbers = sorted(groups, key=lambda number: (-groups[number].requests, number))
    return numbers[: limit or None]
