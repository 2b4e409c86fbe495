"""API keys in the database. A secret passes through once, when it is made; only its digest is kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from peewee import IntegrityError

from proxy.clock import to_us
from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.ids import check_id, new_id
from proxy.policy.credentials import BASE62, RANDOM_LENGTH, build_secret, digest_secret, hint_of
from proxy.policy.model import ApiKey
from proxy.policy.permissions import compile_permissions
from proxy.store.database import Database
from proxy.store.models import ApiKeyRow, Row, clean_text, fields_of

KeyStatus = Literal["active", "disabled", "expired"]
SECRET_LENGTH_MIN, SECRET_LENGTH_MAX = 8, 512
SOURCE_LENGTH_MAX = 100
PERMISSIONS_MAX = 100
PERMISSION_LENGTH_MAX = 200
RATE_LIMIT_MAX = RATE_BURST_MAX = 1_000_000_000
_SHOWN = fields_of(ApiKeyRow, without=("key_value",))
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
    if key_id is None:
        key_id = new_id("key", to_us(now))
    check_id(key_id)
    if value is not None:
        _check_secret(value)
    secret = (
        value
        if value is not None
        else build_secret(key_prefix, "".join(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH)))
    )
    query = ApiKeyRow.insert(
        key_id=key_id,
        key_value=digest_secret(secret.encode()),
        key_hint=hint_of(secret),
        source_path=source,
        permissions=list(permissions),
        rate_limit=rate_limit,
        rate_burst=rate_burst,
        created_at=now,
        expires_at=expires_at,
    )
    with database.transaction():
        try:
            query.execute(database.peewee)
        except IntegrityError:
            raise ConflictError("this key exists already", hint=_HINT) from None
        return get_key(database, key_id, now=now), secret


def list_keys(
    database: Database,
    *,
    source: str | None = None,
    status: KeyStatus | None = None,
    now: datetime,
    limit: int = 0,
) -> list[Row]:
    """Return keys, oldest first, with their `status`; `limit` 0 is all."""
    query = ApiKeyRow.select(*_SHOWN).order_by(ApiKeyRow.created_at, ApiKeyRow.key_id)
    if source is not None:
        query = query.where(ApiKeyRow.source_path == clean_text(source))
    if status is not None:
        query = query.where(_status_condition(status, now))
    return [_finish_row(row, now) for row in database.fetch(query.limit(limit or None))]


def get_key(database: Database, key_id: str, *, now: datetime) -> Row:
    """Return one key, or raise `NotFoundError`."""
    return _get_keys(database, [key_id], now)[0]


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
            chosen = [row["key_id"] for row in _get_keys(database, key_ids, now)]
        else:
            wanted = None if everything else source
            chosen = [row["key_id"] for row in list_keys(database, source=wanted, now=now)]
        for key_id in chosen:
            ApiKeyRow.update(is_active=active).where(ApiKeyRow.key_id == key_id).execute(database.peewee)
        return _get_keys(database, chosen, now)


def delete_keys(database: Database, key_ids: Sequence[str], *, now: datetime) -> list[Row]:
    """Delete keys and return what they were; all of them or, with `NotFoundError`, none."""
    with database.transaction():
        rows = _get_keys(database, key_ids, now)
        for row in rows:
            ApiKeyRow.delete().where(ApiKeyRow.key_id == row["key_id"]).execute(database.peewee)
    return rows


def load_keys(database: Database) -> tuple[ApiKey, ...]:
    """Return every key as policy sees it: with its digest."""
    return tuple(map(_build_key, database.fetch(ApiKeyRow.select())))


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


def _get_keys(database: Database, key_ids: Sequence[str], now: datetime) -> list[Row]:
    rows = []
    for key_id in dict.fromkeys(key_ids):
        found = database.fetch(ApiKeyRow.select(*_SHOWN).where(ApiKeyRow.key_id == clean_text(key_id)))
        if not found:
            raise NotFoundError(f"there is no key {key_id!r}", hint=_HINT)
        rows.append(_finish_row(found[0], now))
    return rows


def _finish_row(row: Row, now: datetime) -> Row:
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    status: KeyStatus = "disabled" if not row["is_active"] else "expired" if expired else "active"
    return {**row, "status": status}


def _status_condition(status: KeyStatus, now: datetime) -> Any:
    expired = ApiKeyRow.expires_at.is_null(False) & (ApiKeyRow.expires_at <= now)
    if status == "disabled":
        return ApiKeyRow.is_active == False  # noqa: E712
    return (ApiKeyRow.is_active == True) & (expired if status == "expired" else ~expired)  # noqa: E712


def check_key(
    *,
    source: str = "default",
    permissions: Sequence[str] = (),
    rate_limit: int | None = None,
    rate_burst: int | None = None,
) -> None:
    """Refuse what no key can have."""
    _check_source(source)
    _check_permissions(permissions)
    _check_rate_limit(rate_limit, rate_burst)


def _check_source(source: str) -> None:
    if not 1 <= len(source) <= SOURCE_LENGTH_MAX or not source.isprintable() or source != source.strip():
        hint = f"a source is a name of 1 to {SOURCE_LENGTH_MAX} printable characters"
        raise InvalidInputError(f"{source[:40]!r} is not a source", hint=hint)


def _check_permissions(permissions: Sequence[str]) -> None:
    if len(permissions) > PERMISSIONS_MAX:
        raise InvalidInputError(f"a key has at most {PERMISSIONS_MAX} permissions")
    for entry in permissions:
        if len(entry) > PERMISSION_LENGTH_MAX or not entry.isprintable():
            hint = f"a permission is at most {PERMISSION_LENGTH_MAX} printable characters"
            raise InvalidInputError(f"{entry[:40]!r} is not a permission", hint=hint)
    compile_permissions(permissions)


def _check_rate_limit(rate_limit: int | None, rate_burst: int | None) -> None:
    if rate_limit is not None and not 0 <= rate_limit <= RATE_LIMIT_MAX:
        hint = f"requests per minute, 0 (no limit) to {RATE_LIMIT_MAX}"
        raise InvalidInputError(f"{rate_limit} is not a rate limit", hint=hint)
    if rate_burst is None:
        return
    if not 0 <= rate_burst <= RATE_BURST_MAX:
        hint = f"requests at once, 0 (a minute's allowance) to {RATE_BURST_MAX}"
        raise InvalidInputError(f"{rate_burst} is not a burst", hint=hint)
    if rate_limit == 0:
        # Whoever asks for a burst expects a limit: a key without one would be a surprise.
        raise InvalidInputError("a key without a rate limit has no burst", hint="give only one of the two")


def _check_secret(value: str) -> None:
    acceptable = value.isascii() and value.isprintable() and " " not in value
    if not (SECRET_LENGTH_MIN <= len(value) <= SECRET_LENGTH_MAX and acceptable):
        hint = f"a key is {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} printable characters, without spaces"
        raise InvalidInputError("this value cannot be a key", hint=hint)
