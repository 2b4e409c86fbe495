"""Checks of keys: those about to expire, those that have and are still used, and what they cannot open."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta

from proxy.checks.result import Check, format_days, passed, warning
from proxy.errors import InvalidInputError
from proxy.policy.permissions import check_methods, compile_permissions
from proxy.store.database import Database
from proxy.store.health import find_expired_in_use, find_expiring_keys
from proxy.store.keys import list_keys
from proxy.store.models import Row

EXPIRING_WITHIN = timedelta(days=14)
USED_WITHIN = timedelta(days=7)
LINES_MAX = 10
_NAME = "keys"


def check_keys(database: Database, now: datetime) -> Iterator[Check]:
    """Yield a warning for each such key, the most urgent first, and one if there is no key at all."""
    usable = list_keys(database, status="active", now=now)
    found = [
        *(
            _describe_expired(row, count, now)
            for row, count in find_expired_in_use(database, now, now - USED_WITHIN)
        ),
        *(_describe_expiring(row, now) for row in find_expiring_keys(database, now, EXPIRING_WITHIN)),
        *(check for row in usable for check in _check_permissions(row)),
    ]
    yield from found[:LINES_MAX]
    if len(found) > LINES_MAX:
        detail = f"there are {len(found) - LINES_MAX} more of these"
        yield warning(_NAME, detail, "fastgate keys list")
    if not usable:
        yield warning(_NAME, "there is no active key: nobody is let in", "fastgate keys create")
    elif not found:
        yield passed(_NAME, f"{len(usable)} active, none about to expire")


def _describe_expired(row: Row, count: int, now: datetime) -> Check:
    ago = format_days((now - row["expires_at"]).total_seconds())
    times = "once" if count == 1 else f"{count} times"
    detail = f"{_name(row)} expired {ago} ago, and was used {times} in the last week"
    return warning(_NAME, detail, f"fastgate keys update {row['key_id']} --expires 90d")


def _describe_expiring(row: Row, now: datetime) -> Check:
    left = format_days((row["expires_at"] - now).total_seconds())
    fix = f"fastgate keys update {row['key_id']} --expires 90d"
    return warning(_NAME, f"{_name(row)} expires in {left}", fix)


def _check_permissions(row: Row) -> Iterator[Check]:
    """Yield a warning for each entry that allows nothing: nobody else tells until a client is refused."""
    for entry in row["permissions"] or ():
        try:
            compile_permissions([entry])
            check_methods([entry])
        except InvalidInputError as error:
            detail = f"{_name(row)} has the permission {entry!r}, which allows nothing: {error.message}"
            fix = f"fastgate keys update {row['key_id']} --remove-permission {shlex.quote(entry)}"
            yield warning(_NAME, detail, fix)


def _name(row: Row) -> str:
    return f"{row['key_id']} of {row['source_path']}"
