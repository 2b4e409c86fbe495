"""Writing audit rows in bulk: the one place where the recorder meets the database.

A batch is one transaction: rows, key usage and how far each journal segment has been read are committed
together, so that a recorder that dies at any point repeats nothing and skips nothing.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from peewee import EXCLUDED, Case, fn

from proxy.clock import from_us, to_us
from proxy.store.database import Database
from proxy.store.facts import (
    Fact,
    FactEnd,
    FactFirstByte,
    WordBook,
    end_facts,
    interrupt_facts,
    note_first_bytes,
    place_of,
    write_facts,
)
from proxy.store.models import ApiKeyRow, AuditLogRow, JournalSegment, JournalWriterRow
from proxy.store.statements import Columns, execute_many, insert_statement, kind_of, update_statement

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
ROW_COLUMNS = BEGIN_COLUMNS + END_COLUMNS
FIRST_BYTE_COLUMNS = ("first_response_time", "is_stream")
# The end columns of a request that is still in flight.
NO_END: Columns = (None, None, None, None, None, None, False, 0, None, None, None, None, None)


@dataclass(slots=True)
class Usage:
    """How often a key was used in a batch, and when last (microseconds since the epoch)."""

    count: int = 0
    last_us: int = 0


@dataclass(slots=True)
class Account:
    """How many requests a writer began in a batch, and the number of the last."""

    count: int = 0
    last: int = 0


@dataclass(slots=True)
class Batch:
    """What one transaction writes: tuples in the order of the column lists above, the id last in updates."""

    inserts: list[Columns] = field(default_factory=list)
    first_bytes: list[Columns] = field(default_factory=list)  # first_response_time, is_stream, id
    ends: list[Columns] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    fact_first_bytes: list[FactFirstByte] = field(default_factory=list)
    fact_ends: list[FactEnd] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    writers: dict[str, Account] = field(default_factory=dict)

    def count_usage(self, key_id: str, at_us: int) -> None:
        """Add a use of a key."""
        usage = self.usage.get(key_id)
        if usage is None:
            usage = self.usage[key_id] = Usage()
        usage.count += 1
        if at_us > usage.last_us:
            usage.last_us = at_us

    def count_requests(self, writer_id: str, count: int, last: int) -> None:
        """Add requests that a writer began, `last` being the number of the last."""
        account = self.writers.setdefault(writer_id, Account())
        account.count += count
        account.last = max(account.last, last)


def write_batch(database: Database, batch: Batch, offsets: Mapping[str, int], book: WordBook) -> None:
    """Commit a batch and the offsets it was read up to, all or nothing. Raises `DatabaseError`."""
    try:
        with database.transaction():
            kind = kind_of(database)
            execute_many(database, insert_statement(kind, AuditLogRow, ROW_COLUMNS), batch.inserts)
            execute_many(database, _update(database, FIRST_BYTE_COLUMNS), batch.first_bytes)
            execute_many(database, _update(database, END_COLUMNS), batch.ends)
            write_facts(database, book, batch.facts)
            note_first_bytes(database, batch.fact_first_bytes)
            end_facts(database, book, batch.fact_ends)
            for key_id, usage in batch.usage.items():
                _add_usage(database, key_id, usage)
            for writer_id, account in batch.writers.items():
                _add_account(database, writer_id, account)
            for name, offset in offsets.items():
                JournalSegment.insert(name=name, offset=offset).on_conflict_replace().execute(database.peewee)
    except BaseException:
        book.forget()
        raise


def read_offsets(database: Database) -> dict[str, int]:
    """Return how far each journal segment has been committed, in bytes."""
    rows = database.fetch(JournalSegment.select(JournalSegment.name, JournalSegment.offset))
    return {row["name"]: row["offset"] for row in rows}


def finish_writer(database: Database, writer_id: str, book: WordBook) -> int:
    """Mark the requests that a writer began and can no longer end; return how many there were."""
    unfinished = (
        AuditLogRow.writer_id == writer_id,
        AuditLogRow.response_time.is_null(),
        AuditLogRow.error_message.is_null(),
    )
    rows = database.fetch(AuditLogRow.select(AuditLogRow.id, AuditLogRow.request_time).where(*unfinished))
    if not rows:
        return 0
    places = [(place_of(to_us(row["request_time"])), row["id"]) for row in rows]
    try:
        with database.transaction():
            AuditLogRow.update(error_message=INTERRUPTED).where(*unfinished).execute(database.peewee)
            interrupt_facts(database, book, INTERRUPTED, places)
    except BaseException:
        book.forget()
        raise
    return len(rows)


def forget_segments(database: Database, names: Iterable[str]) -> None:
    """Drop the offsets of segments that are gone."""
    with database.transaction():
        JournalSegment.delete().where(JournalSegment.name.in_(list(names))).execute(database.peewee)


def _update(database: Database, names: tuple[str, ...]) -> str:
    return update_statement(kind_of(database), AuditLogRow, names, _is_unfinished_one)


def _is_unfinished_one() -> Any:
    return (AuditLogRow.id == "") & AuditLogRow.response_time.is_null()


def _add_account(database: Database, writer_id: str, account: Account) -> None:
    known = JournalWriterRow
    new = known.insert(writer_id=writer_id, accepted=account.last, stored=account.count)
    new.on_conflict(
        conflict_target=[known.writer_id],
        update={
            known.accepted: Case(
                None, [(EXCLUDED.accepted > known.accepted, EXCLUDED.accepted)], known.accepted
            ),
            known.stored: known.stored + EXCLUDED.stored,
        },
    ).execute(database.peewee)


def _add_usage(database: Database, key_id: str, usage: Usage) -> None:
    this_key = ApiKeyRow.key_id == key_id
    last = from_us(usage.last_us)
    count = fn.COALESCE(ApiKeyRow.usage_count, 0) + usage.count
    ApiKeyRow.update(usage_count=count).where(this_key).execute(database.peewee)
    # Batches of several workers come in no order: the time of the last use never goes back.
    earlier = ApiKeyRow.last_used_at.is_null() | (ApiKeyRow.last_used_at < last)
    ApiKeyRow.update(last_used_at=last).where(this_key, earlier).execute(database.peewee)
