"""Cells: numbers in files that workers leave to each other, and what a dead or damaged one is worth."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.relay.cells import (
    FILES_MAX,
    NAME_BYTES,
    OTHER,
    SUFFIX,
    Cells,
    Layout,
    Reading,
    clear_cells,
    open_cells,
    read_bytes,
    read_cells,
)

LAYOUT = Layout(scalars=2, tables=((4, 3), (2, 1)))
WRITER = """
import sys
from pathlib import Path
from proxy.relay.cells import Layout, open_cells
cells = open_cells(Path(sys.argv[1]), Layout(scalars=2, tables=((4, 3), (2, 1))), sys.argv[2])
for _ in range(int(sys.argv[3])):
    cells.values[cells.find_row(0, "one")] += 1
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "metrics"


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def start_writer(directory: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that has counted by the time this returns, and lives until it is ended."""
    arguments = [sys.executable, "-c", WRITER, str(directory), name, str(count)]
    writer = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "counted\n"
    return writer


def sum_of_one(readings: list[Reading]) -> int:
    return sum(reading.tables[0].get("one", [0])[0] for reading in readings)


def test_what_is_written_is_read(directory: Path) -> None:
    cells = open_cells(directory, LAYOUT, "w")
    cells.values[LAYOUT.first_scalar + 1] = 2**63
    row = cells.find_row(0, "one")
    cells.values[row + 2] += 7
    cells.values[cells.find_row(0, "zwei-ü")] += 1
    cells.values[cells.find_row(1, "reason")] += 3
    expected = Reading([0, 2**63], [{"one": [0, 0, 7], "zwei-ü": [1, 0, 0]}, {"reason": [3]}])
    assert cells.read() == expected
    assert read_cells(directory, LAYOUT) == [expected]
    cells.close()


def test_cells_without_a_file_count_just_so() -> None:
    cells = Cells(LAYOUT)
    cells.values[cells.find_row(0, "one")] += 1
    assert cells.read().tables == [{"one": [1, 0, 0]}, {}]
    cells.close()


def test_a_name_has_one_row_and_those_that_find_no_room_share_the_last() -> None:
    cells = Cells(LAYOUT)
    first = [cells.find_row(0, name) for name in ("a", "b", "c", "d", "e")]
    assert first == [cells.find_row(0, name) for name in ("a", "b", "c", "d", "e")]
    assert len(set(first)) == 4
    for row in first:
        cells.values[row] += 1
    assert cells.read().tables[0] == {"a": [1, 0, 0], "b": [1, 0, 0], "c": [1, 0, 0], OTHER: [2, 0, 0]}


@pytest.mark.parametrize("name", ["x" * (NAME_BYTES + 1), "ü" * (NAME_BYTES // 2 + 1), OTHER])
def test_a_name_that_cannot_be_told_from_another_has_no_row_of_its_own(name: str) -> None:
    cells = Cells(LAYOUT)
    cells.values[cells.find_row(0, name)] += 1
    cells.values[cells.find_row(0, "x" * NAME_BYTES)] += 1
    assert cells.read().tables[0] == {"x" * NAME_BYTES: [1, 0, 0], OTHER: [1, 0, 0]}


def test_files_are_for_their_owner_alone(directory: Path) -> None:
    before = os.umask(0)
    try:
        cells = open_cells(directory, LAYOUT, "w")
    finally:
        os.umask(before)
    (path,) = files(directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert path.stat().st_size == LAYOUT.size
    assert path.stat().st_blocks * 512 >= LAYOUT.size  # no holes: they could not be filled on a full disk
    cells.close()


def test_processes_that_live_are_read_together_and_a_killed_ones_counts_stay(directory: Path) -> None:
    writers = [start_writer(directory, name, count) for name, count in (("a", 1000), ("b", 234))]
    try:
        readings = read_cells(directory, LAYOUT)
        assert (sum_of_one(readings), [reading.is_live for reading in readings]) == (1234, [True, True])
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait(10)
        readings = read_cells(directory, LAYOUT)
        assert (sum_of_one(readings), [reading.is_live for reading in readings]) == (1234, [False, True])
        # The next one counts on where the dead one stopped: no file more, nothing lost.
        writers.append(start_writer(directory, "c", 66))
        readings = read_cells(directory, LAYOUT)
        assert (sum_of_one(readings), [reading.is_live for reading in readings]) == (1300, [True, True])
        assert len(files(directory)) == 2
    finally:
        for writer in writers:
            writer.communicate()


def test_a_worker_that_has_ended_leaves_its_file_to_the_next(directory: Path) -> None:
    for _ in range(5):
        cells = open_cells(directory, LAYOUT, "again")
        cells.values[cells.find_row(0, "one")] += 1
        cells.close()
    assert len(files(directory)) == 1
    assert sum_of_one(read_cells(directory, LAYOUT)) == 5


def test_a_run_begins_without_what_earlier_ones_left(directory: Path) -> None:
    live = open_cells(directory, LAYOUT, "live")
    open_cells(directory, LAYOUT, "dead").close()
    (directory / f"half{SUFFIX}.new").touch()
    (directory / "notes.txt").touch()
    clear_cells(directory)
    assert [path.name for path in files(directory)] == [f"live{SUFFIX}", "notes.txt"]
    live.close()
    clear_cells(directory)
    assert [path.name for path in files(directory)] == ["notes.txt"]
    clear_cells(directory / "missing")


@pytest.mark.parametrize("damage", [b"", b"fgcells1", b"x" * LAYOUT.size])
def test_a_file_that_is_none_is_neither_read_nor_taken_over(directory: Path, damage: bytes) -> None:
    directory.mkdir(parents=True)
    (directory / f"a{SUFFIX}").write_bytes(damage)
    cells = open_cells(directory, LAYOUT, "b")
    assert len(read_cells(directory, LAYOUT)) == 1
    assert (directory / f"a{SUFFIX}").read_bytes() == damage
    cells.close()


def test_a_file_of_another_layout_is_not_read(directory: Path) -> None:
    other = open_cells(directory, Layout(2, ((3, 4), (2, 1))), "old")
    assert read_cells(directory, LAYOUT) == []
    other.close()
    open_cells(directory, LAYOUT, "new").close()
    assert len(files(directory)) == 2


def test_a_count_of_names_beyond_the_table_is_not_believed() -> None:
    cells = Cells(LAYOUT)
    cells.values[0] = 1 << 60
    assert len(cells.read().tables[0]) <= 4
    assert len(read_bytes(bytes(LAYOUT.size), LAYOUT).tables[0]) == 0


def test_no_more_files_are_read_than_there_can_be_workers(directory: Path) -> None:
    directory.mkdir(parents=True)
    content = LAYOUT.header + bytes(LAYOUT.size - len(LAYOUT.header))
    for number in range(FILES_MAX + 3):
        (directory / f"{number:04d}{SUFFIX}").write_bytes(content)
    assert len(read_cells(directory, LAYOUT)) == FILES_MAX


def test_a_full_disk_is_noticed_before_anything_is_mapped_and_leaves_no_file(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="No space left"):
        open_cells(directory, LAYOUT, "w")
    assert files(directory) == []
