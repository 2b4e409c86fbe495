"""The sources of keys: who or what uses them, and how much."""

from __future__ import annotations

from datetime import datetime

from peewee import Case, fn

from proxy.store.database import Database
from proxy.store.keys import KEY_STATUSES, status_condition
from proxy.store.models import ApiKeyRow, Row

_COLUMNS = ("source_path", "keys", *KEY_STATUSES, "usage_count", "last_used_at")


def list_key_sources(database: Database, *, now: datetime) -> list[Row]:
    """Return every source that has a key, by name: its keys, how many are in which state, and their use."""
    counts = [fn.SUM(Case(None, [(status_condition(status, now), 1)], 0)) for status in KEY_STATUSES]
    usage = fn.COALESCE(fn.SUM(ApiKeyRow.usage_count), 0)
    query = (
        ApiKeyRow.select(
            ApiKeyRow.source_path, fn.COUNT(ApiKeyRow.key_id), *counts, usage, fn.MAX(ApiKeyRow.last_used_at)
        )
        .group_by(ApiKeyRow.source_path)
        .order_by(ApiKeyRow.source_path)
    )
    with database.reading():
        return [
            dict(zip(_COLUMNS, values, strict=True)) for values in query.tuples().iterator(database.peewee)
        ]
