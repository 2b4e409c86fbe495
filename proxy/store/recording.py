"""Writing audit rows in bulk: the one place where the recorder meets the database.

A batch is one transaction: rows, key usage and how far each journal segment has been read are committed
together, so that a recorder that dies at any point repeats nothing and skips nothing.

"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from peewee import EXCLUDED, SQL, Case, fn

from proxy.clock import format_us, from_us, to_us
from proxy.store.database import Database
from proxy.store.facts import (
    TEXT_COLUMNS,
    Fact,
    FactEnd,
    FactFirstByte,
    Texts,
    WordBook,
    change_backends,
    end_facts,
    interrupt_facts,
    note_first_bytes,
    place_of,
    write_common_facts,
    write_facts,
)
from proxy.store.models import ApiKeyRow, AuditLogRow, JournalSegment, JournalWriterRow
from proxy.store.statements import (
    Columns,
    RowNames,
    execute_many,
    insert_rows,
    insert_statement,
    kind_of,
    update_statement,
    write_statement,
)

INTERRUPTED = "interrupted"
_SOME_TIME = from_us(0)

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
# Of whole requests without errors and bodies, which most are. They are inserted without these three columns:
# Python's module of SQLite takes as long for a null as for three texts.
_RARE_COLUMNS = ("error_message", "request_body", "response_body")
WHOLE_NAMES = RowNames(
    ("writer_id", "created_at"),
    tuple(name for name in TEXT_COLUMNS if name not in _RARE_COLUMNS),
    (
        *("id", "request_id", "request_time", "sequence", "request_headers"),
        *(name for name in END_COLUMNS if name not in _RARE_COLUMNS),
    ),
)
FIRST_BYTE_COLUMNS = ("first_response_time", "is_stream")
# The end columns of a request that is still in flight.
NO_END: Columns = (None, None, None, None, None, None, 0, 0, None, None, None, None, None)


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
class WholeRequests:
    """Whole requests of one writer without errors and bodies, in their order. There is no object for each."""

    writer_id: str
    created_at: str
    texts: list[Texts] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)  # `WHOLE_NAMES.rest` of each
    figures: list[Any] = field(default_factory=list)  # `REST_COLUMNS` of the fact of each


@dataclass(slots=True)
class Batch:
    """What one transaction writes: tuples in the order of the column lists above, the id last in updates.

    Most requests are in `whole`.
    """

    whole: list[WholeRequests] = field(default_factory=list)
    inserts: list[Columns] = field(default_factory=list)
    first_bytes: list[Columns] = field(default_factory=list)  # first_response_time, is_stream, id
    targets: list[Columns] = field(default_factory=list)  # target_url, id
    ends: list[Columns] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    fact_first_bytes: list[FactFirstByte] = field(default_factory=list)
    fact_ends: list[FactEnd] = field(default_factory=list)
    fact_targets: list[tuple[int, str]] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    # By key: when its previous secret was last presented, and by which client.
    previous_uses: dict[str, tuple[int, str]] = field(default_factory=dict)
    writers: dict[str, Account] = field(default_factory=dict)

    def count_usage(self, key_id: str, at_us: int) -> None:
        """Add a use of a key."""
        usage = self.usage.get(key_id)
        if usage is None:
            usage = self.usage[key_id] = Usage()
        usage.count += 1
        if at_us > usage.last_us:
            usage.last_us = at_us

    def note_previous_use(self, key_id: str, at_us: int, ip_address: str) -> None:
        """Note that the secret which a key had before was presented, whatever the answer was."""
        self.previous_uses[key_id] = max(self.previous_uses.get(key_id, (0, "")), (at_us, ip_address))

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
            for whole in batch.whole:
                _write_whole(database, whole, book)
            execute_many(database, insert_statement(kind, AuditLogRow, ROW_COLUMNS), batch.inserts)
            execute_many(database, _update(database, FIRST_BYTE_COLUMNS), batch.first_bytes)
            execute_many(database, _update(database, ("target_url",)), batch.targets)
            execute_many(database, _update(database, END_COLUMNS), batch.ends)
            write_facts(database, book, batch.facts)
            note_first_bytes(database, batch.fact_first_bytes)
            change_backends(database, book, batch.fact_targets)
            end_facts(database, book, batch.fact_ends)
            _write_usage(database, batch)
            accounts = [(name, account.last, account.count) for name, account in batch.writers.items()]
            execute_many(database, write_statement(kind, _add_account), accounts)
            execute_many(database, write_statement(kind, _set_offset), list(offsets.items()))
    except BaseException:
        book.forget()
        raise


def _write_whole(database: Database, whole: WholeRequests, book: WordBook) -> None:
    common = (whole.writer_id, whole.created_at)
    insert_rows(database, AuditLogRow, WHOLE_NAMES, common, whole.texts, whole.rows)
    write_common_facts(database, book, whole.texts, whole.figures)


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


def _write_usage(database: Database, batch: Batch) -> None:
    kind, uses = kind_of(database), batch.usage.items()
    counts = [(use.count, key_id) for key_id, use in uses]
    execute_many(database, write_statement(kind, _count_use), counts)
    times = [(format_us(use.last_us), key_id, format_us(use.last_us)) for key_id, use in uses]
    execute_many(database, write_statement(kind, _note_use), times)
    previous = [
        (format_us(at_us), address, key_id, format_us(at_us), format_us(at_us))
        for key_id, (at_us, address) in batch.previous_uses.items()
    ]
    execute_many(database, write_statement(kind, _note_previous_use), previous)


# Statements, with values in the places of their parameters.


def _set_offset() -> Any:
    return JournalSegment.insert(name="", offset=0).on_conflict_replace()


def _add_account() -> Any:
    known = JournalWriterRow
    is_later = EXCLUDED.accepted > known.accepted
    return known.insert(writer_id="", accepted=0, stored=0, pruned=SQL("0")).on_conflict(
        conflict_target=[known.writer_id],
        update={
            known.accepted: Case(None, [(is_later, EXCLUDED.accepted)], known.accepted),
            known.stored: known.stored + EXCLUDED.stored,
        },
    )


def _count_use() -> Any:
    count = fn.COALESCE(ApiKeyRow.usage_count, SQL("0")) + 1
    return ApiKeyRow.update(usage_count=count).where(ApiKeyRow.key_id == "")


def _note_use() -> Any:
    row = ApiKeyRow
    # Batches of several workers come in no order: the time of the last use never goes back.
    is_later = row.last_used_at.is_null() | (row.last_used_at < _SOME_TIME)
    return row.update(last_used_at=_SOME_TIME).where(row.key_id == "", is_later)


def _note_previous_use() -> Any:
    row = ApiKeyRow
    # Records come late and in no order: this one may be of a secret that has been replaced since.
    is_of_this_secret = row.rotated_at <= _SOME_TIME
    is_later = row.previous_last_used_at.is_null() | (row.previous_last_used_at < _SOME_TIME)
    query = row.update(previous_last_used_at=_SOME_TIME, previous_last_used_ip="")
    return query.where(row.key_id == "", is_of_this_secret, is_later)
