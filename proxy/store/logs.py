"""Reading the audit trail: filtered lists, and one request whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.errors import NotFoundError
from proxy.store.database import Database
from proxy.store.log_filter import NUMBER_MAX, FactView, LogFilter, build_condition
from proxy.store.models import AuditLogRow, Fields, LogFact, Row, clean_text, fields_of

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
    headers: bool = False,
    bodies: bool = False,
) -> Iterator[Row]:
    """Return the requests that a filter lets through, read as they are asked for; `limit` 0 is all of them.

    Raises `InvalidInputError` at once for a filter that cannot be meant.
    """
    condition = build_condition(wanted, FactView(database))
    order = LogFact.place.desc() if newest_first else LogFact.place
    fields = _choose_fields(headers=headers, bodies=bodies)
    # From the facts, which are in the order of time, to the few rows that are wanted.
    query: Any = LogFact.select(*fields).join(AuditLogRow, on=AuditLogRow.id == LogFact.id)
    return database.stream(query.where(condition).order_by(order).limit(min(limit, NUMBER_MAX) or None))


def get_log(database: Database, ref: str) -> Row:
    """Return one request, whole, by the id of its row or of the request; or raise `NotFoundError`."""
    text = clean_text(ref)
    own = _LOG_PREFIX + text[len(_REQUEST_PREFIX) :] if text.startswith(_REQUEST_PREFIX) else text
    # Of what was recorded here both ids are of one piece; of what was imported they are not.
    foreign = (AuditLogRow.request_id == text) & AuditLogRow.writer_id.is_null()
    for condition in (AuditLogRow.id == own, foreign):
        if rows := database.fetch(AuditLogRow.select(*_WHOLE).where(condition).limit(1)):
            return rows[0]
    raise NotFoundError(f"there is no request {ref!r}", hint="'fastgate logs list' shows the newest")


def _choose_fields(*, headers: bool, bodies: bool) -> Fields:
    without = (() if headers else _HEADERS) + (() if bodies else _BODIES)
    return fields_of(AuditLogRow, without=without)
