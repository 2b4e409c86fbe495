"""Reading the audit trail: filtered lists, one row, and following it as it grows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from peewee import SQL, fn

from proxy.errors import InvalidInputError, NotFoundError
from proxy.store.database import Database
from proxy.store.models import AuditLogRow, ProxyRouteRow, Row, clean_text, fields_of

TEXT_LENGTH_MAX = 500
POLL_ROWS_MAX = 1_000
_NUMBER_MAX = 2**63 - 1  # what SQLite calls an integer
_IDS_PER_QUERY = 500
_STATUS = re.compile(r"([1-5])xx|([0-9]{3})(?:-([0-9]{3}))?")
# Lists do without headers and bodies: they can be megabytes, and nobody reads them in a list.
SUMMARY = fields_of(
    AuditLogRow, without=("request_headers", "request_body", "response_headers", "response_body")
)
_WHOLE = fields_of(AuditLogRow)
_IN_FLIGHT = AuditLogRow.response_time.is_null() & AuditLogRow.error_message.is_null()


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which requests: every condition given has to hold; several values of one are alternatives."""

    since: datetime | None = None
    until: datetime | None = None
    keys: Sequence[str] = ()
    sources: Sequence[str] = ()
    routes: Sequence[str] = ()  # ids or names
    methods: Sequence[str] = ()
    status: Sequence[str] = ()  # 404, 4xx, 500-599
    path_glob: str | None = None
    stream: bool | None = None
    min_ms: int | None = None
    errors: bool = False  # refused, failed, or answered with 400 and above
    ip: str | None = None
    grep: str | None = None  # text anywhere in path, target, error or user agent


def list_logs(
    database: Database, wanted: LogFilter, *, limit: int = 0, newest_first: bool = True
) -> Iterator[Row]:
    """Return the requests that a filter lets through, read as they are asked for; `limit` 0 is all of them.

    Raises `InvalidInputError` at once for a filter that cannot be meant.
    """
    order: list[Any] = [AuditLogRow.request_time, AuditLogRow.id]
    if newest_first:
        order = [field.desc() for field in order]
    query = AuditLogRow.select(*SUMMARY).where(build_condition(wanted)).order_by(*order)
    return database.stream(query.limit(min(limit, _NUMBER_MAX) or None))


def get_log(database: Database, ref: str) -> Row:
    """Return one request, whole, by the id of its row or of the request; or raise `NotFoundError`."""
    text = clean_text(ref)
    for field in (AuditLogRow.id, AuditLogRow.request_id):
        if rows := database.fetch(AuditLogRow.select(*_WHOLE).where(field == text).limit(1)):
            return rows[0]
    raise NotFoundError(f"there is no request {ref!r}", hint="'fastgate logs list' shows the newest")


class LogFollower:
    """Follows the audit trail: a request is told once if it is seen in flight, and once when it has ended.

    Rows are committed in batches, not in the order of their times, so that what is new is told by SQLite's
    row number. Requests in flight are remembered, `in_flight_max` at most, and asked after until they end; a
    filter is applied at both times, since what it asks for may be known only at the end.
    """

    def __init__(self, database: Database, wanted: LogFilter, *, in_flight_max: int = 10_000) -> None:
        self._database = database
        self._wanted = wanted
        self._condition = build_condition(wanted)
        self._in_flight_max = in_flight_max
        self._in_flight: set[str] = set()
        self._place = 0  # the row number up to which everything has been seen
        self._anchor: tuple[str, datetime] | None = None  # id and time of the row at that place

    def start(self, limit: int) -> list[Row]:
        """Return the last rows, oldest first, `limit` 0 for all; `poll` goes on from there."""
        with self._database.snapshot():
            newest = self._select(_row_number(), AuditLogRow.id, AuditLogRow.request_time)
            for place, row_id, moment in newest.order_by(_row_number().desc()).limit(1).tuples():
                self._place, self._anchor = place, (row_id, moment)
            begun = self._select(AuditLogRow.id).where(_IN_FLIGHT).order_by(_row_number().desc())
            self._in_flight.update(row_id for (row_id,) in begun.limit(self._in_flight_max).tuples())
            return list(list_logs(self._database, self._wanted, limit=limit))[::-1]

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
        """Find the place again by time if the rows have been numbered anew, as VACUUM does."""
        if self._anchor is None:
            return
        row_id, moment = self._anchor
        there = self._select(AuditLogRow.id).where(_row_number() == self._place).scalar()
        last = self._select(fn.MAX(_row_number())).scalar() or 0
        # A row that was pruned leaves a gap, and the numbers after it as they were.
        if there != row_id and (there is not None or last < self._place):
            earlier = self._select(fn.MAX(_row_number())).where(AuditLogRow.request_time <= moment)
            self._place = earlier.scalar() or 0


def build_condition(wanted: LogFilter) -> Any:
    """Return a filter as one peewee expression. Raises `InvalidInputError` for what cannot be meant."""
    row = AuditLogRow
    lists: tuple[tuple[Sequence[str], Callable[[list[str]], Any]], ...] = (
        (wanted.keys, row.api_key.in_),
        (wanted.sources, row.source_path.in_),
        (wanted.routes, _match_routes),
        (wanted.methods, lambda methods: row.method.in_([method.upper() for method in methods])),
        (wanted.status, lambda texts: reduce(or_, map(_match_status, texts))),
    )
    singles: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
        (wanted.since, lambda moment: row.request_time >= moment),
        (wanted.until, lambda moment: row.request_time < moment),
        (wanted.path_glob, lambda glob: row.path % _check_text(glob)),
        (wanted.stream, lambda flag: row.is_stream == flag),
        (wanted.min_ms, _match_duration),
        (wanted.ip, _match_address),
        (wanted.grep, _match_text),
    )
    conditions = [match([clean_text(value) for value in values]) for values, match in lists if values]
    conditions += [match(value) for value, match in singles if value is not None]
    if wanted.errors:
        conditions.append((row.status_code >= 400) | row.error_message.is_null(False))
    return reduce(and_, conditions, SQL("1 = 1"))


def _row_number() -> Any:
    return SQL("rowid")


def _match_routes(refs: list[str]) -> Any:
    named = ProxyRouteRow.select(ProxyRouteRow.route_id).where(ProxyRouteRow.route_name.in_(refs))
    return AuditLogRow.route_id.in_(refs) | AuditLogRow.route_id.in_(named)


def _match_status(text: str) -> Any:
    match = _STATUS.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInputError(f"{text!r} is not a status", hint="write it as 404, 4xx or 500-599")
    low = int(match[1]) * 100 if match[1] else int(match[2])
    high = low + 99 if match[1] else int(match[3] or match[2])
    if high < low:
        raise InvalidInputError(f"{text!r} is an empty range", hint=f"write it as {high}-{low}")
    return AuditLogRow.status_code.between(low, high)


def _match_duration(min_ms: int) -> Any:
    if not 0 <= min_ms <= _NUMBER_MAX:
        raise InvalidInputError(f"{min_ms} is not a number of milliseconds")
    return AuditLogRow.response_time_ms >= min_ms


def _match_address(text: str) -> Any:
    try:
        return AuditLogRow.ip_address.in_([text, str(ipaddress.ip_address(text))])
    except ValueError:
        raise InvalidInputError(
            f"{text!r} is not an IP address", hint="write it as 127.0.0.1 or ::1"
        ) from None


def _match_text(text: str) -> Any:
    row = AuditLogRow
    part = _check_text(text)
    columns = (row.path, row.target_url, row.error_message, row.user_agent)
    return reduce(or_, [column.contains(part) for column in columns])


def _check_text(text: str) -> str:
    # A long pattern of many wildcards would keep SQLite busy for as long as it likes.
    if not 1 <= len(text) <= TEXT_LENGTH_MAX:
        raise InvalidInputError(f"a text to look for has 1 to {TEXT_LENGTH_MAX} characters")
    return clean_text(text)
