"""Opening the predecessor's database: recognised, read at one moment, and never written to.

Any other file is refused and stays as it was; nothing is put beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from proxy.errors import DatabaseError
from proxy.store.database import Database
from proxy.store.state import APPLICATION_ID, HISTORY_TABLE

# What a database of v0.2 to v0.4 has for certain, and what is read besides where it is there.
_CERTAIN: Mapping[str, Sequence[str]] = {
    "api_keys": ("key_id", "key_value", "source_path"),
    "proxy_routes": ("route_id", "route_name", "match_path", "target_host", "target_path"),
    "audit_logs": ("id", "request_id", "method", "path", "request_time"),
}
_BESIDES: Mapping[str, Sequence[str]] = {
    "api_keys": (
        "permissions",
        "created_at",
        "expires_at",
        "is_active",
        "usage_count",
        "rate_limit",
        "last_used_at",
    ),
    "proxy_routes": (
        "description",
        "match_method",
        "match_headers",
        "match_body_schema",
        "target_protocol",
        "strip_path_prefix",
        "add_headers",
        "add_body_fields",
        "remove_headers",
        "timeout",
        "retry_count",
        "is_active",
        "priority",
        "created_at",
        "updated_at",
    ),
    "audit_logs": (
        "api_key",
        "source_path",
        "target_url",
        "status_code",
        "first_response_time",
        "response_time",
        "response_time_ms",
        "request_size",
        "response_size",
        "user_agent",
        "ip_address",
        "error_message",
        "is_stream",
        "stream_chunks",
        "request_headers",
        "request_body",
        "response_headers",
        "response_body",
        "created_at",
    ),
}
_WAL_OFFSET = 18  # of the byte that says so in the header of an SQLite file
_LEFT_ALONE = "it has been left as it was"


class PredecessorDatabase:
    """An open database of the predecessor, seen at one moment. Columns that it lacks are None in its rows."""

    def __init__(self, database: Database) -> None:
        self.path = database.path
        self._database = database

    def read_keys(self) -> list[dict[str, Any]]:
        """Return every key, the oldest first."""
        return list(self._read("api_keys", "rowid"))

    def read_routes(self) -> list[dict[str, Any]]:
        """Return every route, the oldest first."""
        return list(self._read("proxy_routes", "rowid"))

    def read_logs(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the audit trail in order of time."""
        return self._read("audit_logs", "request_time, rowid")

    def read_request_ids(self) -> Iterator[str]:
        """Yield the ids of all requests of the audit trail."""
        with self._database.reading():
            for (request_id,) in self._database.connection().execute("SELECT request_id FROM audit_logs"):
                yield str(request_id)

    def count_logs(self) -> int:
        """Return how many rows the audit trail has."""
        with self._database.reading():
            return int(self._database.connection().execute("SELECT count(*) FROM audit_logs").fetchone()[0])

    def check(self, *tables: str) -> None:
        """Raise `DatabaseError` if one of these tables is damaged."""
        with self._database.reading():
            for table in tables:
                statement = f"PRAGMA quick_check('{table}')"
                for (text,) in self._database.connection().execute(statement):
                    if text != "ok":
                        raise DatabaseError(
                            f"{self.path} is damaged: {' '.join(text.split())}",
                            hint=f"repair or restore it; {_LEFT_ALONE}",
                        )

    def _read(self, table: str, order: str) -> Iterator[dict[str, Any]]:
        connection = self._database.connection()
        with self._database.reading():
            there = set(_read_columns(connection, table))
            names = [*_CERTAIN[table], *_BESIDES[table]]
            wanted = ", ".join(name if name in there else f"NULL AS {name}" for name in names)
            for values in connection.execute(f"SELECT {wanted} FROM {table} ORDER BY {order}"):  # noqa: S608
                yield dict(zip(names, values, strict=True))


@contextmanager
def open_predecessor(path: Path) -> Iterator[PredecessorDatabase]:
    """Open the predecessor's database, or raise `DatabaseError`."""
    if not path.exists():
        raise DatabaseError(f"there is no database at {path}", hint="check the path of the old database")
    if not path.is_file() or path.stat().st_size == 0:
        raise DatabaseError(f"{path} is not a database: {_what_it_is(path)}", hint="check the path")
    _check_idle(path)
    query = _choose_access(path)
    looking = Database(path, query="mode=ro&immutable=1")
    with looking, looking.reading():
        _check_owner(path, looking.connection())
    with Database(path, query=query) as database, database.reading():
        # Closing ends it; SQLite ends it by itself where it meets damage, and a rollback would then fail.
        database.connection().execute("BEGIN")
        # Text that is not UTF-8 is read all the same, with escapes in it.
        database.connection().text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        yield PredecessorDatabase(database)


def _what_it_is(path: Path) -> str:
    return "it is empty" if path.is_file() else "it is a folder" if path.is_dir() else "it is not a file"


def _choose_access(path: Path) -> str:
    """Return how to open the file: to read a WAL database SQLite makes files beside it, if it is not told.

    Where there is no WAL the file is everything, and can be read alone.
    """
    try:
        with path.open("rb") as file:
            is_wal = file.read(_WAL_OFFSET + 1)[_WAL_OFFSET:] == b"\x02"
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be read: {error.strerror}", hint="check who may read it"
        ) from None
    has_wal = path.with_name(path.name + "-wal").exists()
    return "mode=ro&immutable=1" if is_wal and not has_wal else "mode=ro"


def _check_idle(path: Path) -> None:
    journal = path.with_name(path.name + "-journal")
    if journal.exists() and journal.stat().st_size > 0:
        raise DatabaseError(
            f"{path} is being written, or was when its program died",
            hint=f"let the old gateway start and stop once, then try again; {_LEFT_ALONE}",
        )


def _check_owner(path: Path, connection: sqlite3.Connection) -> None:
    with closing(connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")) as cursor:
        tables = {name for (name,) in cursor}
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    if application_id == APPLICATION_ID or HISTORY_TABLE in tables:
        raise DatabaseError(
            f"{path} is a database of FastGate itself, not of its predecessor",
            hint="to restore a backup, stop the gateway and copy it back",
        )
    for table, columns in _CERTAIN.items():
        lacking = sorted(set(columns) - set(_read_columns(connection, table)))
        if lacking:
            what = f"column {lacking[0]} in {table}" if table in tables else f"table {table}"
            raise DatabaseError(
                f"{path} is not a database of M-FastGate 0.2 to 0.4: it has no {what}",
                hint=f"check the path; {_LEFT_ALONE}",
            )


def _read_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
