"""Requests in the audit trail as a test wants them, with their facts, as a recorder writes both."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from proxy.audit.bodies import BodyWriter
from proxy.audit.events import AuditEvent
from proxy.audit.rows import add_events
from proxy.clock import now_us
from proxy.store.database import Database
from proxy.store.facts import WordBook, fact_of, write_facts
from proxy.store.models import AuditLogRow
from proxy.store.recording import Batch, write_batch

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def insert_rows(database: Database, rows: Iterable[dict[str, Any]]) -> None:
    """Insert requests."""
    rows = list(rows)
    with database.transaction():
        for row in rows:
            AuditLogRow.insert(row).execute(database.peewee)
        write_facts(database, WordBook(), [fact_of(row, turn) for turn, row in enumerate(rows)])


def begin(database: Database, name: str, *, second: float = 0, **columns: Any) -> None:
    """Insert a request that is in flight."""
    defaults: dict[str, Any] = {
        "id": f"log_{name}",
        "request_id": f"req_{name}",
        "method": "POST",
        "path": "/v1/chat",
        "request_time": NOW + timedelta(seconds=second),
        "writer_id": "w",
    }
    insert_rows(database, [{**defaults, **columns}])


def record(database: Database, name: str, *, second: float = 0, **columns: Any) -> None:
    """Insert a request that has ended."""
    moment = NOW + timedelta(seconds=second + 0.1)
    ended = {"status_code": 200, "response_time": moment, "response_time_ms": 100}
    begin(database, name, second=second, **{**ended, **columns})


def record_events(database: Database, events: Iterable[AuditEvent]) -> None:
    """Write what a worker told, as a recorder does."""
    batch = Batch()
    add_events(batch, events, writer_id="worker-1", created_us=now_us(), bodies=BodyWriter())
    write_batch(database, batch, {}, WordBook())


def names(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the names that the requests were given."""
    return [row["id"].removeprefix("log_") for row in rows]
