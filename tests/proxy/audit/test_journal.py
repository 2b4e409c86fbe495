"""The journal on a real disk: what was appended is read back, and half a record never is."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit import journal, segments
from proxy.audit.claim import claim_journal, mark_recorded
from proxy.audit.events import AuditEvent, End, FirstByte
from proxy.audit.journal import JournalWriter
from proxy.audit.segments import Segment, frame_record, list_segments
from proxy.errors import JournalError

ROOT = Path(__file__).parents[3]
READ_BYTES = 1 << 20
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from proxy.audit.events import FirstByte
from proxy.audit.journal import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), "w")
for number in range(100):
    writer.append(FirstByte(str(number), 0, number))
os.kill(os.getpid(), signal.SIGKILL)
"""


def event(number: int, *, padding: int = 0) -> FirstByte:
    return FirstByte("u" * padding + str(number), 0, number)


def read_all(directory: Path, bytes_max: int = READ_BYTES) -> list[AuditEvent]:
    events: list[AuditEvent] = []
    for segment in list_segments(directory):
        offset = 0
        while found := segment.read(offset, bytes_max):
            if not found[0]:
                break
            events += found[0]
            offset = found[1]
    return events


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would: the last write is taken in part."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=3), max_size=12),
    st.integers(1, 2000),
    st.integers(1, 2000),
)
def test_events_come_back_in_order_whatever_the_sizes_of_segments_and_reads(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[int]], segment_size: int, read_size: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory, "w", segment_bytes_max=segment_size)
    written = [[event(number, padding=number) for number in group] for group in groups]
    for group in written:
        writer.append(*group)
    writer.close()

    assert read_all(directory, read_size) == [item for group in written for item in group]


def test_a_segment_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "worker-1", segment_bytes_max=100)
    for number in range(30):
        writer.append(event(number))

    segments = list_segments(tmp_path)

    assert len(segments) > 3
    assert {segment.writer_id for segment in segments} == {"worker-1"}
    assert [segment.is_finished() for segment in segments] == [True] * (len(segments) - 1) + [False]
    assert read_all(tmp_path) == [event(number) for number in range(30)]
    writer.close()
    assert list_segments(tmp_path)[-1].is_finished()


def test_a_segment_that_the_recorder_deletes_meanwhile_does_not_stop_the_writer(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes_max=1)
    writer.append(event(0))
    # A link to nowhere is listed, and is gone when it is looked at.
    (tmp_path / "v.000001.log").symlink_to(tmp_path / "gone")

    writer.append(event(1))

    assert [segment.name for segment in list_segments(tmp_path)][-1] == "w.000002.log"


def test_a_killed_writer_leaves_a_finished_segment_with_every_event(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(tmp_path)], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert list_segments(tmp_path)[0].is_finished()
    assert read_all(tmp_path) == [event(number) for number in range(100)]


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_a_torn_tail_hides_no_whole_record(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory, "w")
    ends = []
    for number in range(5):
        writer.append(event(number), event(number + 100))
        ends.append(list_segments(directory)[0].path.stat().st_size)
    writer.close()
    segment = list_segments(directory)[0]
    size = cut % (ends[-1] + 1)
    os.truncate(segment.path, size)

    events, offset, damaged = segment.read(0, READ_BYTES)

    assert damaged == 0
    whole = [end for end in ends if end <= size]
    assert offset == (whole[-1] if whole else 0)
    # Events that were appended together are there together, or not at all.
    assert len(events) == 2 * len(whole)


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 4096, b"\x01", b"\x05\0\0\0\0\0\0\0hello"])
def test_what_a_power_cut_leaves_behind_the_last_record_is_not_an_event(tmp_path: Path, tail: bytes) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.append(event(1))
    writer.close()
    segment = list_segments(tmp_path)[0]
    size = segment.path.stat().st_size
    segment.path.write_bytes(segment.path.read_bytes() + tail)

    assert segment.read(0, READ_BYTES) == ([event(1)], size, 0)
    assert segment.read(size, READ_BYTES) == ([], size, 0)


def test_a_damaged_byte_costs_its_own_record_only(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    ends = []
    for number in range(5):
        writer.append(event(number, padding=50))
        ends.append(list_segments(tmp_path)[0].path.stat().st_size)
    writer.close()
    segment = list_segments(tmp_path)[0]
    data = bytearray(segment.path.read_bytes())
    data[ends[1] + 20] ^= 1
    segment.path.write_bytes(data)

    events, offset, damaged = segment.read(0, READ_BYTES)

    assert events == [event(number, padding=50) for number in (0, 1, 3, 4)]
    assert (offset, damaged) == (ends[4], ends[2] - ends[1])


def test_a_damaged_record_at_the_end_may_still_be_written_to(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.append(event(0))
    segment = list_segments(tmp_path)[0]
    size = segment.path.stat().st_size
    writer.append(event(1))
    data = bytearray(segment.path.read_bytes())
    data[size + 10] ^= 1
    segment.path.write_bytes(data)

    assert segment.read(0, READ_BYTES) == ([event(0)], size, 0)
    assert segment.read(size, READ_BYTES) == ([], size, 0)
    writer.append(event(2))
    assert segment.read(size, READ_BYTES).events == [event(2)]


def test_a_record_of_another_version_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "w.000001.log"
    payloads = [msgspec.msgpack.encode(each) for each in ([event(0)], [["z", 1]], [event(1)])]
    path.write_bytes(b"".join(map(frame_record, payloads)))

    reading = Segment(path).read(0, READ_BYTES)

    assert reading == ([event(0), event(1)], path.stat().st_size, len(payloads[1]))


def test_an_empty_record_is_passed_over_without_a_word(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.append()
    writer.append(event(1))

    assert list_segments(tmp_path)[0].read(0, READ_BYTES)[::2] == ([event(1)], 0)


@settings(max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 250))
def test_reading_takes_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, offset: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "w.000001.log"
    path.write_bytes(data)
    segment = Segment(path)

    events, end, damaged = segment.read(offset, 16)

    assert (events, end) == ([], offset) or offset < end <= len(data)
    assert 0 <= damaged <= end - offset


def test_a_full_disk_leaves_no_half_record_and_is_recovered_from(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.append(event(0))
    segment = list_segments(tmp_path)[0]
    size = segment.path.stat().st_size

    with file_size_limit(size + 30):
        for _ in range(3):
            with pytest.raises(JournalError, match="cannot be written") as caught:
                writer.append(event(1, padding=10), event(2, padding=10))
            assert "free space" in caught.value.hint
            assert segment.path.stat().st_size == size
    writer.append(event(3))

    assert read_all(tmp_path) == [event(0), event(3)]


def test_a_reader_that_saw_half_a_write_reads_on_where_the_next_one_is(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    segment = list_segments(tmp_path)[0]
    first, second = event(1, padding=20), event(2, padding=400)
    writer.append(first, second)
    whole = segment.path.read_bytes()
    # The first of two events is on the disk as a whole, the second is not: then the writer cuts both off.
    segment.path.write_bytes(whole[:100])

    assert segment.read(0, READ_BYTES) == ([], 0, 0)


def test_the_journal_has_a_bound_and_goes_on_once_segments_are_gone(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes_max=100, total_bytes_max=300)
    while sum(segment.path.stat().st_size for segment in list_segments(tmp_path)) < 300:
        writer.append(event(1, padding=110))
    for _ in range(2):
        with pytest.raises(JournalError, match="has reached 300 bytes"):
            writer.append(event(2), within_bound=True)
    for segment in list_segments(tmp_path):
        if segment.is_finished():
            segment.path.unlink()

    writer.append(event(7), within_bound=True)

    assert read_all(tmp_path)[-1] == event(7)


def test_what_has_begun_can_end_beyond_the_bound(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes_max=100, total_bytes_max=300)
    for number in range(20):
        writer.append(event(number, padding=110))

    assert len(read_all(tmp_path)) == 20


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_a_journal_that_is_forced_to_the_disk_holds_the_same(tmp_path: Path, sync: str) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes_max=100, sync=sync)
    for number in range(20):
        writer.append(event(number))
    writer.close()

    assert read_all(tmp_path) == [event(number) for number in range(20)]


def test_a_folder_that_cannot_be_written_to_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    attempts: list[Callable[[], object]] = [
        lambda: JournalWriter(tmp_path / "file", "w"),
        lambda: JournalWriter(tmp_path / "file" / "below", "w"),
        lambda: claim_journal(tmp_path / "file" / "below"),
    ]

    for attempt in attempts:
        with pytest.raises(JournalError) as caught:
            attempt()
        assert "audit.directory" in caught.value.hint


def test_nothing_is_for_other_eyes_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        directory = tmp_path / "data" / "journal"
        claim = claim_journal(directory)
        writer = JournalWriter(directory, "w")
        mark_recorded(directory, time.time())
    finally:
        os.umask(old)

    assert {mode_of(path) for path in directory.iterdir()} == {0o600}
    assert [mode_of(directory), mode_of(directory.parent)] == [0o700, 0o700]
    writer.close()
    os.close(claim)


def test_an_event_of_a_request_that_ends_late_finds_a_segment_after_closing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    writer.close()

    writer.append(End("u", 0, 1, 200))

    assert read_all(tmp_path) == [End("u", 0, 1, 200)]
    writer.close()
    writer.close()


def test_events_that_are_too_much_for_one_record_have_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (journal, segments):
        monkeypatch.setattr(module, "RECORD_BYTES_MAX", 1000)
    events = [End(str(number), 0, 1, 200, response_body=b"x" * 600) for number in range(5)]
    writer = JournalWriter(tmp_path, "w")
    writer.append(*events)
    with pytest.raises(JournalError, match="too long"):
        writer.append(End("long", 0, 1, 200, response_body=b"x" * 2000))
    writer.append(event(1))

    assert read_all(tmp_path, 10) == [*events, event(1)]


def test_a_record_that_does_not_reach_the_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, "w", sync="always")
    writer.append(event(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(JournalError, match="cannot be written"):
            writer.append(event(2))
    writer.append(event(3))

    assert read_all(tmp_path) == [event(1), event(3)]


def test_a_segment_that_cannot_be_watched_is_none_and_the_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, "w", segment_bytes_max=1, sync="interval")
    writer.append(event(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", refuse)
        with pytest.raises(JournalError):
            writer.append(event(2))
        (segment,) = list_segments(tmp_path)
        assert not segment.is_finished()
    writer.append(event(3))
    writer.close()

    assert read_all(tmp_path) == [event(1), event(3)]
    assert all(segment.is_finished() for segment in list_segments(tmp_path))


def refuse(_: int) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_record_larger_than_a_read_is_read_whole(tmp_path: Path) -> None:
    large = End("u", 0, 1, 200, response_body=b"x" * 300_000)
    writer = JournalWriter(tmp_path, "w")
    writer.append(large)
    writer.append(event(1))

    segment = list_segments(tmp_path)[0]
    events, offset, _ = segment.read(0, 10)

    assert events[:1] == [large]
    assert events[1:] + segment.read(offset, 10).events == [event(1)]
