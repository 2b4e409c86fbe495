"""Keys and routes written as a document has them: whole columns, under ids of its own choosing.

Every function belongs into a transaction of the caller's, who has checked the result as a whole: a name may
pass from one route to another here, so none is asked for on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from proxy.errors import ConflictError
from proxy.store.database import Database
from proxy.store.keys import check_digest_is_free, create_key, get_key
from proxy.store.models import ApiKeyRow, ProxyRouteRow, Row, clean_text
from proxy.store.routes import NewRoute, add_route, get_route

Columns = Mapping[str, Any]


def list_digests(database: Database) -> dict[str, str]:
    """Return the digest of every key, by id."""
    rows = database.fetch(ApiKeyRow.select(ApiKeyRow.key_id, ApiKeyRow.key_value))
    return {row["key_id"]: row["key_value"] for row in rows}


def add_document_key(
    database: Database, key_id: str, columns: Columns, *, key_prefix: str, now: datetime
) -> tuple[Row, str | None]:
    """Add a key and return its row, and its new secret; None if the columns bring the digest of one along."""
    _, secret = create_key(
        database,
        key_prefix=key_prefix,
        key_id=key_id,
        source=columns["source_path"],
        permissions=columns["permissions"],
        rate_limit=columns["rate_limit"],
        rate_burst=columns["rate_burst"],
        expires_at=columns["expires_at"],
        now=now,
    )
    rest = {name: columns[name] for name in ("is_active", "key_value", "key_hint") if name in columns}
    row = update_document_key(database, key_id, rest, now)
    return row, None if "key_value" in columns else secret


def update_document_key(database: Database, key_id: str, columns: Columns, now: datetime) -> Row:
    """Change columns of a key and return its row. Raises `ConflictError` for a digest that is in use."""
    if "key_value" in columns:
        try:
            check_digest_is_free(database, columns["key_value"], but_of=key_id)
        except ConflictError:
            hint = "give each key a value_hash of its own"
            raise ConflictError(f"another key has the secret of {key_id!r}", hint=hint) from None
    ApiKeyRow.update(**columns).where(ApiKeyRow.key_id == key_id).execute(database.peewee)
    return get_key(database, key_id, now=now)


def add_document_route(database: Database, route_id: str | None, columns: Columns, now: datetime) -> Row:
    """Add a route and return its row. Raises `ConflictError` if its id or name is taken."""
    return add_route(database, NewRoute(**columns, route_id=route_id), now)


def update_document_route(database: Database, route_id: str, columns: Columns, now: datetime) -> Row:
    """Change columns of a route and return its row."""
    cleaned = {name: clean_text(value) if name == "description" else value for name, value in columns.items()}
    query = ProxyRouteRow.update(**cleaned, updated_at=now).where(ProxyRouteRow.route_id == route_id)
    query.execute(database.peewee)
    return get_route(database, route_id)
