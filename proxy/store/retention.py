"""Deleting what is old, a little at a time: whoever wants to write meanwhile waits for one small transaction.

Requests in flight stay, however old. What is deleted is counted, so that nobody takes it for lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from peewee import fn

from proxy.store.database import Database
from proxy.store.facts import US_PER_DAY
from proxy.store.log_filter import NUMBER_MAX
from proxy.store.models import (
    PLACES_PER_US,
    AuditLogRow,
    GatewayState,
    JournalWriterRow,
    LogFact,
    LogWord,
    Row,
)

# How long a transaction may hold the lock; the number of rows follows from it.
TRANSACTION_SECONDS = 0.02
ROWS_MIN, ROWS_MAX = 10, 2_000
_IDS_PER_STATEMENT = 500
_HAS_BODIES = AuditLogRow.request_body.is_null(False) | AuditLogRow.response_body.is_null(False)
_HAS_ENDED = LogFact.took_ms.is_null(False) | LogFact.error_n.is_null(False)


class Pruned(NamedTuple):
    """How many were looked at, and how many changed or deleted. None looked at: nothing is left."""

    seen: int
    changed: int


class Pruner:
    """Deletes requests, bodies and unused words that are older than a time, some at each call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows_max = 100

    def prune_rows(self, before_us: int) -> Pruned:
        """Delete some of the oldest requests that came before a time and have ended."""
        with self._writing():
            rows = self._find(_is_before(before_us))
            for chunk in _chunks([row["id"] for row in rows]):
                self._count_pruned(chunk)
                self._execute(AuditLogRow.delete().where(AuditLogRow.id.in_(chunk)))
            for chunk in _chunks([row["place"] for row in rows]):
                self._execute(LogFact.delete().where(LogFact.place.in_(chunk)))
        return Pruned(len(rows), len(rows))

    def prune_bodies(self, before_us: int) -> Pruned:
        """Delete the bodies of some requests that came before a time and have ended."""
        changed = 0
        with self._writing():
            rows = self._find(_is_before(before_us) & (LogFact.place > find_bodies_pruned_to(self._database)))
            for chunk in _chunks([row["id"] for row in rows]):
                emptied = AuditLogRow.update(request_body=None, response_body=None)
                changed += self._execute(emptied.where(AuditLogRow.id.in_(chunk), _HAS_BODIES))
            if rows:
                self._execute(GatewayState.update(bodies_pruned_to=rows[-1]["place"]))
        return Pruned(len(rows), changed)

    def prune_words(self, before_us: int) -> Pruned:
        """Delete some words that no request has had since a time, and that none has now."""
        with self._writing():
            day = min(before_us // US_PER_DAY, self._find_oldest_day())
            unused = LogWord.select(LogWord.n).where(LogWord.last_day < day)
            numbers = [row["n"] for row in self._database.fetch(unused.limit(self._rows_max))]
            for chunk in _chunks(numbers):
                self._execute(LogWord.delete().where(LogWord.n.in_(chunk)))
        return Pruned(len(numbers), len(numbers))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._database.transaction():
            started = time.monotonic()
            yield
        spent = time.monotonic() - started
        if spent > TRANSACTION_SECONDS:
            self._rows_max = max(ROWS_MIN, self._rows_max // 2)
        elif spent < TRANSACTION_SECONDS / 4:
            self._rows_max = min(ROWS_MAX, self._rows_max * 2)

    def _find(self, condition: Any) -> list[Row]:
        query = LogFact.select(LogFact.place, LogFact.id).where(condition, _HAS_ENDED).order_by(LogFact.place)
        return self._database.fetch(query.limit(self._rows_max))

    def _find_oldest_day(self) -> int:
        """Return the day of the oldest request: one that is still in flight stays, however old."""
        query = LogFact.select(LogFact.place).order_by(LogFact.place).limit(1)
        places = [row["place"] for row in self._database.fetch(query)]
        return int(places[0]) // PLACES_PER_US // US_PER_DAY if places else NUMBER_MAX

    def _count_pruned(self, ids: Sequence[object]) -> None:
        writers = AuditLogRow.select(AuditLogRow.writer_id).where(AuditLogRow.id.in_(ids))
        counts = Counter(row["writer_id"] for row in self._database.fetch(writers))
        for writer_id, count in counts.items():
            row = JournalWriterRow
            self._execute(row.update(pruned=row.pruned + count).where(row.writer_id == writer_id))

    def _execute(self, query: Any) -> int:
        return int(query.execute(self._database.peewee))


def count_prunable(database: Database, before_us: int, *, bodies: bool = False) -> int:
    """Return how many requests are to be deleted, or, with `bodies`, to lose theirs."""
    query = LogFact.select(fn.COUNT(LogFact.place)).where(_is_before(before_us), _HAS_ENDED)
    if bodies:
        joined = query.join(AuditLogRow, on=AuditLogRow.id == LogFact.id)
        query = joined.where(LogFact.place > find_bodies_pruned_to(database), _HAS_BODIES)
    with database.reading():
        return int(query.bind(database.peewee).scalar())


def count_unseen(database: Database, before_us: int) -> int:
    """Return how many requests `Pruner.prune_bodies` has yet to look at."""
    place = find_bodies_pruned_to(database)
    query = LogFact.select(fn.COUNT(LogFact.place)).where(_is_before(before_us), LogFact.place > place)
    with database.reading():
        return int(query.where(_HAS_ENDED).bind(database.peewee).scalar())


def find_bodies_pruned_to(database: Database) -> int:
    """Return the place up to which no request has its bodies any more."""
    return int(database.fetch(GatewayState.select(GatewayState.bodies_pruned_to))[0]["bodies_pruned_to"])


def _is_before(time_us: int) -> Any:
    return LogFact.place < min(max(time_us * PLACES_PER_US, -NUMBER_MAX), NUMBER_MAX)


def _chunks(values: Sequence[object]) -> Iterator[Sequence[object]]:
    for start in range(0, len(values), _IDS_PER_STATEMENT):
        yield values[start : start + _IDS_PER_STATEMENT]
