"""The order in which routes are tried, and a route moved to another place in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from proxy.clock import to_us
from proxy.errors import InvalidInputError
from proxy.policy.patterns import compile_pattern
from proxy.policy.renumbering import Place, renumber
from proxy.store.database import Database
from proxy.store.models import ProxyRouteRow, Row
from proxy.store.routes import PRIORITY_DEFAULT, get_route, list_routes

Side = Literal["before", "after"]
_UNKNOWN_SPECIFICITY = (0, 0, 0)


def order_rows(rows: Iterable[Row]) -> list[Row]:
    """Return routes in the order in which they are tried: priority, specificity, age."""
    return sorted(rows, key=_locate)


def move_route(
    database: Database, ref: str, side: Side, other_ref: str | None, now: datetime
) -> tuple[list[Row], Row]:
    """Have a route tried just before or after another one; without another, before or after all.

    All others keep their order, and as few priorities are changed as can be. Returns the routes whose
    priority has changed, in the order in which they are tried, and the one that was moved. Raises
    `NotFoundError`.
    """
    with database.transaction():
        row = get_route(database, ref)
        route_id = row["route_id"]
        others = [one for one in order_rows(list_routes(database)) if one["route_id"] != route_id]
        index = _find_place(others, side, other_ref, database, route_id)
        wanted = [*others[:index], row, *others[index:]]
        priorities = renumber([_locate(one) for one in wanted], index)
        changed = [
            _set_priority(database, one["route_id"], priority, now)
            for one, priority in zip(wanted, priorities, strict=True)
            if priority != one["priority"]
        ]
        return changed, get_route(database, route_id)


def _find_place(
    others: list[Row], side: Side, other_ref: str | None, database: Database, route_id: str
) -> int:
    if other_ref is None:
        return 0 if side == "before" else len(others)
    anchor = get_route(database, other_ref)["route_id"]
    if anchor == route_id:
        raise InvalidInputError(f"{route_id} cannot be moved {side} itself", hint="name another route")
    return [one["route_id"] for one in others].index(anchor) + (side == "after")


def _locate(row: Mapping[str, Any]) -> Place:
    """Return what decides about a row's place, as the route table sees it."""
    try:
        specificity = compile_pattern(row["match_path"]).specificity
    except InvalidInputError:
        specificity = _UNKNOWN_SPECIFICITY  # the gateway leaves it out
    created_us = to_us(row["created_at"]) if row["created_at"] else 0
    priority = PRIORITY_DEFAULT if row["priority"] is None else row["priority"]
    return Place(priority, (specificity, created_us, row["route_id"]))


def _set_priority(database: Database, route_id: str, priority: int, now: datetime) -> Row:
    query = ProxyRouteRow.update(priority=priority, updated_at=now).where(ProxyRouteRow.route_id == route_id)
    query.execute(database.peewee)
    return get_route(database, route_id)
