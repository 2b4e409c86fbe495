"""Changes to routes that are there: some columns of them, or whether they are in use. All of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from proxy.store.database import Database
from proxy.store.models import ProxyRouteRow, Row, clean_text
from proxy.store.routes import check_name_is_free, get_route

Change = Callable[[Row], Mapping[str, Any]]


def update_routes(database: Database, refs: Sequence[str], change: Change, now: datetime) -> list[Row]:
    """Change columns of routes and return the rows as they are then, each route once.

    `change` is told each row as it is and returns the columns to write. Raises `NotFoundError`, and
    `ConflictError` for a name that is taken; then nothing is changed, nor if `change` raises.
    """
    with database.transaction():
        rows = {row["route_id"]: row for row in (get_route(database, ref) for ref in refs)}
        return [_update_route(database, row, dict(change(row)), now) for row in rows.values()]


def set_routes_active(
    database: Database, refs: Sequence[str], active: bool | None, now: datetime
) -> list[Row]:
    """Switch routes on or off, or each to what it is not (None), and return them.

    Raises `NotFoundError`, with nothing changed, if one is not there.
    """
    return update_routes(
        database, refs, lambda row: {"is_active": not row["is_active"] if active is None else active}, now
    )


def _update_route(database: Database, row: Row, columns: dict[str, Any], now: datetime) -> Row:
    route_id = row["route_id"]
    if "route_name" in columns and columns["route_name"] != row["route_name"]:
        check_name_is_free(database, columns["route_name"])
    if "description" in columns:
        columns["description"] = clean_text(columns["description"])
    query = ProxyRouteRow.update(**columns, updated_at=now).where(ProxyRouteRow.route_id == route_id)
    query.execute(database.peewee)
    return get_route(database, route_id)
