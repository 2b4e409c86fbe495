"""Rates, and averages and true percentiles of numbers. Pure."""

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


class Distribution:
    """Numbers in their order, and how often each was there."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._numbers = sorted(counts)
        self._counts = [*map(counts.__getitem__, self._numbers)]

    def find_average(self) -> float | None:
        """Return the average of the numbers."""
        total = sum(self._counts)
        return round(sum(map(mul, self._numbers, self._counts)) / total, 2) if total else None

    def find_percentiles(self, percents: Iterable[int] = PERCENTS) -> list[int | None]:
        """Return percentiles by nearest rank: p95 is the least number that 95 % of all do not exceed."""
        ranks = [*accumulate(self._counts)]
        if not ranks:
            return [None for _ in percents]
        return [self._numbers[bisect_left(ranks, -(-ranks[-1] * percent // 100))] for percent in percents]

    def cut_out(self, low: int, high: int) -> Distribution:
        """Return the numbers from the first up to the second, which is not among them, less the first."""
        first, last = bisect_left(self._numbers, low), bisect_left(self._numbers, high)
        part = Distribution({})
        part._numbers = [number - low for number in self._numbers[first:last]]
        part._counts = self._counts[first:last]
        return part
