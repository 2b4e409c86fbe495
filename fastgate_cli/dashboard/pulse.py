"""What a dashboard reads of the last minutes: the requests of a few seconds each, and what is in flight.

A part of time is read again until nothing in it can change any more; then it is remembered.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from datetime import datetime, timedelta
from pathlib import Path

from fastgate_cli.dashboard.board import Beat, Pulse
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.source import Source
from proxy.audit.claim import journal_lag_ms
from proxy.clock import from_us, to_us
from proxy.store.database import Database
from proxy.store.groups import Group
from proxy.store.liveness import count_in_flight, count_recorded
from proxy.store.log_filter import LogFilter
from proxy.store.metrics import read_now

BEAT_SECONDS = 5
BEATS = 180  # a quarter of an hour
# Rates are of the present beat and those before it: of 10 to 15 seconds.
RATE_BEATS = 3
_BEAT = timedelta(seconds=BEAT_SECONDS)
# The clocks of processes, and the mark of the recorder, are not exact to the millisecond.
_MARGIN = timedelta(seconds=1)


class PulseJob:
    """Reads the last minutes, beat by beat."""

    part = "pulse"

    def __init__(self, directory: Path, pace: Pace) -> None:
        self.pace = pace
        self._directory = directory
        self._wanted: LogFilter | None = None
        self._settled: dict[datetime, Group] = {}
        self._recorded: tuple[float, int] | None = None  # when it was looked at, and how many there were

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the filter: the time is always the same."""
        return wish.question.wanted

    def read(self, source: Source, wish: Wish, now: datetime) -> Pulse:
        """Return the pulse. Raises `DatabaseError`."""
        database, wanted = source.connect(), wish.question.wanted
        if wanted != self._wanted:
            self._wanted = wanted
            self._settled.clear()
        beats = self._read_beats(database, wanted, now)
        recent = beats[-RATE_BEATS:]
        seconds = max(0.001, (now - recent[0].start).total_seconds())
        running = count_in_flight(database, wanted)
        return Pulse(
            beats,
            requests_per_second=sum(beat.requests for beat in recent) / seconds,
            errors_per_second=sum(beat.errors for beat in recent) / seconds,
            in_flight=running.requests,
            streams=running.streams,
            rows_per_second=self._find_rate(count_recorded(database)),
        )

    def _read_beats(self, database: Database, wanted: LogFilter, now: datetime) -> list[Beat]:
        starts = list_beats(now)
        # What is asked for before it is read: a request that comes meanwhile is not taken for seen.
        recorded = now - timedelta(milliseconds=journal_lag_ms(self._directory)) - _MARGIN
        missing = next(turn for turn, start in enumerate(starts) if start not in self._settled)
        picture = read_now(database, starts[missing], now, starts=starts[missing:], wanted=wanted, top=1)
        groups = {start: self._settled[start] for start in starts[:missing]} | dict(picture.intervals)
        self._settled = {
            start: group
            for start, group in groups.items()
            if not group.in_flight and start + _BEAT <= recorded
        }
        return [Beat(start, groups[start].requests, groups[start].errors) for start in starts]

    def _find_rate(self, recorded: int) -> float | None:
        before, self._recorded = self._recorded, (time.monotonic(), recorded)
        if before is None or before[1] > recorded:
            return None
        return (recorded - before[1]) / max(0.001, self._recorded[0] - before[0])


def list_beats(now: datetime) -> list[datetime]:
    """Return when each of the last beats began, the present one last."""
    step_us = BEAT_SECONDS * 1_000_000
    present = to_us(now) // step_us * step_us
    return [from_us(present - step_us * back) for back in range(BEATS - 1, -1, -1)]
