"""The segments of a journal: files of records, as they lie on the disk and as they are read.

Format of a segment: records one after the other, each an 8-byte header (payload length and CRC-32 of the
payload, two little-endian 32-bit words) and a payload, a MessagePack array of the events that were appended
together: a reader sees all of them or none.

A live segment is held under `flock` by its writer. A segment that nobody holds is finished: its writer has
moved on or is dead, and once it has been read to its end and committed it may be deleted.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from proxy.audit.events import AuditEvent

SUFFIX = ".log"
DAMAGED_SUFFIX = ".damaged"  # of a copy of a segment in which something could not be read
RECORD_BYTES_MAX = 64 * 1024 * 1024
_ONE = msgspec.msgpack.Decoder(list[AuditEvent])
_MANY = msgspec.msgpack.Decoder(list[list[AuditEvent]])
HEADER = struct.Struct("<II")
HEADER_BYTES = HEADER.size  # of a record, before its payload
_ARRAY_32 = struct.Struct(">BI")  # MessagePack: an array of so many elements follows
_FOLDER_MODE = 0o700


class Reading(NamedTuple):
    """Events, the offset behind the last of them, and how many bytes were passed over as damaged."""

    events: list[AuditEvent]
    end: int
    damaged: int


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
            with self._open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self, offset: int, bytes_max: int) -> Reading:
        """Return the events from `offset` on.

        Reads about `bytes_max` bytes, and always one whole record if there is one. A record that fails its
        checksum, or that this version cannot read, is passed over if a good one comes behind it; otherwise it
        ends the reading as the end of the file does, for it may be half written.
        """
        with self._open() as file:
            file.seek(offset)
            data = file.read(max(bytes_max, HEADER.size))
            if len(data) >= HEADER.size:
                missing = HEADER.unpack_from(data)[0] + HEADER.size - len(data)
                if missing > 0:
                    data += file.read(min(missing, RECORD_BYTES_MAX) + bytes_max)
        payloads, consumed, good = _split_records(data)
        events, undecoded = _decode_records(payloads)
        return Reading(events, offset + consumed, consumed - good + undecoded)

    def _open(self) -> BinaryIO:
        # It may have been replaced since it was listed: a FIFO must not keep us waiting for its writer.
        return os.fdopen(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")


def frame_record(payload: bytes) -> bytes:
    """Return a record that holds a payload."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of all writers, each writer's in the order it wrote them."""
    return [Segment(path) for path in sorted(directory.glob("*" + SUFFIX)) if _is_regular(path)]


def list_strangers(directory: Path) -> list[Path]:
    """Return what is named like a segment and is none: folders, FIFOs, links. Nobody reads or deletes it."""
    return [path for path in sorted(directory.glob("*" + SUFFIX)) if not _is_regular(path)]


def stat_segments(directory: Path) -> Iterator[os.stat_result]:
    """Yield the status of each segment that is still there."""
    for segment in list_segments(directory):
        # The recorder deletes what it has recorded at any moment.
        with suppress(FileNotFoundError):
            yield segment.path.stat()


def make_journal_directory(directory: Path) -> None:
    """Create the folder of the journal, and those above it that are missing, for their owner only."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True, mode=_FOLDER_MODE)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:  # the recorder deletes what it has recorded at any moment
        return True


def _split_records(data: bytes) -> tuple[list[bytes], int, int]:
    """Return the payloads of good records, the place after the last, and how many bytes are theirs."""
    payloads: list[bytes] = []
    take, unpack, crc32 = payloads.append, HEADER.unpack_from, zlib.crc32
    start, size, consumed, good = 0, len(data), 0, 0
    while start + 8 <= size:
        length, checksum = unpack(data, start)
        end = start + 8 + length
        if end > size or not length:  # a disk that has lost its power leaves zeros
            break
        payload = data[start + 8 : end]
        if crc32(payload) == checksum:
            take(payload)
            consumed = end
            good += end - start
        start = end
    return payloads, consumed, good


def _decode_records(payloads: Sequence[bytes]) -> tuple[list[AuditEvent], int]:
    """Return the events, and how many bytes were written by another version and mean nothing to this one."""
    # One call for all of them: a call costs more than what it does for most records.
    joined = b"".join([_ARRAY_32.pack(0xDD, len(payloads)), *payloads])
    try:
        return list(chain.from_iterable(_MANY.decode(joined))), 0
    except msgspec.MsgspecError:
        pass
    events: list[AuditEvent] = []
    undecoded = 0
    for payload in payloads:
        try:
            events += _ONE.decode(payload)
        except msgspec.MsgspecError:
            undecoded += len(payload)
    return events, undecoded
