"""Who records a journal, and how far behind that is.

Two files in the journal's folder say so: `lock`, held under `flock` by the one gateway that records it, and
`recorded`, whose time is the moment up to which everything is in the database.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path

from proxy.audit.journal import translate_error
from proxy.audit.segments import make_journal_directory, stat_segments
from proxy.errors import ConflictError, FastGateError

_CLAIM = "lock"
_RECORDED = "recorded"
_POLL_SECONDS = 0.05
_log = logging.getLogger(__name__)


def claim_journal(directory: Path, wait_seconds: float = 0.0) -> int:
    """Become the one recorder of a journal; return the open file whose closing gives it up.

    Raises `ConflictError` if another process is it, and still is after `wait_seconds`, `JournalError` if
    there can be no journal there.
    """
    try:
        make_journal_directory(directory)
        file = os.open(directory / _CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise translate_error(error) from error
    try:
        _lock(file, wait_seconds, directory)
        os.utime(file)
    except OSError as error:
        os.close(file)
        raise _translate_claim(error, directory) from error
    return file


def _lock(file: int, wait_seconds: float, directory: Path) -> None:
    deadline = time.monotonic() + wait_seconds
    is_told = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        if not is_told:
            _log.warning("waiting for an earlier gateway to finish the journal in %s", directory)
            is_told = True
        time.sleep(_POLL_SECONDS)


def _translate_claim(error: OSError, directory: Path) -> FastGateError:
    if not isinstance(error, BlockingIOError):
        return translate_error(error)
    return ConflictError(
        f"another gateway is running on the journal in {directory}",
        hint="stop it first, or give this one an audit.directory of its own",
    )


def mark_recorded(directory: Path, moment_seconds: float) -> None:
    """Note that everything the journal held at a moment, in seconds since the epoch, is in the database."""
    mark = directory / _RECORDED
    mark.touch(mode=0o600)
    os.utime(mark, (moment_seconds, moment_seconds))


def journal_lag_ms(directory: Path) -> int:
    """Return how long the oldest event not yet in the database can have waited, in milliseconds.

    What an earlier gateway left behind counts from the start of this one.
    """
    recorded, claimed = (_modified_at(directory / name) for name in (_RECORDED, _CLAIM))
    newest = max((status.st_mtime for status in stat_segments(directory) if status.st_size), default=0.0)
    if newest <= recorded:
        return 0
    return round(max(0.0, time.time() - max(recorded, claimed)) * 1000)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
