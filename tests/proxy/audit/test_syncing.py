"""Forcing files to the disk beside the writing: what was left is synced once more and let go of."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.audit.syncing import Syncer


def count_open(path: Path) -> int:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(link.exists() and link.readlink() == path for link in links)


def test_it_holds_what_is_written_to_and_lets_go_of_everything_in_the_end(tmp_path: Path) -> None:
    syncer = Syncer(0.001)
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        syncer.watch(file)
        os.write(file, b"data")
        os.close(file)
    syncer.close()
    assert [count_open(path) for path in paths] == [0, 0]


def test_a_disk_that_fails_ends_nothing(tmp_path: Path) -> None:
    syncer = Syncer(0.001)
    reader, writer = os.pipe()  # which cannot be synced
    syncer.watch(writer)
    syncer.close()
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
