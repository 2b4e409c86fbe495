"""Forcing a journal to the disk now and then, from a thread that nobody waits for."""

from __future__ import annotations

import logging
import os
import threading

INTERVAL_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Syncer:
    """Syncs the file that is written to, and once more one that was left. It owns duplicates of both."""

    def __init__(self, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._files: list[int] = []  # the last is the one that is written to
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def watch(self, file: int) -> None:
        """Sync another file from now on."""
        with self._lock:
            self._files.append(os.dup(file))

    def close(self) -> None:
        """Sync a last time, and let go of the files."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self._sync(keep=1)
        self._sync(keep=0)

    def _sync(self, keep: int) -> None:
        with self._lock:
            files = self._files.copy()
            left = files[: len(files) - keep]
            del self._files[: len(left)]
        for file in files:
            try:
                os.fdatasync(file)
            except OSError as error:
                _log.error("the journal could not be forced to the disk: %s", error.strerror)
        for file in left:
            os.close(file)
