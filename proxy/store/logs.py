"""Reading the audit trail: filtered lists, page by page, and one request whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import and_
from typing import Any

from peewee import SQL, fn

from proxy.clock import to_us
from proxy.errors import NotFoundError
from proxy.store.database import Database
from proxy.store.facts import place_of
from proxy.store.log_filter import NUMBER_MAX, FactView, LogFilter, build_condition
from proxy.store.models import PLACES_PER_US, AuditLogRow, Fields, LogFact, Row, clean_text, fields_of

_HEADERS = ("request_headers", "response_headers")
_BODIES = ("request_body", "response_body")
# Lists do without headers and bodies: they can be megabytes, and nobody reads them in a list.
SUMMARY = fields_of(AuditLogRow, without=(*_HEADERS, *_BODIES))
_WHOLE = fields_of(AuditLogRow)
_REQUEST_PREFIX, _LOG_PREFIX = "req_", "log_"


def list_logs(
    database: Database,
    wanted: LogFilter,
    *,
    limit: int = 0,
    newest_first: bool = True,
    before: str | None = None,
    after: str | None = None,
    headers: bool = False,
    bodies: bool = False,
) -> Iterator[Row]:
    """Return the requests that a filter lets through, read as they are asked for.

    They can be restricted to those older than the request `before` and newer than the request `after`. Of
    them `limit` are taken, 0 is all: the newest or, with `after` alone, the ones nearest to that request.
    Raises at once `InvalidInputError` for a filter that cannot be meant, `NotFoundError` for a request.
    """
    condition = build_condition(wanted, FactView(database)) & _lie_between(database, after, before)
    takes_newest = after is None or before is not None
    if limit and takes_newest is not newest_first:
        places = LogFact.select(LogFact.place).where(condition).order_by(_order(takes_newest))
        condition, limit = LogFact.place.in_(places.limit(min(limit, NUMBER_MAX))), 0
    fields = _choose_fields(headers=headers, bodies=bodies)
    # From the facts, which are in the order of time, to the few rows that are wanted.
    query: Any = LogFact.select(*fields).join(AuditLogRow, on=AuditLogRow.id == LogFact.id)
    ordered = query.where(condition).order_by(_order(newest_first))
    return database.stream(ordered.limit(min(limit, NUMBER_MAX) or None))


def count_logs(database: Database, wanted: LogFilter) -> int:
    """Return how many requests a filter lets through."""
    query = LogFact.select(fn.COUNT(LogFact.place)).where(build_condition(wanted, FactView(database)))
    with database.reading():
        return int(query.bind(database.peewee).scalar())


def get_log(database: Database, ref: str) -> Row:
    """Return one request, whole, by the id of its row or of the request; or raise `NotFoundError`."""
    return _find(database, ref, _WHOLE)


def _find(database: Database, ref: str, fields: Fields) -> Row:
    text = clean_text(ref)
    own = _LOG_PREFIX + text[len(_REQUEST_PREFIX) :] if text.startswith(_REQUEST_PREFIX) else text
    # Of what was recorded here both ids are of one piece; of what was imported they are not.
    foreign = (AuditLogRow.request_id == text) & AuditLogRow.writer_id.is_null()
    for condition in (AuditLogRow.id == own, foreign):
        if rows := database.fetch(AuditLogRow.select(*fields).where(condition).limit(1)):
            return rows[0]
    raise NotFoundError(f"there is no request {ref!r}", hint="'fastgate logs list' shows the newest")


def _lie_between(database: Database, after: str | None, before: str | None) -> Any:
    conditions = []
    if after is not None:
        conditions.append(LogFact.place > _find_place(database, after))
    if before is not None:
        conditions.append(LogFact.place < _find_place(database, before))
    return reduce(and_, conditions, SQL("1 = 1"))


def _find_place(database: Database, ref: str) -> int:
    row = _find(database, ref, (AuditLogRow.id, AuditLogRow.request_time))
    lowest = place_of(to_us(row["request_time"]))
    span = LogFact.place.between(lowest, lowest + PLACES_PER_US - 1)
    found = database.fetch(LogFact.select(LogFact.place).where(span, LogFact.id == row["id"]))
    return int(found[0]["place"]) if found else lowest


def _order(newest_first: bool) -> Any:
    return LogFact.place.desc() if newest_first else LogFact.place


def _choose_fields(*, headers: bool, bodies: bool) -> Fields:
    without = (() if headers else _HEADERS) + (() if bodies else _BODIES)
    return fields_of(AuditLogRow, without=without)
