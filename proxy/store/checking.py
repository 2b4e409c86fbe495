"""Looking for what is wrong with a database: the file, its schema, and rows that cannot be read.

Changes nothing. What is wrong with single rows is looked for in `row_checks.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.errors import DatabaseError
from proxy.store.database import Database, open_database
from proxy.store.row_checks import (
    CORRECT,
    Fault,
    check_keys,
    check_routes,
    check_state,
    check_values,
    is_time,
    quote,
)
from proxy.store.schema import Difference, build_schema, compare_schemas, list_models, read_schema
from proxy.store.state import HISTORY_TABLE, known_migrations

FAULTS_PER_CHECK_MAX = 100
_RESTORE = "restore the database from a backup"


def check_database(path: Path) -> list[Fault]:
    """Return the faults of a database. Raises `DatabaseError` for a file that is none, or not FastGate's."""
    try:
        with open_database(path, create=False, allow_pending=True, allow_faults=True) as database:
            return list(find_faults(database))
    except DatabaseError as error:
        # So damaged that SQLite does not even say whose it is.
        cause = getattr(error.__cause__, "orig", error.__cause__)  # peewee keeps sqlite3's own error there
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code != sqlite3.SQLITE_CORRUPT:
            raise
        return [Fault("integrity", "the file", error.message, error.hint)]


def find_faults(database: Database) -> Iterator[Fault]:
    """Yield the faults of a database that is FastGate's, opened with `allow_faults`.

    A damaged part ends the check of what depends on it, never the others.
    """
    parts: tuple[Callable[[Database], Iterator[Fault]], ...] = (
        _check_file,
        _check_migrations,
        _check_schema,
        check_values,
        check_keys,
        check_routes,
        check_state,
    )
    for check in parts:
        try:
            with database.interruptible():
                yield from _bound(check(database))
        except DatabaseError as error:
            yield Fault("integrity", "the file", error.message, error.hint)


def _check_file(database: Database) -> Iterator[Fault]:
    execute = database.connection().execute
    for (text,) in execute(f"PRAGMA integrity_check({FAULTS_PER_CHECK_MAX})"):
        if text != "ok":
            yield Fault("integrity", "the file", " ".join(text.split()), _RESTORE)
    for table, row, parent, _ in execute("PRAGMA foreign_key_check"):
        yield Fault("integrity", f"{table} {row}", f"it refers to a row that {parent} lacks", CORRECT)


def _check_migrations(database: Database) -> Iterator[Fault]:
    history = _read_history(database)
    for name in known_migrations():
        if name not in history:
            yield Fault("migrations", name, "it is pending", "'fastgate db upgrade' applies it")
        elif not is_time(history[name]):
            message = f"it was applied at {quote(history[name])}, which is not a time"
            yield Fault("migrations", name, message, CORRECT)
    for name in sorted(set(history) - set(known_migrations())):
        yield Fault("migrations", name, "a newer FastGate applied it", "run that version of FastGate")


def _check_schema(database: Database) -> Iterator[Fault]:
    applied = [name for name in known_migrations() if name in _read_history(database)]
    if not applied:
        return
    actual = read_schema(database.connection())
    differences = [*compare_schemas(actual, build_schema(applied[-1]))]
    yield from map(_describe_difference, differences)
    if len(applied) < len(known_migrations()):
        return
    told = {(difference.part.name, difference.column) for difference in differences}
    for model in list_models():
        table = model._meta.table_name
        if ("table", table) not in actual:
            continue
        for field in model._meta.sorted_fields:
            there = field.column_name in actual["table", table].columns
            if not there and (table, field.column_name) not in told:
                yield Fault("schema", table, f"it has no column {field.column_name}", _RESTORE)


def _describe_difference(difference: Difference) -> Fault:
    part, column = difference.part, difference.column
    what = f"the column {column}" if column else f"the {part.kind} {part.name}"
    is_derived = part.kind in ("index", "trigger")
    statement = " ".join(part.sql.split())
    drop = f"DROP {part.kind.upper()} {part.name}"
    match difference.state:
        case "missing":
            message = f"{what} is missing"
            hint = f"make it again: {statement}" if is_derived else _RESTORE
        case "extra":
            message = f"{what} is not FastGate's"
            hint = f"if nothing of yours needs it: ALTER TABLE {part.name} DROP COLUMN {column}"
            hint = hint if column else f"if nothing of yours needs it: {drop}"
        case _:
            message = f"{what} is not declared as it should be"
            hint = f"make it anew: {drop}; {statement}" if is_derived else _RESTORE
    return Fault("schema", part.table, message, hint)


def _read_history(database: Database) -> dict[str, str]:
    connection = database.connection()
    if ("table", HISTORY_TABLE) not in read_schema(connection):
        return {}
    return dict(connection.execute("SELECT name, applied FROM schema_migration").fetchall())


def _bound(faults: Iterator[Fault]) -> Iterator[Fault]:
    for number, fault in enumerate(faults):
        if number == FAULTS_PER_CHECK_MAX:
            yield Fault(fault.check, fault.place, "there are more like these", "mend them, then check again")
            return
        yield fault
