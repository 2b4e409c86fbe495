"""Priorities for routes that are to be tried in a certain order, with as few of them changed as can be.

Routes of one priority are ordered by what else tells them apart, their tie. So a route may share the priority
of the one before it unless its tie comes first; then it needs a greater one. Taking away from each priority
the steps that its place needs at least leaves numbers that only have to be in order, and the most that can
stay as they are is their longest non-decreasing subsequence. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

PRIORITY_MAX = 10_000
STEP = 10  # between a route at an end and its neighbour, so that another one finds room


class Place(NamedTuple):
    """A route in the wanted order: its priority, and its tie, which no other route has."""

    priority: int
    tie: Any


def renumber(places: Sequence[Place], moved: int, *, priority_max: int = PRIORITY_MAX) -> list[int]:
    """Return the priorities with which the routes are tried in this order.

    Where either of two could be changed, it is the one at the index `moved`. The bounds are 0 and
    `priority_max`, or wider if the priorities are already, or the routes too many.
    """
    steps = _count_steps(places)
    low = min(0, *(place.priority for place in places))
    high = max(priority_max, steps[-1], *(place.priority for place in places)) - steps[-1]
    levels = [place.priority - step for place, step in zip(places, steps, strict=True)]
    usable = [index for index, level in enumerate(levels) if low <= level <= high]
    kept = _find_longest(levels, usable)
    without = _find_longest(levels, [index for index in usable if index != moved])
    filled = _fill(levels, steps, without if len(without) == len(kept) else kept, low, high)
    return [level + step for level, step in zip(filled, steps, strict=True)]


def _count_steps(places: Sequence[Place]) -> list[int]:
    """Return for each place how many steps up there have to be before it."""
    steps = [0]
    for one, other in pairwise(places):
        steps.append(steps[-1] + (one.tie > other.tie))
    return steps


def _find_longest(levels: Sequence[int], indexes: Sequence[int]) -> list[int]:
    """Return the indexes of a longest subsequence of the levels that never goes down."""
    ends: list[int] = []  # the index of the smallest level that a subsequence of each length can end in
    before: dict[int, int] = {}
    for index in indexes:
        length = bisect_right(ends, levels[index], key=levels.__getitem__)
        if length:
            before[index] = ends[length - 1]
        ends[length : length + 1] = [index]
    found = ends[-1:]
    while found and found[-1] in before:
        found.append(before[found[-1]])
    return found[::-1]


def _fill(levels: Sequence[int], steps: Sequence[int], kept: Sequence[int], low: int, high: int) -> list[int]:
    """Return the levels, those that are not kept chosen anew: spread between two kept ones or set apart."""
    if not kept:  # the bounds are that narrow
        return [low] * len(levels)
    filled = list(levels)
    first, last = kept[0], kept[-1]
    for index in range(first):
        wanted = levels[first] + steps[first] - steps[index] - STEP * (first - index)
        filled[index] = max(low, wanted)
    for index in range(last + 1, len(levels)):
        wanted = levels[last] + steps[last] - steps[index] + STEP * (index - last)
        filled[index] = min(high, wanted)
    for start, end in pairwise(kept):
        for index in range(start + 1, end):
            filled[index] = levels[start] + (levels[end] - levels[start]) * (index - start) // (end - start)
    return filled
