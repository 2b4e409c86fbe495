"""What a dashboard asks a database every second: what is in flight, and how much has been recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import SQL, Case, fn

from proxy.store.database import Database
from proxy.store.log_filter import LogFilter, RowView, build_condition
from proxy.store.models import AuditLogRow, JournalWriterRow


class InFlight(NamedTuple):
    """Requests that have neither been answered in full nor failed, and how many of them are streams."""

    requests: int
    streams: int


def count_in_flight(database: Database, wanted: LogFilter | None = None) -> InFlight:
    """Return what is in flight, as far as it is recorded. Raises `InvalidInputError` for a bad filter."""
    row = AuditLogRow
    # The index of requests without an end answers this, however long the trail is.
    is_running = row.response_time.is_null() & row.error_message.is_null()
    streams: Any = fn.SUM(Case(None, [(row.is_stream, 1)], 0))
    query: Any = row.select(fn.COUNT(SQL("*")), streams).where(
        is_running, build_condition(wanted or LogFilter(), RowView())
    )
    with database.reading():
        ((requests, streaming),) = query.tuples().execute(database.peewee)
    return InFlight(int(requests), int(streaming or 0))


def count_recorded(database: Database) -> int:
    """Return how many requests have ever been recorded here by a gateway, those that were deleted too."""
    query: Any = JournalWriterRow.select(fn.SUM(JournalWriterRow.stored))
    with database.reading():
        ((stored,),) = query.tuples().execute(database.peewee)
    return int(stored or 0)
