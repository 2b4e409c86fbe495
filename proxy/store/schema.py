"""What a database is made of, and how that differs from one that the migrations have just made.

SQLite's own catalogue is compared, so that whatever a migration makes is looked at without being named here.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import peewee

from proxy.store import models
from proxy.store.state import HISTORY_TABLE, find_migrations

Kind = Literal["table", "index", "trigger", "view"]
Columns = Mapping[str, tuple[object, ...]]  # by name: type, not null, default, place in the primary key


@dataclass(frozen=True, slots=True)
class Part:
    """A table, an index, a trigger or a view; only tables have columns."""

    kind: Kind
    name: str
    table: str
    sql: str
    columns: Columns


@dataclass(frozen=True, slots=True)
class Difference:
    """One part, or one column of a table, that is missing, extra or not as it should be."""

    part: Part
    state: Literal["missing", "extra", "different"]
    column: str = ""


Schema = Mapping[tuple[str, str], Part]


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Return the parts of a database by kind and name, without what SQLite makes for itself."""
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    return {
        (kind, name): Part(kind, name, table, sql or "", _read_columns(connection, name) if sql else {})
        for kind, name, table, sql in rows
    }


def build_schema(last_migration: str) -> Schema:
    """Return the schema that the migrations make, up to and including one of them."""
    from playhouse.migrations import Runner

    database = peewee.SqliteDatabase(":memory:")
    with closing(database):
        Runner(database, str(find_migrations()), HISTORY_TABLE).up(last_migration)
        return read_schema(database.connection())  # type: ignore[no-untyped-call]


def compare_schemas(actual: Schema, wanted: Schema) -> Iterator[Difference]:
    """Yield what `actual` lacks, has too much or has otherwise, tables before what belongs to them."""
    for key, part in sorted(wanted.items(), key=_order):
        if key not in actual:
            # Without its table there is neither index nor trigger: that needs no lines of its own.
            if part.kind == "table" or ("table", part.table) in actual:
                yield Difference(part, "missing")
            continue
        differences = [*_compare_columns(actual[key], part)]
        yield from differences
        if not differences and _normalise(actual[key].sql) != _normalise(part.sql):
            yield Difference(part, "different")
    for key, part in sorted(actual.items(), key=_order):
        if key not in wanted and (part.kind in ("table", "view") or ("table", part.table) in wanted):
            yield Difference(part, "extra")


def list_models() -> list[type[peewee.Model]]:
    """Return every model of the store."""
    return [
        value
        for value in vars(models).values()
        if isinstance(value, type) and issubclass(value, peewee.Model)
    ]


def _read_columns(connection: sqlite3.Connection, table: str) -> Columns:
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)', (table,)
    )
    return {name: tuple(facts) for name, *facts in rows}


def _compare_columns(actual: Part, wanted: Part) -> Iterator[Difference]:
    for name, facts in wanted.columns.items():
        if name not in actual.columns:
            yield Difference(wanted, "missing", name)
        elif actual.columns[name] != facts:
            yield Difference(wanted, "different", name)
    for name in actual.columns:
        if name not in wanted.columns:
            yield Difference(wanted, "extra", name)


def _order(item: tuple[tuple[str, str], Part]) -> tuple[bool, str, str]:
    part = item[1]
    return part.kind != "table", part.table, part.name


def _normalise(sql: str) -> str:
    return re.sub(r"[\s\"]+", " ", sql).replace(" ,", ",").replace("( ", "(").replace(" )", ")").strip()
