"""What state a database is in: whose file it is, which migrations it has, which revision it is at.

Reads only. Whoever calls the functions that take a path or a connection translates sqlite3's errors.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.clock import parse_stored
from proxy.errors import DatabaseError
from proxy.store.models import (
    ApiKeyRow,
    AuditLogRow,
    GatewayState,
    JournalSegment,
    JournalWriterRow,
    LogFact,
    LogWord,
    ProxyRouteRow,
    Row,
)

if TYPE_CHECKING:
    from proxy.store.database import Database

APPLICATION_ID = 0x46474154  # "FGAT", written by the first migration into the file's header
HISTORY_TABLE = "schema_migration"
_FIRST_SCRIPT = "0001_initial.py"
_MODELS = (
    ApiKeyRow,
    AuditLogRow,
    ProxyRouteRow,
    GatewayState,
    JournalSegment,
    LogFact,
    LogWord,
    JournalWriterRow,
)
_TABLES = frozenset(model._meta.table_name for model in _MODELS)


def find_migrations() -> Path:
    """Return the folder of the migration scripts: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / _FIRST_SCRIPT).is_file():
            return folder
    raise DatabaseError("the migration scripts are missing from this installation", hint="install it again")


def known_migrations() -> list[str]:
    """Return the names of the migrations that this program has, in their order."""
    return sorted(script.stem for script in find_migrations().glob("[0-9]*.py"))


def check_owner(path: Path) -> None:
    """Refuse a database that is not FastGate's, without locking it or putting a file beside it."""
    # Only ever through SQLite: closing another descriptor of the file would drop this process's locks on it.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        # While a checkpoint writes to it, a file may be shorter than its first page says: so read, it would
        # be called damaged. This has SQLite read on.
        connection.execute("PRAGMA writable_schema = ON")
        if _read_application_id(connection) == APPLICATION_ID:
            return
        tables = _read_tables(connection)
    raise _refuse_owner(path, tables)


def check_vacant(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse, under the lock of a migration, a file that is neither FastGate's nor empty."""
    tables = _read_tables(connection)
    if tables and _read_application_id(connection) != APPLICATION_ID:
        raise _refuse_owner(path, tables)


def read_history(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """Return the applied migrations, by name, with the text of their time; none for an empty database."""
    tables = _read_tables(connection)
    if not tables:
        return {}
    if HISTORY_TABLE not in tables:
        raise _damaged(path, HISTORY_TABLE)
    history = dict(connection.execute("SELECT name, applied FROM schema_migration ORDER BY name").fetchall())
    known = known_migrations()
    if newer := sorted(set(history) - set(known)):
        raise DatabaseError(
            f"{path} was written by a newer FastGate (it has the migration {newer[-1]})",
            hint="run that version of FastGate; the file has been left as it was",
        )
    if len(history) == len(known) and not tables >= _TABLES:
        raise _damaged(path, min(_TABLES - tables))
    return history


def describe_history(history: dict[str, str]) -> list[Row]:
    """Return every known migration with the time it was applied, None if it is pending."""
    return [
        {"name": name, "applied": parse_stored(history[name]) if name in history else None}
        for name in known_migrations()
    ]


def read_revision(database: Database) -> int:
    """Return the number that moves with every change to keys and routes that policy can see."""
    query = GatewayState.select(GatewayState.revision).where(GatewayState.id == 1)
    rows = database.fetch(query)
    if not rows:
        raise _damaged(database.path, "gateway_state")
    return int(rows[0]["revision"])


def _read_application_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _read_tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _refuse_owner(path: Path, tables: set[str]) -> DatabaseError:
    if "api_keys" in tables:
        return DatabaseError(
            f"{path} is the database of another gateway, not of this one; it has been left as it was",
            hint=f"set database.url to a new file, then run 'fastgate db import {path}'",
        )
    return DatabaseError(
        f"{path} is an SQLite database, but not FastGate's; it has been left as it was",
        hint="set database.url to another file",
    )


def _damaged(path: Path, missing: str) -> DatabaseError:
    return DatabaseError(
        f"{path} is damaged: it has no {missing}",
        hint="restore it from a backup; the file has been left as it was",
    )
