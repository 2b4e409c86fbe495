"""The journal: append-only segments on disk, one writer each, that hold events until they are rows.

Format of a segment: records one after the other, each an 8-byte header (payload length and CRC-32 of the
payload, two little-endian 32-bit words) and a payload, a MessagePack array of the events that were appended
together: a reader sees all of them or none. A record is appended with one `write`; a write that fails part
way is cut off again, so a segment has a torn record at its end only if its writer was killed.

A live segment is held under `flock` by its writer. A segment that nobody holds is finished: its writer has
moved on or is dead, and once it has been read to its end and committed it may be deleted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proxy.audit.events import AuditEvent
from proxy.errors import JournalError

SEGMENT_BYTES_MAX = 16 * 1024 * 1024
TOTAL_BYTES_MAX = 4 * 1024 * 1024 * 1024
RECORD_BYTES_MAX = 64 * 1024 * 1024
SUFFIX = ".log"
_DECODER = msgspec.msgpack.Decoder(list[AuditEvent])
_HEADER = struct.Struct("<II")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_HINT = "free space on the disk of audit.directory; traffic resumes by itself"
_ACCESS_HINT = "check that audit.directory is a folder that this user may write to"
_FOLDER_MODE = 0o700


class JournalWriter:
    """Appends events to the segments of one writer. Owned by one thread; never blocks on a database."""

    def __init__(
        self,
        directory: Path,
        writer_id: str,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        total_bytes_max: int = TOTAL_BYTES_MAX,
    ) -> None:
        self.writer_id = writer_id
        self._directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._total_bytes_max = total_bytes_max
        self._encoder = msgspec.msgpack.Encoder()
        self._number = 0
        self._size = 0
        self._file = -1
        try:
            make_journal_directory(directory)
            self._open_segment()
        except OSError as error:
            raise translate_error(error) from error

    def append(self, *events: AuditEvent) -> None:
        """Write events in one go: all of them are in the journal afterwards, or `JournalError` is raised."""
        payload = self._encoder.encode(events)
        record = _HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        try:
            if self._size >= self._segment_bytes_max or self._file < 0:
                self._rotate()
            self._write(record)
        except OSError as error:
            raise translate_error(error) from error

    def close(self) -> None:
        """Release the segment, so that whoever reads the journal knows that it is finished."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, record: bytes) -> None:
        try:
            written = os.write(self._file, record)
            if written != len(record):
                raise OSError(errno.ENOSPC, "the disk took a part of a record only")
        except OSError:
            self._cut_off()
            raise
        self._size += written

    def _cut_off(self) -> None:
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            # Whatever came after half a record could not be read: this segment ends here.
            self.close()

    def _rotate(self) -> None:
        total = sum(status.st_size for status in stat_segments(self._directory))
        if total >= self._total_bytes_max:
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
            hidden.rename(self._directory / (name + SUFFIX))
        except OSError:
            os.close(file)
            hidden.unlink(missing_ok=True)
            raise
        self._file, self._size = file, 0


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file. `writer_id` and the number in its name order it among its writer's segments."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def writer_id(self) -> str:
        return self.path.name.removesuffix(SUFFIX).rpartition(".")[0]

    def is_finished(self) -> bool:
        """Tell whether nobody can append to it any more. Ask before reading: what is read after is all."""
        try:
            with self.path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self, offset: int, bytes_max: int) -> tuple[list[AuditEvent], int]:
        """Return the events from `offset` on and the offset after the last whole record.

        Reads about `bytes_max` bytes, and always one whole record if there is one. A record that fails its
        checksum, or that this version cannot read, ends the reading as the end of the file does.
        """
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(max(bytes_max, _HEADER.size))
            if (
                len(data) >= _HEADER.size
                and (missing := _HEADER.unpack_from(data)[0] + _HEADER.size - len(data)) > 0
            ):
                data += file.read(min(missing, RECORD_BYTES_MAX))
        events: list[AuditEvent] = []
        consumed = 0
        for record, end in _split_records(data):
            if record is None:
                break
            events += record
            consumed = end
        return events, offset + consumed

    def salvage(self, offset: int) -> list[AuditEvent]:
        """Return the events of a finished segment from `offset` on, passing over records that are damaged."""
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        return [event for record, _ in _split_records(data) for event in record or ()]


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of all writers, each writer's in the order it wrote them."""
    return [Segment(path) for path in sorted(directory.glob("*" + SUFFIX))]


def make_journal_directory(directory: Path) -> None:
    """Create the folder of the journal, and those above it that are missing, for their owner only."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True, mode=_FOLDER_MODE)


def _split_records(data: bytes) -> Iterator[tuple[list[AuditEvent] | None, int]]:
    """Yield each record that is all there, with the place after it; None is one that cannot be read."""
    start = 0
    while start + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + length
        if end > len(data):
            return
        yield _decode_record(data[start + _HEADER.size : end], checksum), end
        start = end


def _decode_record(payload: bytes, checksum: int) -> list[AuditEvent] | None:
    if zlib.crc32(payload) != checksum:
        return None
    try:
        return _DECODER.decode(payload)
    except msgspec.MsgspecError:  # written by another version
        return None


def stat_segments(directory: Path) -> Iterator[os.stat_result]:
    """Yield the status of each segment that is still there."""
    for segment in list_segments(directory):
        # The recorder deletes what it has recorded at any moment.
        with suppress(FileNotFoundError):
            yield segment.path.stat()


def translate_error(error: OSError) -> JournalError:
    """Return what an error of the operating system means for the journal, with what to do about it."""
    hint = _FULL_HINT if error.errno in _FULL else _ACCESS_HINT
    return JournalError(f"the journal cannot be written: {error.strerror or error}", hint=hint)
