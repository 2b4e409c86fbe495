"""Following the audit trail as it grows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peewee import SQL, fn

from proxy.clock import to_us
from proxy.store.database import Database
from proxy.store.facts import place_of
from proxy.store.log_filter import LogFilter, RowView, build_condition
from proxy.store.logs import SUMMARY, list_logs
from proxy.store.models import AuditLogRow, LogFact, Row

POLL_ROWS_MAX = 1_000
_IDS_PER_QUERY = 500
_LATE_ROWS_MAX = 1_000  # so many requests before another may have been committed after it
_IN_FLIGHT = AuditLogRow.response_time.is_null() & AuditLogRow.error_message.is_null()


class LogFollower:
    """Follows the audit trail: a request is told once if it is seen in flight, and once when it has ended.

    Rows are committed in batches, not in the order of their times, so that what is new is told by SQLite's
    row number. Requests in flight are remembered, `in_flight_max` at most, and asked after until they end; a
    filter is applied at both times, since what it asks for may be known only at the end.
    """

    def __init__(self, database: Database, wanted: LogFilter, *, in_flight_max: int = 10_000) -> None:
        self._database = database
        self._wanted = wanted
        self._condition = build_condition(wanted, RowView())
        self._in_flight_max = in_flight_max
        self._in_flight: set[str] = set()
        self._place = 0  # the row number up to which everything has been seen
        self._anchor: tuple[str, datetime] | None = None  # id and time of the row at that place
        self._is_moved = False

    def start(self, limit: int) -> list[Row]:
        """Return the last rows, oldest first, `limit` 0 for all; `poll` goes on from there."""
        with self._database.snapshot():
            newest = self._select(_row_number(), AuditLogRow.id, AuditLogRow.request_time)
            for place, row_id, moment in newest.order_by(_row_number().desc()).limit(1).tuples():
                self._place, self._anchor = place, (row_id, moment)
            # In no order: with one, SQLite would look at every row there is.
            begun = self._select(AuditLogRow.id).where(_IN_FLIGHT).limit(self._in_flight_max)
            self._in_flight.update(row_id for (row_id,) in begun.tuples())
            return list(list_logs(self._database, self._wanted, limit=limit, newest_first=False))

    def resume(self, database: Database) -> None:
        """Go on in a database that was opened anew, be it the same file or one that took its place.

        In another file, what is there already and not newer than the last request seen is taken for seen.
        """
        self._database = database
        self._is_moved = True

    def poll(self) -> list[Row]:
        """Return what has happened since, in order of time; what a burst leaves over comes next time."""
        with self._database.snapshot():
            self._correct_place()
            rows = self._take_ended() + self._take_new()
        return sorted(rows, key=lambda row: row["response_time"] or row["request_time"])

    def _select(self, *fields: Any) -> Any:
        return AuditLogRow.select(*fields).bind(self._database.peewee)

    def _take_ended(self) -> list[Row]:
        rows: list[Row] = []
        ids = sorted(self._in_flight)
        for start in range(0, len(ids), _IDS_PER_QUERY):
            chunk = ids[start : start + _IDS_PER_QUERY]
            running = self._select(AuditLogRow.id).where(AuditLogRow.id.in_(chunk), _IN_FLIGHT)
            ended = set(chunk) - {row_id for (row_id,) in running.tuples()}
            if ended:
                self._in_flight -= ended
                rows += self._database.fetch(
                    self._select(*SUMMARY).where(AuditLogRow.id.in_(sorted(ended)), self._condition)
                )
        return rows

    def _take_new(self) -> list[Row]:
        fields = (_row_number(), AuditLogRow.id, AuditLogRow.request_time, _IN_FLIGHT)
        query = self._select(*fields).where(_row_number() > self._place).order_by(_row_number())
        found = list(query.limit(POLL_ROWS_MAX).tuples())
        if not found:
            return []
        before, (self._place, *anchor, _) = self._place, found[-1]
        self._anchor = (anchor[0], anchor[1])
        room = self._in_flight_max - len(self._in_flight)
        self._in_flight.update([row_id for _, row_id, _, is_in_flight in found if is_in_flight][:room])
        span = (_row_number() > before) & (_row_number() <= self._place)
        return self._database.fetch(self._select(*SUMMARY).where(span, self._condition))

    def _correct_place(self) -> None:
        """Find the place again if the rows have been numbered anew, as VACUUM does."""
        is_moved, self._is_moved = self._is_moved, False
        if self._anchor is None:
            return
        row_id, moment = self._anchor
        there = self._select(AuditLogRow.id).where(_row_number() == self._place).scalar()
        last = self._select(fn.MAX(_row_number())).scalar() or 0
        # A row that was pruned leaves a gap, and the numbers after it as they were.
        if there == row_id or (there is None and last >= self._place and not is_moved):
            return
        found = self._select(_row_number()).where(AuditLogRow.id == row_id).scalar()
        self._place = found or self._find_place_at(moment)

    def _find_place_at(self, moment: datetime) -> int:
        """Return the number of the last row that was there at a moment, as far as times tell."""
        earlier = LogFact.select(LogFact.id).where(LogFact.place < place_of(to_us(moment) + 1))
        latest = earlier.order_by(LogFact.place.desc()).limit(_LATE_ROWS_MAX)
        return self._select(fn.MAX(_row_number())).where(AuditLogRow.id.in_(latest)).scalar() or 0


def _row_number() -> Any:
    return SQL("rowid")
