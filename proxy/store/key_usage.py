"""How much a key was used, over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from peewee import SQL, Case, fn

from proxy.clock import to_us
from proxy.store.database import Database
from proxy.store.facts import IS_ERROR, place_of
from proxy.store.log_filter import FactView, LogFilter, build_condition
from proxy.store.models import PLACES_PER_US, LogFact, Row

_PLACES_PER_MINUTE = 60_000_000 * PLACES_PER_US


def count_requests(database: Database, key_id: str, starts: Sequence[datetime]) -> list[Row]:
    """Return how many requests were made with a key from each of these times until the next: its buckets.

    Each bucket is `start`, `requests` and `errors` (refused, failed, or answered with 400 and above), and is
    there if it is empty. The times ascend and are whole minutes; the last bucket has no end.
    """
    buckets: list[Row] = [{"start": start, "requests": 0, "errors": 0} for start in starts]
    places = [place_of(to_us(start)) for start in starts]
    view = FactView(database)
    minute = SQL(f"place / {_PLACES_PER_MINUTE}")
    query: Any = (
        LogFact.select(minute, fn.COUNT(SQL("*")), fn.SUM(Case(None, [(IS_ERROR, 1)], 0)))
        .where(build_condition(LogFilter(since=starts[0], keys=[key_id]), view))
        .group_by(minute)
    )
    with database.reading():
        for number, requests, errors in query.tuples().iterator(database.peewee):
            bucket = buckets[bisect_right(places, number * _PLACES_PER_MINUTE) - 1]
            bucket["requests"] += requests
            bucket["errors"] += errors
    return buckets
