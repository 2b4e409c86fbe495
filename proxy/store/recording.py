"""Writing audit rows in bulk: the one place where the recorder meets the database.

A batch is one transaction: rows, key usage and how far each journal segment has been read are committed
together, so that a recorder that dies at any point repeats nothing and skips nothing.

Rows go through `executemany` with statements that peewee wrote once: building a peewee query for each row
costs several times as much as the row itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import peewee
from peewee import fn

from proxy.clock import from_us
from proxy.store.database import Database
from proxy.store.models import ApiKeyRow, AuditLogRow, JournalSegment

Columns = tuple[object, ...]
PeeweeKind = Callable[[None], peewee.Database]  # a class of databases: what differs is the dialect
INTERRUPTED = "interrupted"

BEGIN_COLUMNS = (
    "id",
    "request_id",
    "api_key",
    "source_path",
    "method",
    "path",
    "target_url",
    "request_time",
    "user_agent",
    "ip_address",
    "request_headers",
    "created_at",
    "writer_id",
    "sequence",
    "route_id",
)
END_COLUMNS = (
    "status_code",
    "first_response_time",
    "response_time",
    "response_time_ms",
    "request_size",
    "response_size",
    "is_stream",
    "stream_chunks",
    "error_message",
    "request_body",
    "response_headers",
    "response_body",
    "gateway_ms",
)
FIRST_BYTE_COLUMNS = ("first_response_time", "is_stream")
# The end columns of a request that is still in flight.
NO_END: Columns = (None, None, None, None, None, None, False, 0, None, None, None, None, None)


@dataclass(slots=True)
class Usage:
    """How often a key was used in a batch, and when last (microseconds since the epoch)."""

    count: int = 0
    last_us: int = 0


@dataclass(slots=True)
class Batch:
    """What one transaction writes: tuples in the order of the column lists above, the id last in updates."""

    inserts: list[Columns] = field(default_factory=list)
    first_bytes: list[Columns] = field(default_factory=list)  # first_response_time, is_stream, id
    ends: list[Columns] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    # By key: when its previous secret was last presented, and by which client.
    previous_uses: dict[str, tuple[int, str]] = field(default_factory=dict)

    def count_usage(self, key_id: str, at_us: int, count: int = 1) -> None:
        """Add uses of a key, the latest of them at `at_us`."""
        usage = self.usage.setdefault(key_id, Usage())
        usage.count += count
        usage.last_us = max(usage.last_us, at_us)

    def note_previous_use(self, key_id: str, at_us: int, ip_address: str) -> None:
        """Note that the secret which a key had before was presented, whatever the answer was."""
        self.previous_uses[key_id] = max(self.previous_uses.get(key_id, (0, "")), (at_us, ip_address))

    def extend(self, other: Batch) -> None:
        """Add what another batch writes."""
        self.inserts += other.inserts
        self.first_bytes += other.first_bytes
        self.ends += other.ends
        for key_id, usage in other.usage.items():
            self.count_usage(key_id, usage.last_us, usage.count)
        for key_id, use in other.previous_uses.items():
            self.note_previous_use(key_id, *use)


def write_batch(database: Database, batch: Batch, offsets: Mapping[str, int]) -> None:
    """Commit a batch and the offsets it was read up to, all or nothing. Raises `DatabaseError`."""
    with database.transaction():
        kind: PeeweeKind = type(database.peewee)
        _execute_many(database, _insert_statement(kind), batch.inserts)
        _execute_many(database, _update_statement(kind, FIRST_BYTE_COLUMNS), batch.first_bytes)
        _execute_many(database, _update_statement(kind, END_COLUMNS), batch.ends)
        for key_id, usage in batch.usage.items():
            _add_usage(database, key_id, usage)
        for key_id, (at_us, ip_address) in batch.previous_uses.items():
            _note_previous_use(database, key_id, from_us(at_us), ip_address)
        for name, offset in offsets.items():
            JournalSegment.insert(name=name, offset=offset).on_conflict_replace().execute(database.peewee)


def read_offsets(database: Database) -> dict[str, int]:
    """Return how far each journal segment has been committed, in bytes."""
    rows = database.fetch(JournalSegment.select(JournalSegment.name, JournalSegment.offset))
    return {row["name"]: row["offset"] for row in rows}


def finish_writer(database: Database, writer_id: str) -> int:
    """Mark the requests that a writer began and can no longer end; return how many there were."""
    unfinished = (
        AuditLogRow.writer_id == writer_id,
        AuditLogRow.response_time.is_null(),
        AuditLogRow.error_message.is_null(),
    )
    with database.transaction():
        return int(AuditLogRow.update(error_message=INTERRUPTED).where(*unfinished).execute(database.peewee))


def forget_segments(database: Database, names: Iterable[str]) -> None:
    """Drop the offsets of segments that are gone."""
    with database.transaction():
        JournalSegment.delete().where(JournalSegment.name.in_(list(names))).execute(database.peewee)


def _execute_many(database: Database, statement: str, rows: Sequence[Columns]) -> None:
    if rows:
        database.connection().executemany(statement, rows)


# A statement is the same for every batch, and peewee takes its time to write one.
@lru_cache(maxsize=4)
def _insert_statement(kind: PeeweeKind) -> str:
    columns = BEGIN_COLUMNS + END_COLUMNS
    fields = [getattr(AuditLogRow, name) for name in columns]
    # A row that is there already came from the same event: writing it again changes nothing.
    query = AuditLogRow.insert_many([(None,) * len(columns)], fields=fields).on_conflict_ignore()
    return _write_statement(kind, query)


@lru_cache(maxsize=8)
def _update_statement(kind: PeeweeKind, columns: tuple[str, ...]) -> str:
    # Peewee orders the columns of an UPDATE as the model declares them; the lists above have that order.
    values = {getattr(AuditLogRow, name): None for name in columns}
    query = AuditLogRow.update(values).where(AuditLogRow.id == "", AuditLogRow.response_time.is_null())
    return _write_statement(kind, query)


def _write_statement(kind: PeeweeKind, query: Any) -> str:
    # The query lends its statement; the parameters are the rows', in the order of its placeholders.
    statement: str = query.bind(kind(None)).sql()[0]
    return statement


def _add_usage(database: Database, key_id: str, usage: Usage) -> None:
    this_key = ApiKeyRow.key_id == key_id
    last = from_us(usage.last_us)
    count = fn.COALESCE(ApiKeyRow.usage_count, 0) + usage.count
    ApiKeyRow.update(usage_count=count).where(this_key).execute(database.peewee)
    # Batches of several workers come in no order: the time of the last use never goes back.
    earlier = ApiKeyRow.last_used_at.is_null() | (ApiKeyRow.last_used_at < last)
    ApiKeyRow.update(last_used_at=last).where(this_key, earlier).execute(database.peewee)


def _note_previous_use(database: Database, key_id: str, moment: datetime, ip_address: str) -> None:
    row = ApiKeyRow
    # Records come late and in no order: this one may be of a secret that has been replaced since.
    is_of_this_secret = row.rotated_at <= moment
    is_later = row.previous_last_used_at.is_null() | (row.previous_last_used_at < moment)
    query = row.update(previous_last_used_at=moment, previous_last_used_ip=ip_address)
    query.where(row.key_id == key_id, is_of_this_secret, is_later).execute(database.peewee)
