"""The log file: appended to line by line, put aside when it has grown, found again when it was moved.

Only one process writes and rotates it. Whoever moves or deletes it from outside gets a fresh file at its
path with the next line. A line is in it as a whole or not at all.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from itertools import count
from pathlib import Path

from proxy.errors import InvalidInputError

_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_log = logging.getLogger(__name__)


class LogFile:
    """A file and those before it, `.1` the newest of them; without backups it starts anew.

    With `size_max` 0 it is never put aside, and neither is a device such as /dev/stdout, or what a symbolic
    link leads to.
    """

    def __init__(self, path: Path, size_max: int = 0, backup_count: int = 0) -> None:
        self._path = path
        self._size_max = size_max
        self._backup_count = backup_count
        self._file = -1
        self._identity = (0, 0)
        self._excess = 0  # how much more than `size_max` is put up with

    def write(self, line: bytes) -> None:
        """Append a line; raises `OSError` if that cannot be."""
        size = self._find_size()
        if self._size_max and size and size + len(line) > self._size_max + self._excess:
            self._put_aside(size)
            size = self._find_size()
        self._append(line, size)

    def open(self) -> None:
        """Open or make the file, and its folder; raises `OSError`. Writing does it where it was not done."""
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        self._path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        # A pipe with a name that nobody reads is an error, and not something to wait for.
        self._file = os.open(self._path, flags | os.O_NONBLOCK, _FILE_MODE)
        os.set_blocking(self._file, True)
        found = os.fstat(self._file)
        self._identity = (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Close the file; to write again opens it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _find_size(self) -> int:
        """Return the size of what is at the path, opened anew if that is not what it was."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self.close()
        else:
            if self._file >= 0 and (found.st_dev, found.st_ino) == self._identity:
                return found.st_size
        self.open()
        return os.fstat(self._file).st_size

    def _append(self, line: bytes, size: int) -> None:
        rest = line
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise

    def _put_aside(self, size: int) -> None:
        if not stat.S_ISREG(self._path.lstat().st_mode):
            return
        try:
            self._rotate()
            self._excess = 0
        except OSError as error:
            # Better a file that is too large than lines that are nowhere.
            self._excess = size
            _log.error("%s cannot be put aside, and grows: %s", self._path, error.strerror or error)

    def _rotate(self) -> None:
        for number in range(self._backup_count - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._backup(number).rename(self._backup(number + 1))
        if self._backup_count:
            self._path.rename(self._backup(1))
        else:
            os.ftruncate(self._file, 0)
        # Of a time when more of them were kept.
        for number in count(self._backup_count + 1):
            try:
                self._backup(number).unlink()
            except OSError:
                return

    def _backup(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def check_log_file(path: Path) -> None:
    """Raise `InvalidInputError` if a file cannot be logged to; if it can, it is there afterwards."""
    file = LogFile(path)
    try:
        file.open()
    except OSError as error:
        raise InvalidInputError(
            f"logging.file: {path} cannot be written: {error.strerror or error}",
            hint="name a file in a folder that this user may write to, or none: then standard error it is",
        ) from error
    file.close()
