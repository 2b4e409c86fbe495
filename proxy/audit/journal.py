"""The journal: append-only segments on disk, one writer each, that hold events until they are rows.

Format of a segment: records one after the other, each an 8-byte header (payload length and CRC-32 of the
payload, two little-endian 32-bit words) and the MessagePack payload of one event. A record is appended with
one `write`; a write that fails part way is cut off again, so a segment has a torn record at its end only if
its writer was killed.

A live segment is held under `flock` by its writer. A segment that nobody holds is finished: its writer has
moved on or is dead, and once it has been read to its end and committed it may be deleted.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proxy.audit.events import AuditEvent
from proxy.errors import ConflictError, JournalError

SEGMENT_BYTES_MAX = 16 * 1024 * 1024
TOTAL_BYTES_MAX = 4 * 1024 * 1024 * 1024
RECORD_BYTES_MAX = 64 * 1024 * 1024
SUFFIX = ".log"
_DECODER = msgspec.msgpack.Decoder(AuditEvent)
_HEADER = struct.Struct("<II")
_HINT = "free space on the disk of audit.directory; traffic resumes by itself"


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
            raise _translate(error) from error

    def append(self, *events: AuditEvent) -> None:
        """Write events in one go: all of them are in the journal afterwards, or `JournalError` is raised."""
        encode = self._encoder.encode
        record = b"".join([_frame(encode(event)) for event in events])
        try:
            if self._size >= self._segment_bytes_max or self._file < 0:
                self._rotate()
            self._write(record)
        except OSError as error:
            raise _translate(error) from error

    def close(self) -> None:
        """Release the segment, so that whoever reads the journal knows that it is finished."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, record: bytes) -> None:
        try:
            written = os.write(self._file, record)
            if written != len(record):
                raise OSError("the disk took a part of a record only")
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written

    def _rotate(self) -> None:
        total = sum(path.stat().st_size for path in self._directory.glob("*" + SUFFIX))
        if total >= self._total_bytes_max:
            raise OSError(f"the journal has reached {self._total_bytes_max} bytes")
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
        os.fchmod(file, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(self._directory / (name + SUFFIX))
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
            data = file.read(bytes_max)
            if (
                len(data) >= _HEADER.size
                and (missing := _HEADER.unpack_from(data)[0] + _HEADER.size - len(data)) > 0
            ):
                data += file.read(min(missing, RECORD_BYTES_MAX))
        events: list[AuditEvent] = []
        consumed = 0
        for payload, end in _split_records(data):
            try:
                events.append(_DECODER.decode(payload))
            except msgspec.MsgspecError:
                break
            consumed = end
        return events, offset + consumed


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of all writers, each writer's in the order it wrote them."""
    return [Segment(path) for path in sorted(directory.glob("*" + SUFFIX))]


def make_journal_directory(directory: Path) -> None:
    """Create the folder of the journal, for its owner only."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def _frame(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def _split_records(data: bytes) -> Iterator[tuple[bytes, int]]:
    start = 0
    while start + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + length
        payload = data[start + _HEADER.size : end]
        if end > len(data) or zlib.crc32(payload) != checksum:
            return
        yield payload, end
        start = end


def _translate(error: OSError) -> JournalError:
    return JournalError(f"the journal cannot be written: {error}", hint=_HINT)


def claim_journal(directory: Path) -> int:
    """Become the one recorder of a journal; return the open file whose closing gives it up.

    Raises `ConflictError` if another process is it.
    """
    make_journal_directory(directory)
    file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ConflictError(
            f"another gateway is running on the journal in {directory}",
            hint="stop it first, or give this one an audit.directory of its own",
        ) from None
    return file


def mark_recorded(directory: Path) -> None:
    """Note that everything the journal held a moment ago is in the database."""
    (directory / "recorded").touch(mode=0o600)


def journal_lag_ms(directory: Path) -> int:
    """Return how long the oldest event not yet in the database can have waited, in milliseconds."""
    try:
        recorded = (directory / "recorded").stat().st_mtime
        newest = max((segment.path.stat().st_mtime for segment in list_segments(directory)), default=0.0)
    except FileNotFoundError:
        return 0
    return round(max(0.0, time.time() - recorded) * 1000) if newest > recorded else 0
