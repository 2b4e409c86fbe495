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
        self._file: tuple[int, int] | None = None

    def connect(self) -> Database:
        """Return the open database. Raises `DatabaseError`."""
        if self._database is not None and (self._file != self._identify() or not self._database.is_writable):
            # What cannot be written is opened as a file that nobody changes: what is new is not seen in it.
            self.drop()
        if self._database is None:
            self._file = self._identify()
            self._database = self._open_there()
        return self._database

    def drop(self) -> None:
        """Give the database up; whoever asks for it next opens it anew."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
