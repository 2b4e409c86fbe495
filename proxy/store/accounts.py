"""What became of each writer's requests, from its account and from the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peewee import fn

from proxy.store.database import Database
from proxy.store.models import AuditLogRow, JournalWriterRow, LogFact, LogWord
from proxy.store.recording import INTERRUPTED


@dataclass(frozen=True, slots=True)
class WriterAccount:
    """Requests that a writer has `accepted`; how many have `rows`, were `pruned`, or are there twice."""

    accepted: int = 0
    pruned: int = 0
    rows: int = 0
    duplicates: int = 0


def read_accounts(database: Database) -> dict[str, WriterAccount]:
    """Return the account of each writer. It reads the whole trail."""
    row, account = AuditLogRow, JournalWriterRow
    counts: Any = (
        row.select(row.writer_id, fn.COUNT(row.id), fn.COUNT(row.sequence.distinct()))
        .where(row.writer_id.is_null(False))
        .group_by(row.writer_id)
    )
    with database.reading():
        counted = {
            writer: (rows, distinct) for writer, rows, distinct in counts.bind(database.peewee).tuples()
        }
    accounts = {each["writer_id"]: each for each in database.fetch(account.select())}
    found = {}
    for writer_id in accounts.keys() | counted.keys():
        known = accounts.get(writer_id, {})
        rows, distinct = counted.get(writer_id, (0, 0))
        found[writer_id] = WriterAccount(
            accepted=known.get("accepted", 0),
            pruned=known.get("pruned", 0),
            rows=rows,
            duplicates=rows - distinct,
        )
    return found


def count_interrupted(database: Database) -> int:
    """Return how many requests were cut and have no end."""
    word = LogWord.select(LogWord.n).where(LogWord.kind == "error", LogWord.word == INTERRUPTED)
    query = LogFact.select(fn.COUNT(LogFact.place)).where(LogFact.error_n.in_(word))
    with database.reading():
        return int(query.bind(database.peewee).scalar())
