"""Segments: which there are, whose they are, and whether they are finished."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.audit.journal import JournalWriter
from proxy.audit.segments import Segment, list_segments, stat_segments


def test_segments_come_writer_by_writer_in_their_order(tmp_path: Path) -> None:
    for name in ("w.000002", "v-2.000001", "w.000010", "w.000001"):
        (tmp_path / f"{name}.log").touch()
    (tmp_path / "w.000003.new").touch()
    (tmp_path / "lock").touch()
    segments = list_segments(tmp_path)
    assert [segment.name for segment in segments] == [
        "v-2.000001.log",
        "w.000001.log",
        "w.000002.log",
        "w.000010.log",
    ]
    assert [segment.writer_id for segment in segments] == ["v-2", "w", "w", "w"]


def test_a_segment_is_finished_when_its_writer_has_let_go(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "w")
    (segment,) = list_segments(tmp_path)
    assert not segment.is_finished()
    writer.close()
    assert segment.is_finished()


def test_a_segment_that_is_gone_has_no_status(tmp_path: Path) -> None:
    (tmp_path / "a.000001.log").write_bytes(b"1234")
    (tmp_path / "b.000001.log").symlink_to(tmp_path / "gone")
    assert [status.st_size for status in stat_segments(tmp_path)] == [4]
    assert list(stat_segments(tmp_path / "nowhere")) == []


def test_an_offset_beyond_the_end_reads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.000001.log"
    path.write_bytes(os.urandom(3))
    assert Segment(path).read(99, 10) == ([], 99, 0)
