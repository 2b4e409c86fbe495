"""Looking for rows that cannot be read, or that mean nothing: times, JSON, digests, permissions, routes.

Changes nothing. A fault never quotes what may be a secret: of a key it names the id, of JSON nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import peewee

from proxy.clock import parse_stored
from proxy.errors import InvalidInputError
from proxy.policy.permissions import compile_permissions
from proxy.store.database import Database
from proxy.store.models import ApiKeyRow, JsonField, ProxyRouteRow, Row, TimeField
from proxy.store.routes import find_problem
from proxy.store.schema import list_models, read_schema

CORRECT = "something other than FastGate wrote it; correct that row"
_QUOTED_MAX = 40
_DIGEST_LENGTH = len("sha256:") + 64


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, where, and what to do about it."""

    check: Literal["integrity", "migrations", "schema", "rows"]
    place: str  # a table, or a table and a row
    message: str
    hint: str


def check_values(database: Database) -> Iterator[Fault]:
    """Yield the times and JSON values that cannot be read, of every table."""
    connection = database.connection()
    connection.create_function("fastgate_is_time", 1, is_time, deterministic=True)
    schema = read_schema(connection)
    for model in list_models():
        part = schema.get(("table", model._meta.table_name))
        if part is not None:
            yield from _check_table(connection, model, [*part.columns])


def _check_table(
    connection: sqlite3.Connection, model: type[peewee.Model], columns: Sequence[str]
) -> Iterator[Fault]:
    """Yield the unreadable times and JSON values of a table, in one pass over it."""
    key_field = model._meta.primary_key
    assert isinstance(key_field, peewee.Field)
    table, key = model._meta.table_name, key_field.column_name
    tests = {
        field.column_name: test
        for field in model._meta.sorted_fields
        if field.column_name in columns and (test := _test_of(field))
    }
    if not tests or key not in columns:
        return
    faulty = {name: f'("{name}" IS NOT NULL AND NOT {test.format(name)})' for name, test in tests.items()}
    asked = ", ".join(f'{condition}, "{name}"' for name, condition in faulty.items())
    query = f'SELECT "{key}", {asked} FROM "{table}" WHERE {" OR ".join(faulty.values())}'  # noqa: S608
    for row_id, *facts in connection.execute(query):
        for name, is_faulty, value in zip(tests, facts[::2], facts[1::2], strict=True):
            if is_faulty:
                # A JSON value may be headers, with what they hold: it is not quoted.
                holds_time = "is_time" in tests[name]
                what = f"{quote(value)}, which is not a time" if holds_time else "something that is not JSON"
                yield Fault("rows", f"{table} {row_id}", f"{name} holds {what}", CORRECT)


def _test_of(field: object) -> str:
    if isinstance(field, TimeField):
        return 'fastgate_is_time("{0}")'
    return '(typeof("{0}") = \'text\' AND json_valid("{0}"))' if isinstance(field, JsonField) else ""


def check_keys(database: Database) -> Iterator[Fault]:
    """Yield keys that share a digest or have none, and permissions that cannot be read."""
    connection = database.connection()
    columns = _columns_of(connection, ApiKeyRow)
    if "key_value" in columns:
        query = "SELECT group_concat(key_id, ' and ') FROM api_keys GROUP BY key_value HAVING count(*) > 1"
        for (ids,) in connection.execute(query):
            yield Fault("rows", "api_keys", f"{ids} have the same digest", "delete all of them but one")
        query = "SELECT key_id FROM api_keys WHERE key_value NOT GLOB 'sha256:*' OR length(key_value) <> ?"
        for (key_id,) in connection.execute(query, (_DIGEST_LENGTH,)):
            hint = "'fastgate keys delete' it and create another"
            yield Fault("rows", f"api_keys {key_id}", "what it holds for the secret is no digest", hint)
    if "permissions" in columns:
        for row in _read_rows(database, ApiKeyRow, ApiKeyRow.key_id, ApiKeyRow.permissions):
            if not _are_permissions(row["permissions"]):
                message = "its permissions cannot be read, so that it opens nothing"
                yield Fault("rows", f"api_keys {row['key_id']}", message, "delete the key and create another")


def check_routes(database: Database) -> Iterator[Fault]:
    """Yield routes that the gateway leaves out."""
    fields = ProxyRouteRow._meta.sorted_fields
    if {field.column_name for field in fields} <= _columns_of(database.connection(), ProxyRouteRow):
        # Times have been looked at before, and would end this.
        wanted = [field for field in fields if not isinstance(field, TimeField)]
        for row in _read_rows(database, ProxyRouteRow, *wanted):
            if problem := find_problem(row):
                hint = "'fastgate routes delete' it and add it anew"
                yield Fault("rows", f"proxy_routes {row['route_id']}", f"it is left out: {problem}", hint)


def check_state(database: Database) -> Iterator[Fault]:
    """Yield a fault if the revision has gone."""
    connection = database.connection()
    if ("table", "gateway_state") not in read_schema(connection):
        return
    if connection.execute("SELECT count(*) FROM gateway_state WHERE id = 1").fetchone()[0] != 1:
        hint = "add it: INSERT INTO gateway_state (id, revision) VALUES (1, 1)"
        yield Fault("rows", "gateway_state", "it has lost its row", hint)


def _read_rows(database: Database, model: type[peewee.Model], *fields: peewee.Field[Any]) -> list[Row]:
    return database.fetch(model.select(*fields))


def _columns_of(connection: sqlite3.Connection, model: type[peewee.Model]) -> set[str]:
    part = read_schema(connection).get(("table", model._meta.table_name))
    return set(part.columns) if part else set()


def _are_permissions(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        return False
    try:
        compile_permissions(value)
    except InvalidInputError:
        return False
    return True


def is_time(value: object) -> bool:
    """Tell whether a stored value can be read as a time."""
    try:
        parse_stored(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def quote(value: object) -> str:
    """Return a value as a fault may show it."""
    text = repr(value)
    return text if len(text) <= _QUOTED_MAX else text[:_QUOTED_MAX] + "…"
