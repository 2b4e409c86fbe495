"""The journal: append-only segments on disk, one writer each, that hold events until they are rows.

A record is appended with one `write`; a write that fails part way is cut off again, so a segment has a torn
record at its end only if its writer was killed. What is written survives the death of the process; whether it
also survives a loss of power is a choice: never waited for, once a second, or at each record.
The form of the files is in `segments.py`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from zlib import crc32

import msgspec

from proxy.audit.events import AuditEvent
from proxy.audit.segments import (
    HEADER,
    HEADER_BYTES,
    RECORD_BYTES_MAX,
    SUFFIX,
    make_journal_directory,
    stat_segments,
)
from proxy.audit.syncing import Syncer
from proxy.errors import JournalError

SEGMENT_BYTES_MAX = 16 * 1024 * 1024
TOTAL_BYTES_MAX = 4 * 1024 * 1024 * 1024
# Beyond the bound on the whole there is room for the ends of what has begun.
_RESERVE_BYTES = 4 * SEGMENT_BYTES_MAX
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_HINT = "free space on the disk of audit.directory; traffic resumes by itself"
_ACCESS_HINT = "check that audit.directory is a folder that this user may write to"


class JournalWriter:
    """Appends events to the segments of one writer. Owned by one thread; never blocks on a database.

    `sync` says when records are forced to the disk: "never" leaves it to the system, "interval" does it once
    a second in a thread of its own, "always" before `append` returns.
    """

    def __init__(
        self,
        directory: Path,
        writer_id: str,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        total_bytes_max: int = TOTAL_BYTES_MAX,
        sync: str = "never",
    ) -> None:
        self.writer_id = writer_id
        self._directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._total_bytes_max = total_bytes_max
        self._encode = msgspec.msgpack.Encoder().encode
        self._syncs_always = sync == "always"
        self._syncer = Syncer() if sync == "interval" else None
        self._number = 0
        self._size = 0
        self._file = -1
        try:
            make_journal_directory(directory)
            self._open_segment()
        except OSError as error:
            raise translate_error(error) from error

    def append(self, *events: AuditEvent, within_bound: bool = False) -> None:
        """Write events in one go: all of them are in the journal afterwards, or `JournalError` is raised.

        `within_bound` is for events that can be refused: once the journal has reached its size, what is left
        of it belongs to the others. Events that are too much for one record, which nobody would read, are
        written one by one.
        """
        payload = self._encode(events)
        record = HEADER.pack(len(payload), crc32(payload)) + payload
        if len(record) > RECORD_BYTES_MAX:
            return self._append_each(events, within_bound=within_bound)
        try:
            if self._size >= self._segment_bytes_max or self._file < 0:
                self._rotate(self._total_bytes_max + (0 if within_bound else _RESERVE_BYTES))
            if os.write(self._file, record) != len(record):
                raise OSError(errno.ENOSPC, "the disk took a part of a record only")
            if self._syncs_always:
                os.fdatasync(self._file)
            self._size += len(record)
        except OSError as error:
            self._cut_off()
            raise translate_error(error) from error
        return None

    def _append_each(self, events: tuple[AuditEvent, ...], *, within_bound: bool) -> None:
        # All or nothing: whoever is told of an error tries them all again.
        if max(len(self._encode((event,))) for event in events) > RECORD_BYTES_MAX - HEADER_BYTES:
            raise JournalError("an event is too long for the journal", hint="lower audit.body_max_size")
        for event in events:
            self.append(event, within_bound=within_bound)

    def close(self) -> None:
        """Release the segment, so that whoever reads the journal knows that it is finished."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._syncer is not None:
            self._syncer.close()

    def _cut_off(self) -> None:
        """Take back what was written of a record that has failed, be it only to reach the disk."""
        if self._file < 0:
            return
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            # Whatever came after half a record could not be read: this segment ends here.
            os.close(self._file)
            self._file = -1

    def _rotate(self, total_bytes_max: int) -> None:
        total = sum(status.st_size for status in stat_segments(self._directory))
        if total >= total_bytes_max:
            raise OSError(errno.ENOSPC, f"the journal has reached {self._total_bytes_max} bytes")
        old = self._file
        self._open_segment()
        if old >= 0:
            os.close(old)

    def _open_segment(self) -> None:
        # Locked under another name first: a reader never sees a live segment that looks finished.
        self._number += 1
        name = f"{self.writer_id}.{self._number:06d}"
        hidden = self._directory / (name + ".new")
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._syncer is not None:
                self._syncer.watch(file)
            hidden.rename(self._directory / (name + SUFFIX))
        except OSError:
            os.close(file)
            hidden.unlink(missing_ok=True)
            raise
        self._file, self._size = file, 0


def translate_error(error: OSError) -> JournalError:
    """Return what an error of the operating system means for the journal, with what to do about it."""
    hint = _FULL_HINT if error.errno in _FULL else _ACCESS_HINT
    return JournalError(f"the journal cannot be written: {error.strerror or error}", hint=hint)
