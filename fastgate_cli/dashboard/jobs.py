"""What a dashboard reads of the audit trail: figures of a time, the last hours, what was most, the latest."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime, timedelta, tzinfo

from fastgate_cli.columns import Row
from fastgate_cli.commands.log_columns import is_in_flight
from fastgate_cli.dashboard.board import Beat, Kind, Opened
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.source import Source
from proxy.clock import list_hours
from proxy.errors import NotFoundError
from proxy.store.groups import Group
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from proxy.store.metrics import Picture, read_now
from proxy.store.rankings import read_top

HOURS = 24
LATEST_ROWS = 100
TOP_ROWS = 100
_HOUR = timedelta(hours=1)
_LONG_SECONDS = 3_600.0


class PictureJob:
    """Reads the figures of the range."""

    part = "picture"

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the whole question."""
        return wish.question

    def read(self, source: Source, wish: Wish, now: datetime) -> Picture:
        """Return what the range came to. Raises `DatabaseError`."""
        question = wish.question
        return read_now(source.connect(), now - question.range.length, now, wanted=question.wanted, top=1)


class TopJob:
    """Reads what there was most of in the range."""

    def __init__(self, kind: Kind, pace: Pace) -> None:
        self.part: str = kind
        self.pace = pace
        self._kind = kind

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the whole question."""
        return wish.question

    def read(self, source: Source, wish: Wish, now: datetime) -> list[Row]:
        """Return the largest groups, each as `read_top` has it. Raises `DatabaseError`."""
        question = wish.question
        since = now - question.range.length
        found = read_top(source.connect(), self._kind, since, now, wanted=question.wanted, limit=TOP_ROWS)
        return [*found]


class HoursJob:
    """Reads the last 24 hours, of which only the last ones change: all are read when an hour has passed."""

    part = "hours"

    def __init__(self, zone: tzinfo, pace: Pace) -> None:
        self.pace = pace
        self._zone = zone
        self._read: tuple[LogFilter, datetime] | None = None  # for which filter, and in which hour
        self._settled: dict[datetime, Group] = {}

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the filter: the time is always the same."""
        return wish.question.wanted

    def read(self, source: Source, wish: Wish, now: datetime) -> list[Beat]:
        """Return the hours by the clock of the zone, the present one last. Raises `DatabaseError`."""
        starts, wanted = list_hours(now, self._zone, HOURS), wish.question.wanted
        if self._read != (wanted, starts[-1]):
            self._read = (wanted, starts[-1])
            self._settled.clear()
        missing = next(turn for turn, start in enumerate(starts) if start not in self._settled)
        picture = read_now(
            source.connect(), starts[missing], now, starts=starts[missing:], wanted=wanted, top=1
        )
        groups = self._settled | dict(picture.intervals)
        # What ran at the turn of the hour has its end in the hour before.
        last = 2 if groups[starts[-2]].in_flight else 1
        self._settled = {start: groups[start] for start in starts[:-last]}
        return [Beat(start, groups[start].requests, groups[start].errors) for start in starts]


class LatestJob:
    """Reads the latest requests."""

    part = "latest"

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the filter."""
        return wish.question.wanted

    def read(self, source: Source, wish: Wish, _: datetime) -> list[Row]:
        """Return them, the newest first. Raises `DatabaseError`."""
        return [*list_logs(source.connect(), wish.question.wanted, limit=LATEST_ROWS)]


class OpenedJob:
    """Reads one request whole, and again as long as it is in flight."""

    part = "opened"

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._interval_seconds = pace.interval_seconds

    def find_subject(self, wish: Wish) -> Hashable:
        """Return the id; None if no request is open."""
        return wish.opened or None

    def read(self, source: Source, wish: Wish, _: datetime) -> Opened:
        """Return the request. Raises `DatabaseError`."""
        try:
            row = get_log(source.connect(), wish.opened)
        except NotFoundError:
            row = None
        is_over = row is None or not is_in_flight(row)
        self.pace.interval_seconds = _LONG_SECONDS if is_over else self._interval_seconds
        return Opened(wish.opened, row)
