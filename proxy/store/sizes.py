"""How large the audit trail is, and how it grows: counted where that is cheap, estimated where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from peewee import SQL, fn

from proxy.clock import from_us, to_us
from proxy.store.database import Database
from proxy.store.facts import place_of
from proxy.store.models import PLACES_PER_US, AuditLogRow, LogFact

SAMPLES_MAX = 500  # rows whose headers and bodies are measured
GROWTH_WINDOW = timedelta(days=7)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TrailSize:
    """How many requests there are, of when the first and the last are, and how many come a day.

    The last figure is of the past seven days, or of as many as there are.
    """

    rows: int
    oldest: datetime | None
    newest: datetime | None
    rows_per_day: float


@dataclass(frozen=True, slots=True)
class RowWeight:
    """How many bytes of a request are headers and bodies, of both sides: an estimate from a few of them."""

    headers: float
    bodies: float


def measure_trail(database: Database, now: datetime) -> TrailSize:
    """Count the requests."""
    place = LogFact.place
    since = place_of(to_us(now - GROWTH_WINDOW))
    facts: Any = LogFact.select(fn.COUNT(place), fn.MIN(place), fn.MAX(place))
    late: Any = LogFact.select(fn.COUNT(place)).where(place >= since)
    with database.snapshot():
        rows, lowest, highest = facts.bind(database.peewee).tuples().get()
        recent = late.bind(database.peewee).scalar()
    if not rows:
        return TrailSize(0, None, None, 0.0)
    oldest, newest = from_us(lowest // PLACES_PER_US), from_us(highest // PLACES_PER_US)
    # What came within less than a day is a day's: nobody knows better.
    window = max(min(GROWTH_WINDOW, now - oldest), _DAY)
    return TrailSize(rows, oldest, newest, recent / (window / _DAY))


def weigh_rows(database: Database) -> RowWeight:
    """Measure headers and bodies of requests here and there, `SAMPLES_MAX` at most."""
    number = SQL("rowid")
    query: Any = AuditLogRow.select(
        number,
        _measure(AuditLogRow.request_headers) + _measure(AuditLogRow.response_headers),
        _measure(AuditLogRow.request_body) + _measure(AuditLogRow.response_body),
    )
    with database.snapshot():
        # One by one: SQLite finds an end at once, and both only by looking at every row.
        low, high = (
            AuditLogRow.select(end).bind(database.peewee).scalar() for end in (fn.MIN(number), fn.MAX(number))
        )
        if low is None:
            return RowWeight(0.0, 0.0)
        found, step = {}, -(-(high - low + 1) // SAMPLES_MAX)
        # Somewhere in each stretch, not at its beginning: traffic has rhythms. The same each time, so that
        # two looks at the same trail say the same.
        dice = Random(high)  # noqa: S311
        for stretch in range(low, high + 1, step):
            place = min(high, stretch + dice.randrange(step))
            row = query.where(number >= place).order_by(number).limit(1).bind(database.peewee).tuples()
            found.update({count: weights for count, *weights in row})
    headers, bodies = (sum(weights) / len(found) for weights in zip(*found.values(), strict=True))
    return RowWeight(headers, bodies)


def _measure(field: Any) -> Any:
    # Of a text SQLite would count the characters.
    return fn.COALESCE(fn.LENGTH(field.cast("BLOB")), 0).coerce(False)
