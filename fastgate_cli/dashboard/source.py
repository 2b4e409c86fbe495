"""The database of a reader: opened when it is asked for, and anew when another file has taken its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.store.database import Database


class Source:
    """One thread's way to the database at a path. `open_there` raises `DatabaseError` if there is none."""

    def __init__(self, path: Path, open_there: Callable[[], Database]) -> None:
        self._path = path
        self._open_there = open_there
        self._database: Database | None = None
        self._file: tuple[int, ...] = ()

    def connect(self) -> Database:
        """Return the open database. Raises `DatabaseError`."""
        file = self._identify()
        if self._database is not None and file != self._file:
            self.drop()
        if self._database is None:
            self._database = self._open_there()
            self._file = self._identify()
        return self._database

    def drop(self) -> None:
        """Give the database up; whoever asks for it next opens it anew."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def shorten(self, text: str) -> str:
        """Return a text in which the database is called by the last part of its path: a line is short."""
        return text.replace(str(self._path), self._path.name)

    def _identify(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        if self._database is None or self._database.is_writable:
            return status.st_dev, status.st_ino
        # One that this user cannot write is read as a file that nobody changes, as long as it has no journal
        # beside it: a change of it would never be seen.
        has_journal = self._path.with_name(self._path.name + "-wal").exists()
        return status.st_dev, status.st_ino, has_journal, 0 if has_journal else status.st_mtime_ns
