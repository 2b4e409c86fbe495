"""Reading in a thread of its own, so that a slow database never holds up a key.

A reader has jobs, each of which reads one part of the board. It tells what it has read, and what it cannot
read, and tries again; only a mistake in the program ends it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from fastgate_cli.dashboard.board import Answer, Trouble
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.source import Source
from proxy.clock import from_us, now_us
from proxy.errors import DatabaseError, FastGateError

RETRY_SECONDS = 1.0
_IDLE_SECONDS = 3_600.0


class Job(Protocol):
    """How one part of the board is read."""

    part: str
    pace: Pace

    def find_subject(self, wish: Wish) -> Hashable:
        """Return what of a wish the part is about: when that changes it is read at once. None: nothing."""

    def read(self, source: Source, wish: Wish, now: datetime) -> Any:
        """Return the part. Raises `FastGateError`."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A mistake in the program, for the main thread to fail with."""

    error: Exception


News = Answer | Trouble | Crash


class Reader(threading.Thread):
    """Does its jobs when they are due, one after the other, and tells what comes of it."""

    def __init__(self, name: str, source: Source, jobs: Sequence[Job], tell: Callable[[News], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._source = source
        self._jobs = jobs
        self._tell = tell
        self._changed = threading.Condition()
        self._wish = Wish()
        self._is_closing = False
        self._subjects: dict[str, Hashable] = {}  # by part, what was read last
        self._failed: set[str] = set()
        self._busy_since: float | None = None

    def ask(self, wish: Wish) -> None:
        """Have what is wished for read from now on."""
        with self._changed:
            if wish != self._wish:
                self._wish = wish
                self._changed.notify()

    def close(self) -> None:
        """End it after what it is reading; nobody has to wait for that."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    @property
    def busy_seconds(self) -> float:
        """How long it has been reading the same thing; 0 if it is not reading."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def run(self) -> None:
        """Do the jobs until the end."""
        try:
            while self._await_due():
                for job in self._jobs:
                    self._do_if_due(job)
        except Exception as error:  # noqa: BLE001
            self._tell(Crash(error))
        finally:
            self._source.drop()

    def _await_due(self) -> bool:
        """Return when something is due; whether it is to go on."""
        with self._changed:
            while not self._is_closing:
                wait_seconds = min(map(self._find_wait, self._jobs), default=_IDLE_SECONDS)
                if wait_seconds <= 0:
                    break
                self._changed.wait(wait_seconds)
            return not self._is_closing

    def _find_wait(self, job: Job) -> float:
        subject = job.find_subject(self._wish)
        if subject is None:
            return _IDLE_SECONDS
        if job.part not in self._failed:
            if self._subjects.get(job.part) != subject:
                return 0.0
            if self._wish.is_paused:
                return _IDLE_SECONDS
        return job.pace.due_at - time.monotonic()

    def _do_if_due(self, job: Job) -> None:
        with self._changed:
            wish = self._wish
            if self._is_closing or self._find_wait(job) > 0:
                return
        began, spent = time.monotonic(), time.process_time()
        self._busy_since = began
        now = from_us(now_us())
        try:
            value = job.read(self._source, wish, now)
        except FastGateError as error:
            self._note_trouble(job, error)
        else:
            job.pace.note_read(began, time.process_time() - spent)
            self._subjects[job.part] = job.find_subject(wish)
            self._tell(Answer(job.part, wish.question, value, now))
            if job.part in self._failed:
                self._failed.remove(job.part)
                self._tell(Trouble(job.part, ""))
        finally:
            self._busy_since = None

    def _note_trouble(self, job: Job, error: FastGateError) -> None:
        if isinstance(error, DatabaseError):
            self._source.drop()
        job.pace.due_at = time.monotonic() + RETRY_SECONDS
        self._failed.add(job.part)
        self._tell(Trouble(job.part, self._source.shorten(error.message)))
