"""API keys in the database. A secret passes through once, when it is made; only its digest is kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from peewee import IntegrityError

from proxy.clock import to_us
from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.ids import check_id, new_id
from proxy.policy.credentials import BASE62, RANDOM_LENGTH, build_secret, digest_secret, hint_of
from proxy.policy.model import ApiKey
from proxy.store.database import Database
from proxy.store.key_checks import check_key, check_secret
from proxy.store.models import ApiKeyRow, Row, clean_text, fields_of

KeyStatus = Literal["active", "disabled", "expired"]
KEY_STATUSES: tuple[KeyStatus, ...] = ("active", "disabled", "expired")
_NAME_LENGTH_MAX = 24  # what is longer may be a secret
_SHOWN = fields_of(ApiKeyRow, without=("key_value", "previous_key_value"))
_HINT = "'fastgate keys list' shows the keys"


def create_key(
    database: Database,
    *,
    key_prefix: str,
    key_id: str | None = None,
    source: str = "default",
    permissions: Sequence[str] = (),
    rate_limit: int | None = None,
    rate_burst: int | None = None,
    expires_at: datetime | None = None,
    value: str | None = None,
    now: datetime,
) -> tuple[Row, str]:
    """Create a key and return its row and its secret; `value` and `key_id` are of the caller's own choice.

    Raises `InvalidInputError` for a value that cannot be accepted and `ConflictError` for a secret in use.
    """
    check_key(source=source, permissions=permissions, rate_limit=rate_limit, rate_burst=rate_burst)
    key_id = new_id("key", to_us(now)) if key_id is None else key_id
    check_id(key_id)
    secret = choose_secret(value, key_prefix)
    digest = digest_secret(secret.encode())
    query = ApiKeyRow.insert(
        key_id=key_id,
        key_value=digest,
        key_hint=hint_of(secret),
        source_path=source,
        permissions=list(permissions),
        rate_limit=rate_limit,
        rate_burst=rate_burst,
        created_at=now,
        expires_at=expires_at,
    )
    with database.transaction():
        check_digest_is_free(database, digest)
        try:
            query.execute(database.peewee)
        except IntegrityError:
            raise ConflictError(f"there is a key {key_id!r} already", hint=_HINT) from None
        return get_key(database, key_id, now=now), secret


def choose_secret(value: str | None, key_prefix: str) -> str:
    """Return a secret of the caller's own, if it can be one, or without it a new one."""
    if value is None:
        return build_secret(key_prefix, "".join(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH)))
    check_secret(value)
    return value


def check_digest_is_free(database: Database, digest: str, *, but_of: str = "") -> None:
    """Raise `ConflictError` for the digest of any key's secret, present or previous, `but_of` this key's.

    Two columns hold digests, which no index can compare: ask inside the transaction that writes one.
    """
    of_this = (ApiKeyRow.key_value == digest) | (ApiKeyRow.previous_key_value == digest)
    if database.fetch(ApiKeyRow.select(ApiKeyRow.key_id).where(of_this, ApiKeyRow.key_id != but_of)):
        raise ConflictError("this key exists already", hint=_HINT)


def list_keys(
    database: Database,
    *,
    source: str | None = None,
    status: KeyStatus | None = None,
    unused_since: datetime | None = None,
    expiring_until: datetime | None = None,
    now: datetime,
    limit: int = 0,
) -> list[Row]:
    """Return keys, oldest first, with their `status`; `limit` 0 is all.

    `unused_since`: those that were there by then and have let no request through since. `expiring_until`:
    those that work now and will not then, the first to end first.
    """
    order = [ApiKeyRow.created_at, ApiKeyRow.key_id]
    query = ApiKeyRow.select(*_SHOWN)
    if source is not None:
        query = query.where(ApiKeyRow.source_path == clean_text(source))
    if status is not None:
        query = query.where(status_condition(status, now))
    if unused_since is not None:
        for moment in (ApiKeyRow.created_at, ApiKeyRow.last_used_at):
            query = query.where(moment.is_null() | (moment <= unused_since))
    if expiring_until is not None:
        query = query.where(status_condition("active", now), ApiKeyRow.expires_at <= expiring_until)
        order.insert(0, ApiKeyRow.expires_at)
    return [_finish_row(row, now) for row in database.fetch(query.order_by(*order).limit(limit or None))]


def find_expiring(database: Database, within: timedelta, now: datetime) -> list[Row]:
    """Return the keys that work now and will not in that time, the first to end first."""
    return list_keys(database, expiring_until=now + within, now=now)


def get_key(database: Database, key_id: str, *, now: datetime) -> Row:
    """Return one key, or raise `NotFoundError`."""
    return get_keys(database, [key_id], now=now)[0]


def _describe_absence(text: str) -> NotFoundError:
    if text.startswith("key_") or len(text) <= _NAME_LENGTH_MAX:
        return NotFoundError(f"there is no key {text!r}", hint=_HINT)
    return NotFoundError(
        f"there is no key {text[:4] + '…'!r}", hint=f"an id is wanted, and no secret; {_HINT}"
    )


def get_keys(database: Database, key_ids: Sequence[str], *, now: datetime) -> list[Row]:
    """Return several keys, each once, in the order of their ids here; or raise `NotFoundError`."""
    rows = []
    for key_id in dict.fromkeys(key_ids):
        found = database.fetch(ApiKeyRow.select(*_SHOWN).where(ApiKeyRow.key_id == clean_text(key_id)))
        if not found:
            raise _describe_absence(key_id)
        rows.append(_finish_row(found[0], now))
    return rows


def set_keys_active(
    database: Database,
    active: bool,
    *,
    key_ids: Sequence[str] = (),
    source: str | None = None,
    everything: bool = False,
    now: datetime,
) -> list[Row]:
    """Switch keys on or off, by id, by source or all of them, and return them.

    Raises `NotFoundError`, with nothing changed, if an id is not there.
    """
    if not key_ids and source is None and not everything:
        raise InvalidInputError("no keys are named", hint="name their ids or their source, or ask for all")
    with database.transaction():
        if key_ids:
            chosen = [row["key_id"] for row in get_keys(database, key_ids, now=now)]
        else:
            wanted = None if everything else source
            chosen = [row["key_id"] for row in list_keys(database, source=wanted, now=now)]
        for key_id in chosen:
            ApiKeyRow.update(is_active=active).where(ApiKeyRow.key_id == key_id).execute(database.peewee)
        return get_keys(database, chosen, now=now)


def delete_keys(database: Database, key_ids: Sequence[str], *, now: datetime) -> list[Row]:
    """Delete keys and return what they were; all of them or, with `NotFoundError`, none."""
    with database.transaction():
        rows = get_keys(database, key_ids, now=now)
        for row in rows:
            ApiKeyRow.delete().where(ApiKeyRow.key_id == row["key_id"]).execute(database.peewee)
    return rows


def load_keys(database: Database) -> tuple[ApiKey, ...]:
    """Return every key as policy sees it, with its digest; a rotated one a second time at the end.

    No two have the same digest: a secret that is in use is nobody's previous one.
    """
    rows = database.fetch(ApiKeyRow.select())
    keys = {row["key_value"]: _build_key(row) for row in rows}
    previous = {
        digest: _build_previous(keys[row["key_value"]], digest, row["previous_expires_at"])
        for row in rows
        if (digest := row["previous_key_value"]) is not None
    }
    return (*keys.values(), *(key for digest, key in previous.items() if digest not in keys))


def _build_previous(key: ApiKey, digest: str, expires_at: datetime | None) -> ApiKey:
    # One whose end cannot be told has ended. It never outlives the key itself.
    ends = [to_us(expires_at) if expires_at else 0, key.expires_at_us]
    expires_at_us = min(end for end in ends if end is not None)
    return replace(key, digest=digest, expires_at_us=expires_at_us, is_previous=True)


def _build_key(row: Row) -> ApiKey:
    permissions = row["permissions"] or []
    is_readable = isinstance(permissions, list) and all(isinstance(entry, str) for entry in permissions)
    return ApiKey(
        key_id=row["key_id"],
        digest=row["key_value"],
        source_path=row["source_path"],
        permissions=tuple(permissions) if is_readable else (),
        # No permissions would allow everything: a key whose list cannot be read opens nothing instead.
        is_active=bool(row["is_active"]) and is_readable,
        expires_at_us=to_us(row["expires_at"]) if row["expires_at"] else None,
        rate_limit=_read_count(row["rate_limit"]),
        rate_burst=_read_count(row["rate_burst"]),
    )


def _read_count(value: object) -> int | None:
    # SQLite keeps text in a column of numbers. What cannot be read is not given: the default then holds.
    return value if isinstance(value, int) else None


def _finish_row(row: Row, now: datetime) -> Row:
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    status: KeyStatus = "disabled" if not row["is_active"] else "expired" if expired else "active"
    return {**row, "status": status}


def status_condition(status: KeyStatus, now: datetime) -> Any:
    """Return the status of a key as a peewee expression: true of exactly one of the three."""
    expired = ApiKeyRow.expires_at.is_null(False) & (ApiKeyRow.expires_at <= now)
    if status == "disabled":
        return ApiKeyRow.is_active.is_null() | (ApiKeyRow.is_active == False)  # noqa: E712
    return (ApiKeyRow.is_active == True) & (expired if status == "expired" else ~expired)  # noqa: E712
