"""How much a key was used, over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from peewee import SQL, Case, fn

from proxy.clock import parse_stored
from proxy.store.database import Database
from proxy.store.models import AuditLogRow, Row, clean_text

_MINUTE_WIDTH = len("2026-01-31T08:00")


def count_requests(database: Database, key_id: str, starts: Sequence[datetime]) -> list[Row]:
    """Return how many requests were made with a key from each of these times until the next: its buckets.

    Each bucket is `start`, `requests` and `errors` (refused, failed, or answered with 400 and above), and is
    there if it is empty. The times ascend and are whole minutes; the last bucket has no end.
    """
    buckets: list[Row] = [{"start": start, "requests": 0, "errors": 0} for start in starts]
    # A stored time is text of one width at one offset: its beginning is its minute, whatever the database.
    minute = fn.SUBSTR(AuditLogRow.request_time, 1, _MINUTE_WIDTH).converter(parse_stored)
    is_error = (AuditLogRow.status_code >= 400) | AuditLogRow.error_message.is_null(False)
    query = (
        AuditLogRow.select(minute, fn.COUNT(SQL("*")), fn.SUM(Case(None, [(is_error, 1)], 0)))
        .where(AuditLogRow.api_key == clean_text(key_id), AuditLogRow.request_time >= starts[0])
        .group_by(minute)
    )
    with database.reading():
        for moment, requests, errors in query.tuples().iterator(database.peewee):
            bucket = buckets[bisect_right(starts, moment) - 1]
            bucket["requests"] += requests
            bucket["errors"] += errors
    return buckets
