"""What the failures of SQLite and of files mean to a person: one error type, and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee

from proxy.errors import DatabaseError

PERMISSION_HINT = "check who may read and write {path} and its folder"
_BACKUP_HINT = "restore {path} from a backup; it has been left as it was"
# SQLite's primary result codes: what to tell, and what to do about it.
_FAILURES = {
    sqlite3.SQLITE_BUSY: ("{path} is locked by another program", "try again, or find what holds it"),
    sqlite3.SQLITE_LOCKED: ("{path} is locked by another program", "try again, or find what holds it"),
    sqlite3.SQLITE_READONLY: ("{path} cannot be written", PERMISSION_HINT),
    sqlite3.SQLITE_PERM: ("{path} cannot be written", PERMISSION_HINT),
    sqlite3.SQLITE_CANTOPEN: ("{path} cannot be opened", PERMISSION_HINT),
    sqlite3.SQLITE_IOERR: ("{path} cannot be read or written: the disk reports an error", "check the disk"),
    sqlite3.SQLITE_FULL: ("{path} cannot be written: the disk is full", "make room on the disk"),
    sqlite3.SQLITE_CORRUPT: ("{path} is damaged", _BACKUP_HINT),
    sqlite3.SQLITE_NOTADB: ("{path} is not a database; it has been left as it was", "check database.url"),
}


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as a `DatabaseError`."""
    try:
        yield
    except (peewee.PeeweeException, sqlite3.Error) as error:
        cause = getattr(error, "orig", error)  # peewee keeps sqlite3's own error there
        # Only a connection that fails carries no code.
        is_unopened = str(cause).startswith("unable to open")
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN if is_unopened else 0) & 0xFF
        message, hint = _FAILURES.get(code, ("{path} cannot be used: {cause}", "run 'fastgate db status'"))
        raise DatabaseError(message.format(path=path, cause=cause), hint=hint.format(path=path)) from error


@contextmanager
def translating_files(path: Path) -> Iterator[None]:
    """Raise what the operating system raises inside as a `DatabaseError`."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error.strerror}", hint=PERMISSION_HINT.format(path=path)
        ) from error
