"""The database's side of a document: its keys and routes read at one moment, and changes written at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from fastgate_cli.documents.key_fields import describe_key
from fastgate_cli.documents.plan import Change, State
from fastgate_cli.documents.route_fields import describe_route
from proxy.errors import InvalidInputError
from proxy.store.database import Database
from proxy.store.document_changes import (
    add_document_key,
    add_document_route,
    list_digests,
    update_document_key,
    update_document_route,
)
from proxy.store.keys import delete_keys, list_keys
from proxy.store.routes import delete_routes, find_problem, list_routes

EMPTY = State({"keys": {}, "routes": {}})


def read_state(database: Database, now: datetime) -> State:
    """Return what the database has, oldest keys first and routes by priority."""
    with database.snapshot():
        digests = list_digests(database)
        keys = {
            row["key_id"]: describe_key(row, digests[row["key_id"]]) for row in list_keys(database, now=now)
        }
        routes = {row["route_id"]: describe_route(row) for row in list_routes(database)}
    return State({"keys": keys, "routes": routes})


def check_readable(state: State) -> None:
    """Refuse what something other than FastGate has written: a document cannot tell it."""
    for key_id, key in state.sections["keys"].items():
        permissions = key["permissions"]
        if not isinstance(permissions, list) or not all(isinstance(entry, str) for entry in permissions):
            raise _unreadable("key", key_id, "its permissions cannot be read")
    for route_id, route in state.sections["routes"].items():
        if problem := find_problem(route):
            raise _unreadable("route", route_id, problem)


def write_changes(
    database: Database, changes: Sequence[Change], *, key_prefix: str, now: datetime
) -> list[tuple[Change, str, str | None]]:
    """Write changes, all or none; return each with the id of its object and the secret of a new key.

    Removals come first, so that what they leave can be taken.
    """
    written: dict[int, tuple[str, str | None]] = {}
    order = ("remove", "change", "add")
    with database.transaction():
        for place, change in sorted(enumerate(changes), key=lambda pair: order.index(pair[1].action)):
            # Among routes of one priority the older is tried first: the order of the document is kept.
            moment = now + timedelta(microseconds=place)
            written[place] = _write_change(database, change, key_prefix, moment)
    return [(change, *written[place]) for place, change in enumerate(changes)]


def _write_change(
    database: Database, change: Change, key_prefix: str, now: datetime
) -> tuple[str, str | None]:
    columns = _name_columns(change.columns)
    object_id = change.object_id
    if change.action == "add" and change.kind == "route":
        return add_document_route(database, object_id, columns, now)["route_id"], None
    assert object_id is not None
    if change.action == "add":
        return object_id, add_document_key(database, object_id, columns, key_prefix=key_prefix, now=now)[1]
    if change.action == "change" and change.kind == "key":
        update_document_key(database, object_id, columns, now)
    elif change.action == "change":
        update_document_route(database, object_id, columns, now)
    elif change.kind == "key":
        delete_keys(database, [object_id], now=now)
    else:
        delete_routes(database, [object_id])
    return object_id, None


def _name_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"key_value" if name == "value_hash" else name: value for name, value in fields.items()}


def _unreadable(kind: str, object_id: str, problem: str) -> InvalidInputError:
    return InvalidInputError(
        f"the {kind} {object_id!r} cannot be written into a document: {problem}",
        hint=f"'fastgate {kind}s show {object_id}' shows it; mend or delete it",
    )
