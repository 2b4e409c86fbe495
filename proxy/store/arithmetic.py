"""Rates, averages and true percentiles of numbers of which is known how often each was there. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from operator import mul

PERCENTS = (50, 95, 99)


def find_success_rate(ended: int, errors: int) -> float | None:
    """Return the share of what is no error in percent; 100 and 0 only if it is all, and nothing."""
    if ended <= 0:
        return None
    rate = round((ended - errors) / ended * 100, 2)
    return rate if errors in (0, ended) else min(max(rate, 0.01), 99.99)


def find_average(counts: Mapping[int, int]) -> float | None:
    """Return the average of the numbers."""
    total = sum(counts.values())
    return round(sum(map(mul, counts, counts.values())) / total, 2) if total else None


def find_percentiles(counts: Mapping[int, int], percents: Iterable[int] = PERCENTS) -> list[int | None]:
    """Return percentiles by nearest rank: p95 is the least number that 95 % of all do not exceed."""
    numbers = sorted(counts)
    ranks = list(accumulate(map(counts.__getitem__, numbers)))
    if not ranks:
        return [None for _ in percents]
    return [numbers[bisect_left(ranks, -(-ranks[-1] * percent // 100))] for percent in percents]
