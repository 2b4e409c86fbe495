"""Following the audit trail of a database file, whatever becomes of the file.

The follower knows rows; this knows files. One that is deleted and made anew is opened anew, one that cannot
be used at the moment is tried again at the next poll, and a fault is told once, not at each try.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from proxy.errors import DatabaseError
from proxy.store.database import Database, open_database
from proxy.store.database_file import identify_file
from proxy.store.log_filter import LogFilter
from proxy.store.log_follower import LogFollower
from proxy.store.models import Row

_Identity = tuple[int, int, bool]


class LogTail:
    """Follows the trail at `path`. Raises `DatabaseError` if it cannot even begin.

    `on_trouble` is told why the trail cannot be followed at the moment, and None when it can be again.
    """

    def __init__(
        self, path: Path, wanted: LogFilter, *, on_trouble: Callable[[DatabaseError | None], None]
    ) -> None:
        self._path = path
        self._on_trouble = on_trouble
        self._trouble = ""
        self._database, self._identity = self._open()
        try:
            self._follower = LogFollower(self._database, wanted)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def start(self, limit: int) -> list[Row]:
        """Return the last rows, oldest first, `limit` 0 for all; `poll` goes on from there."""
        return self._follower.start(limit)

    def poll(self) -> list[Row]:
        """Return what has happened since, in order of time; nothing while there is trouble."""
        try:
            if self._trouble or not self._is_in_place():
                self._reopen()
            rows = self._follower.poll()
        except DatabaseError as error:
            self._tell(error)
            return []
        self._tell(None)
        return rows

    def _reopen(self) -> None:
        database, identity = self._open()
        self._database.close()
        self._database, self._identity = database, identity
        self._follower.resume(database)

    def _open(self) -> tuple[Database, _Identity]:
        file = identify_file(self._path) if self._path.exists() else (0, 0)
        database = open_database(self._path, create=False)
        # A file that took the other's place meanwhile is noticed at the next poll.
        return database, (*file, self._has_log(database))

    def _is_in_place(self) -> bool:
        try:
            return self._identity == (*identify_file(self._path), self._has_log(self._database))
        except DatabaseError:
            return False

    def _has_log(self, database: Database) -> bool:
        """Tell whether somebody writes beside a file that we can only read: it has to be read otherwise."""
        return not database.is_writable and self._path.with_name(self._path.name + "-wal").exists()

    def _tell(self, error: DatabaseError | None) -> None:
        message = error.message if error else ""
        if message != self._trouble:
            self._trouble = message
            self._on_trouble(error)
