"""Changes to keys that are there: some columns of them, or their secret. All of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from proxy.errors import InvalidInputError
from proxy.policy.credentials import digest_secret, hint_of
from proxy.store.database import Database
from proxy.store.key_checks import check_permissions, check_rate_limit, check_source
from proxy.store.keys import check_digest_is_free, choose_secret, get_key, get_keys
from proxy.store.models import ApiKeyRow, Row

Change = Callable[[Row], Mapping[str, Any]]
GRACE_MAX = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key with its new secret. `ended_hint` is of a still older one that worked until now, or None."""

    row: Row
    secret: str = field(repr=False)
    ended_hint: str | None = None


def update_keys(database: Database, key_ids: Sequence[str], change: Change, now: datetime) -> list[Row]:
    """Change columns of keys and return the rows as they are then, each key once.

    `change` is told each row as it is and returns the columns to write: any of source_path, permissions,
    rate_limit, rate_burst and expires_at. Raises `NotFoundError`, and `InvalidInputError` for a value that
    cannot be accepted; then nothing is changed, nor if `change` raises.
    """
    with database.transaction():
        for row in get_keys(database, key_ids, now=now):
            columns = dict(change(row))
            _check_columns(row, columns)
            ApiKeyRow.update(**columns).where(ApiKeyRow.key_id == row["key_id"]).execute(database.peewee)
        return get_keys(database, key_ids, now=now)


def rotate_key(
    database: Database,
    key_id: str,
    *,
    key_prefix: str,
    grace: timedelta,
    value: str | None = None,
    now: datetime,
) -> Rotation:
    """Give a key a new secret; the one that it has works on for `grace`, and the one before that ends now.

    `value` is a secret of the caller's own. Raises `NotFoundError`, `InvalidInputError` for a value or a
    grace that cannot be accepted, and `ConflictError` for a secret that any key has or had before.
    """
    if not timedelta(0) <= grace <= GRACE_MAX:
        hint = f"24h, 7d, at most {GRACE_MAX.days}d; 0 ends the old secret at once"
        raise InvalidInputError("the grace is too long", hint=hint)
    secret = choose_secret(value, key_prefix)
    digest = digest_secret(secret.encode())
    with database.transaction():
        row = get_key(database, key_id, now=now)
        check_digest_is_free(database, digest)
        changed = ApiKeyRow.update(
            key_value=digest,
            key_hint=hint_of(secret),
            rotated_at=now,
            previous_key_value=ApiKeyRow.key_value,
            previous_key_hint=row["key_hint"],
            previous_expires_at=now + grace,
            previous_last_used_at=None,
            previous_last_used_ip=None,
        )
        changed.where(ApiKeyRow.key_id == row["key_id"]).execute(database.peewee)
        return Rotation(get_key(database, key_id, now=now), secret, _find_ended(row, now))


def _check_columns(row: Row, columns: Mapping[str, Any]) -> None:
    # What is not changed is not judged: a limit can be given to a key whose source came from elsewhere.
    if "source_path" in columns:
        check_source(columns["source_path"])
    if "permissions" in columns:
        current = row["permissions"]  # which something else may have written, so that it is no list
        check_permissions(columns["permissions"], kept=current if isinstance(current, list) else ())
    if not columns.keys().isdisjoint(("rate_limit", "rate_burst")):
        after = {**row, **columns}
        check_rate_limit(after["rate_limit"], after["rate_burst"])


def _find_ended(row: Row, now: datetime) -> str | None:
    ends = row["previous_expires_at"]
    return row["previous_key_hint"] if ends is not None and ends > now else None
