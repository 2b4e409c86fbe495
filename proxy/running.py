"""The note that a running gateway leaves beside its journal, for the commands that ask or tell it something.

A file called `running` in the journal's folder, held under `flock` by the supervisor and by nobody else: it
says something only while that lock is held. What a gateway left that was killed is never believed.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

import msgspec

from proxy.audit.journal import translate_error
from proxy.audit.segments import make_journal_directory
from proxy.errors import ConflictError, NotRunningError

NAME = "running"
# Whoever reads the note holds the lock for a moment.
CLAIM_SECONDS_MAX = 0.5
READ_SECONDS_MAX = 1.0
_NOTE_BYTES_MAX = 64 * 1024
_POLL_SECONDS = 0.02


class Note(msgspec.Struct, frozen=True):
    """What a gateway says of itself. Times are seconds since the epoch.

    `rolls` counts the times that it has read its configuration anew; `trouble` is why the last one came to
    nothing, empty if it did not. One that `is_stopping` lets its last requests finish.
    """

    pid: int
    address: str
    workers: int
    worker_pids: list[int]
    version: str
    started: float
    rolls: int = 0
    is_rolling: bool = False
    trouble: str = ""
    is_stopping: bool = False


class RunningFile:
    """The gateway's side: holds the file from the first moment to the last, and writes the note.

    Raises `ConflictError` if another gateway holds it, `JournalError` if there can be no such file.
    """

    def __init__(self, directory: Path) -> None:
        try:
            make_journal_directory(directory)
            self._file = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise translate_error(error) from error
        try:
            _lock(self._file, CLAIM_SECONDS_MAX)
            os.ftruncate(self._file, 0)
        except OSError as error:
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise translate_error(error) from error
            raise ConflictError(
                f"another gateway is running on the journal in {directory}",
                hint="'fastgate stop' ends it; or give this one an audit.directory of its own",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def write(self, note: Note) -> None:
        """Replace the note. A full disk is no reason to stop serving: then there is none to read."""
        data = msgspec.json.encode(note)
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, data, 0)
        except OSError:
            pass


def read_running(directory: Path) -> Note:
    """Return the note of the gateway that runs on a journal; raises `NotRunningError` if none does."""
    deadline = time.monotonic() + READ_SECONDS_MAX
    while True:
        data = _read_locked(directory / NAME)
        try:
            return msgspec.json.decode(data, type=Note)
        except msgspec.MsgspecError:
            # It is being written, or about to be.
            if time.monotonic() >= deadline:
                raise NotRunningError(
                    "a gateway is about to start or to end", hint="ask again in a moment"
                ) from None
        time.sleep(_POLL_SECONDS)


def _read_locked(path: Path) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _not_running() from None
    except OSError as error:
        raise translate_error(error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, _NOTE_BYTES_MAX, 0)
    finally:
        os.close(file)
    raise _not_running()


def _not_running() -> NotRunningError:
    return NotRunningError("no gateway of this configuration is running", hint="'fastgate serve' runs one")


def _lock(file: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_SECONDS)
