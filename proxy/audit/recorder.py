"""The recorder: moves events from the journal into the database, in batches, each event exactly once.

It owns the reading side of the journal directory and nothing else: give it a directory and a way to open the
database, and it runs in a thread or in a process of its own. Whatever fails, it tries again later; a segment
is deleted only when the database has committed all of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from proxy.audit.bodies import BodyWriter
from proxy.audit.claim import mark_recorded
from proxy.audit.masking.source import MaskSource
from proxy.audit.retention import Retention
from proxy.audit.rows import KnownHeads, add_events
from proxy.audit.segments import DAMAGED_SUFFIX, Segment, list_segments, list_strangers
from proxy.clock import now_us
from proxy.errors import DatabaseError
from proxy.store.database import Database
from proxy.store.database_file import identify_file
from proxy.store.facts import WordBook
from proxy.store.recording import Batch, finish_writer, forget_segments, read_offsets, write_batch

INTERVAL_SECONDS = 0.2
BATCH_BYTES_MAX = 1024 * 1024
RETRY_SECONDS_MAX = 5.0
_log = logging.getLogger(__name__)


class Stop(Protocol):
    """How a recorder is told to stop: a `threading.Event`, or anything that waits like one."""

    def wait(self, seconds: float, /) -> bool:
        """Return True as soon as it is time to stop, False after `seconds`."""
        ...


class Recorder:
    """Turns one journal directory into rows. `run` is for a process or thread; `step` does one batch."""

    def __init__(
        self,
        directory: Path,
        open_database: Callable[[], Database],
        *,
        retention: Retention | None = None,
        bodies: BodyWriter | None = None,
        masks: MaskSource | None = None,
    ) -> None:
        self._directory = directory
        self._open_database = open_database
        self._retention = retention or Retention()
        self._bodies = bodies or BodyWriter()
        self._masks = masks
        self._book = WordBook()
        self._heads = KnownHeads()
        self._database: Database | None = None
        self._file_id = (0, 0)
        self._offsets: dict[str, int] = {}
        self._strangers: set[Path] = set()  # that the log has told of

    def run(self, stop: Stop) -> None:
        """Record until told to stop, and then whatever is left."""
        delay = INTERVAL_SECONDS
        while not stop.wait(delay):
            is_done = self._try(self.step) and self._try(self._delete_old)
            delay = INTERVAL_SECONDS if is_done else min(delay * 2, RETRY_SECONDS_MAX)
        self._try(self.step)
        self.close()

    def close(self) -> None:
        """Close this thread's connection."""
        if self._database is not None:
            self._database.close()
            self._database = None
            self._book.forget()

    def step(self) -> int:
        """Record everything that is in the journal now; return how many events that was.

        Raises `DatabaseError` with everything not yet committed still in the journal.
        """
        started = time.time()
        database = self._connect()
        self._tell_of_strangers()
        segments = list_segments(self._directory)
        # Asked before anything is measured: what a finished segment holds then is all it will ever hold.
        finished = {segment for segment in segments if segment.is_finished()}
        # What comes while this runs waits for the next step: under load there would be no end to it.
        goals = {segment: segment.path.stat().st_size for segment in segments}
        total = 0
        while (count := self._record_batch(database, goals, finished)) is not None:
            total += count
        self._check_file(database)
        self._remove(database, finished)
        mark_recorded(self._directory, started)
        return total

    def _tell_of_strangers(self) -> None:
        strangers = set(list_strangers(self._directory))
        for path in sorted(strangers - self._strangers):
            _log.warning("%s is not a file and is passed over; move it out of the journal's folder", path)
        self._strangers = strangers

    def _delete_old(self) -> None:
        self._retention.work(self._connect(), now_us())

    def _try(self, work: Callable[[], object]) -> bool:
        try:
            work()
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
            self._file_id = identify_file(self._database.path)
            self._offsets = read_offsets(self._database)
        self._check_file(self._database)
        return self._database

    def _check_file(self, database: Database) -> None:
        """Raise `DatabaseError` if the file has been deleted or replaced: what is written goes nowhere."""
        if identify_file(database.path) != self._file_id:
            raise DatabaseError(
                f"{database.path} is not the file that was opened", hint="it will be opened again"
            )

    def _record_batch(
        self, database: Database, goals: dict[Segment, int], finished: set[Segment]
    ) -> int | None:
        """Record one batch and return how many events it held, or None if all goals have been reached.

        A writer's segments are read in their order, each to its end before the next: an `End` must not
        come to the database before its `Begin`.
        """
        batch, offsets = Batch(), dict[str, int]()
        count, room, created_us = 0, BATCH_BYTES_MAX, now_us()
        bodies = self._bodies
        if self._masks is not None:
            bodies = replace(bodies, mask=self._masks.find(database))
        for segment, goal in goals.items():
            start = self._offsets.get(segment.name, 0)
            if start >= goal:
                continue
            events, end, damaged = segment.read(start, min(room, goal - start))
            if end == start and segment in finished:
                damaged, end = goal - start, goal  # its writer was killed while it wrote
            unreadable = 0
            if end > start:
                unreadable = add_events(
                    batch,
                    events,
                    writer_id=segment.writer_id,
                    created_us=created_us,
                    bodies=bodies,
                    heads=self._heads,
                )
                offsets[segment.name] = end
                count, room = count + len(events), room - (end - start)
            if damaged or unreadable:
                _keep_aside(segment, start, damaged, unreadable)
            if start < end < goal or room <= 0:
                break
        if not offsets:
            return None
        write_batch(database, batch, offsets, self._book)
        self._offsets |= offsets
        return count

    def _remove(self, database: Database, finished: set[Segment]) -> None:
        if not finished:
            return
        live = {segment.writer_id for segment in list_segments(self._directory) if segment not in finished}
        for writer_id in {segment.writer_id for segment in finished} - live:
            if interrupted := finish_writer(database, writer_id, self._book):
                _log.warning("%d requests of %s were interrupted", interrupted, writer_id)
        for segment in finished:
            segment.path.unlink()
        # A recorder that died here once has left offsets of segments behind that are gone.
        gone = self._offsets.keys() - {segment.name for segment in list_segments(self._directory)}
        forget_segments(database, gone)
        for name in gone:
            del self._offsets[name]


def _keep_aside(segment: Segment, start: int, size: int, heads: int) -> None:
    """Tell of records that cannot be read, and keep their segment under another name: it may be wanted."""
    kept = segment.path.with_suffix(DAMAGED_SUFFIX)
    with suppress(FileExistsError):
        kept.hardlink_to(segment.path)
    _log.error(
        "%d bytes of the journal and the heads of %d requests, from byte %d on, could not be read;"
        " their segment is kept in %s",
        size,
        heads,
        start,
        kept,
    )
