"""The check of how the audit trail grows, where nothing ends its growth."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime

from proxy.checks.result import Check, format_days, format_size, warning
from proxy.settings import Settings
from proxy.store.compact import measure_room
from proxy.store.database import Database
from proxy.store.sizes import measure_trail

GROWTH_BYTES_MIN = 10 << 20  # a day; what grows slower is looked at when the disk has little room
FULL_SECONDS_MAX = 365 * 86_400.0
_DAY_SECONDS = 86_400


def check_retention(settings: Settings, database: Database, now: datetime) -> Iterator[Check]:
    """Yield a warning if requests are kept for ever and come fast: as they did in the last seven days."""
    if not settings.audit.enabled or settings.audit.retention_days:
        return
    trail, room = measure_trail(database, now), measure_room(database)
    if trail.rows:
        per_day = trail.rows_per_day * (room.size - room.log - room.free) / trail.rows
        free = shutil.disk_usage(database.path.parent).free + room.free
        yield from judge_growth(per_day, free)


def judge_growth(bytes_per_day: float, free_bytes: int) -> Iterator[Check]:
    """Yield a warning if a database that grows so fast, on a disk with so much room, needs an end to that."""
    seconds = free_bytes / bytes_per_day * _DAY_SECONDS if bytes_per_day else FULL_SECONDS_MAX
    if bytes_per_day < GROWTH_BYTES_MIN and seconds >= FULL_SECONDS_MAX:
        return
    detail = f"requests are kept for ever, and take {format_size(round(bytes_per_day))} a day"
    if seconds < FULL_SECONDS_MAX:
        detail += f": the disk is full in {format_days(seconds)}"
    yield warning("retention", detail, "fastgate config set audit.retention_days 90")
