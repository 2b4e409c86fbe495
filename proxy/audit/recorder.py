"""The recorder: moves events from the journal into the database, in batches, each event exactly once.

It owns the reading side of the journal directory and nothing else: give it a directory and a way to open the
database, and it runs in a thread or in a process of its own. Whatever fails, it tries again later; a segment
is deleted only when the database has committed all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from proxy.audit.journal import Segment, list_segments, mark_recorded
from proxy.audit.rows import build_batch
from proxy.clock import now_us
from proxy.errors import DatabaseError
from proxy.store.database import Database
from proxy.store.recording import Batch, finish_writer, forget_segments, read_offsets, write_batch

INTERVAL_SECONDS = 0.2
BATCH_BYTES_MAX = 4 * 1024 * 1024
RETRY_SECONDS_MAX = 5.0
_log = logging.getLogger(__name__)


class Stop(Protocol):
    """How a recorder is told to stop: a `threading.Event`, or anything that waits like one."""

    def wait(self, seconds: float, /) -> bool:
        """Return True as soon as it is time to stop, False after `seconds`."""
        ...


class Recorder:
    """Turns one journal directory into rows. `run` is for a process or thread; `step` does one batch."""

    def __init__(self, directory: Path, open_database: Callable[[], Database]) -> None:
        self._directory = directory
        self._open_database = open_database
        self._database: Database | None = None
        self._offsets: dict[str, int] = {}

    def run(self, stop: Stop) -> None:
        """Record until told to stop, and then whatever is left."""
        delay = INTERVAL_SECONDS
        while not stop.wait(delay):
            delay = INTERVAL_SECONDS if self._try_step() else min(delay * 2, RETRY_SECONDS_MAX)
        self._try_step()
        self.close()

    def close(self) -> None:
        """Close this thread's connection."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def step(self) -> int:
        """Record everything that is in the journal now; return how many events that was.

        Raises `DatabaseError` with everything not yet committed still in the journal.
        """
        database = self._connect()
        total = 0
        # Asked before anything is read: what a finished segment holds after that is all it will ever hold.
        finished = {segment for segment in list_segments(self._directory) if segment.is_finished()}
        while count := self._record_batch(database):
            total += count
        self._remove(database, finished)
        mark_recorded(self._directory)
        return total

    def _try_step(self) -> bool:
        try:
            self.step()
        except (DatabaseError, OSError) as error:
            _log.warning("audit rows wait in the journal: %s", error)
        except Exception:  # noqa: BLE001
            # The outermost boundary of the recorder: a bug delays rows, it must not end the recording.
            _log.exception("audit rows wait in the journal")
        else:
            return True
        self.close()
        return False

    def _connect(self) -> Database:
        if self._database is None:
            self._database = self._open_database()
            self._offsets = read_offsets(self._database)
        return self._database

    def _record_batch(self, database: Database) -> int:
        batch, offsets, count = Batch(), dict[str, int](), 0
        created_us = now_us()
        for segment in list_segments(self._directory):
            start = self._offsets.get(segment.name, 0)
            events, end = segment.read(start, BATCH_BYTES_MAX)
            if events:
                batch.extend(build_batch(events, writer_id=segment.writer_id, created_us=created_us))
                offsets[segment.name] = end
                count += len(events)
        if count:
            write_batch(database, batch, offsets)
            self._offsets |= offsets
        return count

    def _remove(self, database: Database, finished: set[Segment]) -> None:
        if not finished:
            return
        live = {segment.writer_id for segment in list_segments(self._directory) if segment not in finished}
        for writer_id in {segment.writer_id for segment in finished} - live:
            if interrupted := finish_writer(database, writer_id):
                _log.warning("%d requests of %s were interrupted", interrupted, writer_id)
        for segment in finished:
            self._discard(segment)
        forget_segments(database, [segment.name for segment in finished])

    def _discard(self, segment: Segment) -> None:
        unread = segment.path.stat().st_size - self._offsets.pop(segment.name, 0)
        if unread == 0:
            segment.path.unlink()
            return
        # A record cut off by a kill, or one that was damaged since: kept aside, for it may be wanted.
        kept = segment.path.rename(segment.path.with_suffix(".damaged"))
        _log.error("%d bytes of the journal could not be read and are kept in %s", unread, kept)
