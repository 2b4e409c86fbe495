"""What `doctor` asks a database: whether it is whole, its newest request, keys that run out. Reads only."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime, timedelta

from peewee import fn

from proxy.store.database import Database
from proxy.store.models import ApiKeyRow, AuditLogRow, Row

EXPIRED_REASON = "expired_api_key"  # as `decide` gives it
KEYS_MAX = 1000
_FAULTS_MAX = 3
_INSTRUCTIONS = 100_000  # of SQLite's machine, between two looks at the clock


def find_damage(database: Database, seconds_max: float) -> list[str] | None:
    """Return the first faults of the file's structure; None if the time was over before all was looked at."""
    deadline = time.monotonic() + seconds_max
    with database.reading():
        connection = database.connection()
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS)
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({_FAULTS_MAX})")]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            connection.set_progress_handler(None, 0)
    return [] if found == ["ok"] else found


def read_newest_request(database: Database) -> datetime | None:
    """Return the time of the newest request; None if there has been none."""
    field = AuditLogRow.request_time
    rows = database.fetch(AuditLogRow.select(field).order_by(field.desc()).limit(1))
    return rows[0]["request_time"] if rows else None


def find_expiring_keys(database: Database, now: datetime, within: timedelta) -> list[Row]:
    """Return the keys that are in use and expire within a time, the first to do so first."""
    expires = ApiKeyRow.expires_at
    return _select_keys(database, (expires > now) & (expires <= now + within))


def find_expired_in_use(database: Database, now: datetime, since: datetime) -> list[tuple[Row, int]]:
    """Return the expired keys that requests have come with since a time, and how many those were."""
    found = []
    for row in _select_keys(database, ApiKeyRow.expires_at <= now):
        # Their keys name them, so that the index of a key's requests answers this.
        condition = (AuditLogRow.api_key == row["key_id"]) & (AuditLogRow.request_time >= since)
        query = AuditLogRow.select(fn.COUNT(AuditLogRow.id)).where(
            condition & (AuditLogRow.error_message == EXPIRED_REASON)
        )
        with database.reading():
            count = int(query.bind(database.peewee).scalar())
        if count:
            found.append((row, count))
    return found


def _select_keys(database: Database, condition: object) -> list[Row]:
    fields = (ApiKeyRow.key_id, ApiKeyRow.source_path, ApiKeyRow.expires_at)
    query = ApiKeyRow.select(*fields).where(condition, ApiKeyRow.is_active == True)  # noqa: E712
    return database.fetch(query.order_by(ApiKeyRow.expires_at).limit(KEYS_MAX))
