"""A worker's numbers where every other process can read them: 64-bit cells in a small mapped file.

Each worker has a file of its own and is its only writer, so nothing is locked to count: a cell is written
whole, and a reader may at most see one request's cells a moment apart. The file is held under `flock` for as
long as its worker lives. One that nobody holds is a dead worker's: its counts still belong to the run, and
the next worker that starts takes it over and counts on, so there are never more files than there were workers
at one time. `clear_cells` at the start of a run removes those of earlier ones.

Format: 8 bytes that name it, 8 that are a fingerprint of the layout, then the cells (how many rows each table
has, the scalars, the rows), then the names of the rows. All of it has its place on the disk before it is
mapped: writing to a mapped hole on a full disk would kill the process. So would cutting the file short, which
only its owner may do, and nothing does.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.audit.segments import make_journal_directory

NAME_BYTES = 64  # of a row; what has a longer name is counted as other
FILES_MAX = 256  # that are read or taken over; more than any number of workers
OTHER = "other"
SUFFIX = ".cells"
_MAGIC = b"fgcells1"
_CELL_BYTES = 8
_HEADER_BYTES = len(_MAGIC) + _CELL_BYTES


@dataclass(frozen=True, slots=True)
class Layout:
    """How many single cells there are, and of each table how many named rows of how many cells.

    The last row of a table is for all names that it has no row for.
    """

    scalars: int
    tables: tuple[tuple[int, int], ...]

    @property
    def first_scalar(self) -> int:
        return len(self.tables)

    def first_cell(self, table: int) -> int:
        """Return the place of a table's first cell."""
        before = sum(rows * cells for rows, cells in self.tables[:table])
        return self.first_scalar + self.scalars + before

    def first_name(self, table: int) -> int:
        """Return where, in bytes of the file, the names of a table begin."""
        names = sum(rows for rows, _ in self.tables[:table])
        return _HEADER_BYTES + self.first_cell(len(self.tables)) * _CELL_BYTES + names * NAME_BYTES

    @property
    def size(self) -> int:
        """Return the size of the file in bytes."""
        return self.first_name(len(self.tables))

    @property
    def header(self) -> bytes:
        """Return what a file of this layout begins with."""
        return _MAGIC + zlib.crc32(repr(self).encode()).to_bytes(_CELL_BYTES, "little")


class Cells:
    """The cells of one writer, in a file or, without one, in its own memory only."""

    def __init__(self, layout: Layout, buffer: mmap.mmap | bytearray | None = None, file: int = -1) -> None:
        self.layout = layout
        self._bytes = memoryview(buffer if buffer is not None else bytearray(layout.size))
        self._file = file
        end = _HEADER_BYTES + layout.first_cell(len(layout.tables)) * _CELL_BYTES
        self.values = self._bytes[_HEADER_BYTES:end].cast("Q")
        self.rows = [self._read_rows(table) for table in range(len(layout.tables))]

    def find_row(self, table: int, name: str) -> int:
        """Return the place of the first cell of a name's row; the last row's if the table is full."""
        place = self.rows[table].get(name)
        return self._add_row(table, name) if place is None else place

    def read(self) -> Reading:
        """Return a copy of every number."""
        return read_bytes(bytes(self._bytes), self.layout)

    def close(self) -> None:
        """Let another worker take the file over; what is counted after this may be lost."""
        if self._file >= 0:
            # The mapping holds a second descriptor, which would keep the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def _add_row(self, table: int, name: str) -> int:
        number, (row_count, width) = len(self.rows[table]), self.layout.tables[table]
        encoded = name.encode(errors="replace")
        if number == row_count - 1 or len(encoded) > NAME_BYTES or name == OTHER:
            return self.layout.first_cell(table) + (row_count - 1) * width
        start = self.layout.first_name(table) + number * NAME_BYTES
        self._bytes[start : start + len(encoded)] = encoded
        # Counted last: a reader never sees a row that has no name yet.
        self.values[table] = number + 1
        place = self.rows[table][name] = self.layout.first_cell(table) + number * width
        return place

    def _read_rows(self, table: int) -> dict[str, int]:
        first, (_, width) = self.layout.first_cell(table), self.layout.tables[table]
        names = _read_names(self._bytes, self.layout, table, self.values[table])
        return {name: first + number * width for number, name in enumerate(names)}


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one writer: the scalars, and of each table the cells of its rows by name."""

    scalars: list[int]
    tables: list[dict[str, list[int]]]
    is_live: bool = True


def read_bytes(data: bytes, layout: Layout, *, is_live: bool = True) -> Reading:
    """Return the numbers that a file of this layout holds."""
    end = _HEADER_BYTES + layout.first_cell(len(layout.tables)) * _CELL_BYTES
    values = memoryview(data)[_HEADER_BYTES:end].cast("Q").tolist()
    tables = []
    for table, (row_count, width) in enumerate(layout.tables):
        first = layout.first_cell(table)
        names = _read_names(memoryview(data), layout, table, values[table])
        rows = {
            name: values[first + row * width : first + (row + 1) * width] for row, name in enumerate(names)
        }
        if any(rest := values[first + (row_count - 1) * width : first + row_count * width]):
            rows[OTHER] = rest
        tables.append(rows)
    return Reading(values[layout.first_scalar :][: layout.scalars], tables, is_live)


def open_cells(directory: Path, layout: Layout, writer_id: str) -> Cells:
    """Take over the file of a dead worker, or make one. Raises `OSError` if there can be none."""
    make_journal_directory(directory)
    for path in _list_files(directory):
        file = _lock(path, os.O_RDWR, fcntl.LOCK_EX)
        if file is None:
            continue
        status = os.fstat(file)
        has_layout = status.st_size == layout.size and os.pread(file, _HEADER_BYTES, 0) == layout.header
        if has_layout and status.st_nlink:
            return Cells(layout, mmap.mmap(file, layout.size), file)
        os.close(file)
    return _create_cells(directory / (writer_id + SUFFIX), layout)


def read_cells(directory: Path, layout: Layout) -> list[Reading]:
    """Return the numbers of every worker of the run, dead ones among them."""
    readings = []
    for path in _list_files(directory):
        # Not held: dead. Another worker may try to take it over at this very moment, and makes its own then.
        file = _lock(path, os.O_RDONLY, fcntl.LOCK_SH)
        if file is not None:
            os.close(file)
        with suppress(OSError):
            data = path.read_bytes()
            if len(data) == layout.size and data.startswith(layout.header):
                readings.append(read_bytes(data, layout, is_live=file is None))
    return readings


def clear_cells(directory: Path) -> None:
    """Remove what workers of earlier runs have left; called by a run before its first worker starts."""
    for path in sorted(directory.glob(f"*{SUFFIX}*")):
        file = _lock(path, os.O_RDONLY, fcntl.LOCK_EX)
        if file is not None:
            with suppress(OSError):
                path.unlink()
            os.close(file)


def _create_cells(path: Path, layout: Layout) -> Cells:
    # Locked under another name first: a live worker's file never looks like a dead one's.
    hidden = path.with_name(path.name + ".new")
    file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(file, 0, layout.size)
        os.pwrite(file, layout.header, 0)
        hidden.rename(path)
        return Cells(layout, mmap.mmap(file, layout.size), file)
    except OSError:
        os.close(file)
        hidden.unlink(missing_ok=True)
        raise


def _lock(path: Path, flags: int, kind: int) -> int | None:
    """Return an open file that is locked, or None if a live worker holds it, or it is gone."""
    try:
        file = os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _list_files(directory: Path) -> Iterator[Path]:
    yield from sorted(directory.glob("*" + SUFFIX))[:FILES_MAX]


def _read_names(data: memoryview, layout: Layout, table: int, count: int) -> list[str]:
    first = layout.first_name(table)
    starts = range(first, first + min(count, layout.tables[table][0] - 1) * NAME_BYTES, NAME_BYTES)
    return [bytes(data[start : start + NAME_BYTES]).rstrip(b"\0").decode(errors="ignore") for start in starts]
