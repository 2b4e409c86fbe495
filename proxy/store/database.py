"""One SQLite database: opened, created, migrated, and its errors translated.

Every thread has a connection of its own. A file is created empty and then filled in one transaction, so that
there is never half a database, however many create it at once. A file that is not FastGate's, or is newer or
damaged, is refused and never written to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import peewee

from proxy.clock import format_us, now_us
from proxy.errors import DatabaseError
from proxy.store.database_file import FILE_MODE, choose_access, choose_reading, create_file, measure_file
from proxy.store.failures import translating, translating_files
from proxy.store.models import Row
from proxy.store.state import (
    HISTORY_TABLE,
    check_owner,
    check_vacant,
    describe_history,
    find_migrations,
    known_migrations,
    read_history,
)

BUSY_TIMEOUT_SECONDS = 5
PAGE_BYTES = 8192
_STEPS_BETWEEN_SIGNALS = 100_000
_MISSING_HINT = "run 'fastgate init', or create a key or a route"


class Database:
    """An open database. `peewee` is for the modules of the store; a thread closes its own connection."""

    def __init__(self, path: Path, *, query: str = "mode=rw", durable: bool = False) -> None:
        self.path = path
        self.is_writable = query == "mode=rw"
        self.peewee = peewee.SqliteDatabase(
            # Never the bare path: SQLite would create a file that has gone missing.
            f"{path.absolute().as_uri()}?{query}",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            # The size of a new file's pages: rows are about 1 KB, and each page is written twice.
            pragmas=[("page_size", PAGE_BYTES), ("synchronous", "FULL" if durable else "NORMAL")],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connection, if it has one."""
        self.peewee.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Translate the errors of the queries made inside."""
        with translating(self.path):
            yield

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The same, with Ctrl-C heard: SQLite alone would hear it only when a long statement has ended."""
        connection = self.connection()
        connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)
        try:
            with self.reading():
                try:
                    yield
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                        raise KeyboardInterrupt from None
                    raise
        finally:
            connection.set_progress_handler(None, 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing, holding the write lock from the start. Transactions can be nested."""
        with translating(self.path), self.peewee.atomic("IMMEDIATE"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let the queries made inside see the database at one moment."""
        with translating(self.path), self.peewee.atomic("DEFERRED"):
            yield

    def fetch(self, query: peewee.Query) -> list[Row]:
        """Return the rows of a query over fields, each with its keys in the order of the fields."""
        return list(self.stream(query))

    def stream(self, query: peewee.Query) -> Iterator[Row]:
        """Yield the same rows one by one, without keeping them."""
        names = [field.name for field in query.selected_columns]  # type: ignore[attr-defined]
        with self.reading():
            for values in query.tuples().iterator(self.peewee):
                yield dict(zip(names, values, strict=True))

    def connection(self) -> sqlite3.Connection:
        """Return this thread's sqlite3 connection."""
        connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
        return connection


def open_database(
    path: Path,
    *,
    create: bool,
    allow_pending: bool = False,
    allow_faults: bool = False,
    durable: bool = False,
) -> Database:
    """Return the open database at `path`, or raise `DatabaseError` with the file untouched.

    With `create`, what is missing is made: folders, file, pending migrations. Without it a missing database
    is an error, and so are pending migrations unless `allow_pending`. With `allow_faults` the tables of a
    file that is FastGate's are not looked at. `durable` makes every commit survive a loss of power, at the
    price of a disk flush.
    """
    with translating(path), translating_files(path):
        size = measure_file(path)
        if size is None and create:
            create_file(path)
        elif size is None or (size == 0 and not create and not allow_pending):
            raise DatabaseError(f"there is no database at {path} yet", hint=_MISSING_HINT)
        elif size > 0:
            check_owner(path)
        database = Database(path, query=choose_access(path, create=create), durable=durable)
        try:
            if allow_faults:
                database.connection()  # which finds the worst of them
            else:
                _prepare(database, create=create, allow_pending=allow_pending)
        except BaseException:
            database.close()
            raise
        return database


def open_for_reading(path: Path) -> Database:
    """Return the open database, whatever migrations are pending; nothing is written or made beside it.

    Raises `DatabaseError` as `open_database` does.
    """
    with translating(path), translating_files(path):
        if not measure_file(path):
            raise DatabaseError(f"there is no database at {path} yet", hint=_MISSING_HINT)
        check_owner(path)
        database = Database(path, query=choose_reading(path))
        try:
            _prepare(database, create=False, allow_pending=True)
        except BaseException:
            database.close()
            raise
        return database


def migration_status(database: Database) -> list[Row]:
    """Return every migration in order: `name`, and `applied`, the time or None."""
    with database.reading():
        return describe_history(read_history(database.connection(), database.path))


def upgrade(database: Database) -> list[str]:
    """Apply the pending migrations, all or none, and return their names."""
    with database.transaction():
        check_vacant(database.path, database.connection())
        # Whoever held the lock before may have applied them.
        history = read_history(database.connection(), database.path)
        if not history:
            database.path.chmod(FILE_MODE)  # an empty file that somebody else made
        names = _run_migrations(database) if len(history) < len(known_migrations()) else []
    _enter_wal(database)
    return names


def _run_migrations(database: Database) -> list[str]:
    from playhouse.migrations import Runner  # a tenth of a second that only a migration has to pay

    names: list[str] = Runner(database.peewee, str(find_migrations()), HISTORY_TABLE).up()
    # The runner notes local time without an offset; a space before the time is the form it can read back.
    applied = format_us(now_us()).replace("T", " ")
    for name in names:
        database.connection().execute(
            "UPDATE schema_migration SET applied = ? WHERE name = ?", (applied, name)
        )
    return names


def _prepare(database: Database, *, create: bool, allow_pending: bool) -> None:
    history = read_history(database.connection(), database.path)
    is_pending = len(history) < len(known_migrations())
    if is_pending and create:
        upgrade(database)
    elif is_pending and not allow_pending:
        raise DatabaseError(
            f"{database.path} was written by an older FastGate and has migrations pending",
            hint="run 'fastgate db upgrade'",
        )
    elif history and database.is_writable:
        _enter_wal(database)


def _enter_wal(database: Database) -> None:
    """Make readers and the writer stop waiting for each other; a property of the file, set once."""
    with database.reading():
        if database.connection().execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return
        try:
            database.connection().execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # Somebody else is in the way: the database works as it is, and whoever opens it next tries again.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
