"""Reading the audit trail: filtered lists, page by page, and one request whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from operator import and_
from typing import Any

from peewee import SQL, fn

from proxy.clock import to_us
from proxy.errors import NotFoundError
from proxy.ids import from_uuid
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
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# In the words of the index: of every other request the id is that of its row.
_IS_GIVEN = SQL("writer_id IS NOT NULL AND request_id <> 'req_' || substr(id, 5)")


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
    """Return one request, whole, by the id of its row or of the request; or raise `NotFoundError`.

    The id of a request may be spelled as the UUID that its backend was sent, or be one that a trusted proxy
    gave it: of several requests with such an id it is the newest.
    """
    return _find(database, ref, _WHOLE)


def _find(database: Database, ref: str, fields: Fields) -> Row:
    text = clean_text(ref)
    same = AuditLogRow.request_id == text
    # Of what was recorded here both ids are of one piece, as a rule; of what was imported they are not.
    for condition in (
        AuditLogRow.id == _own_id(text),
        same & AuditLogRow.writer_id.is_null(),
        same & _IS_GIVEN,
    ):
        query = AuditLogRow.select(*fields).where(condition).order_by(AuditLogRow.id.desc())
        if rows := database.fetch(query.limit(1)):
            return rows[0]
    raise NotFoundError(f"there is no request {ref!r}", hint="'fastgate logs list' shows the newest")


def _own_id(text: str) -> str:
    """Return the id of the row of a request that was recorded here."""
    if text.startswith(_REQUEST_PREFIX):
        return _LOG_PREFIX + text[len(_REQUEST_PREFIX) :]
    return _LOG_PREFIX + from_uuid(text) if _UUID.fullmatch(text) else text


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
