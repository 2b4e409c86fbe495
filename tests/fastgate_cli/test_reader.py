"""A wait ends early if the reader of a pipe has gone, and only then."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import IO

import pytest

from fastgate_cli.reader import wait_while_read

LONG_SECONDS = 3600.0
SHORT_SECONDS = 0.001
Pipe = tuple[IO[bytes], IO[str]]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Return both ends of a pipe, the one to read from first."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def test_a_reader_that_has_gone_ends_the_wait_at_once(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    monkeypatch.setattr("sys.stdout", writer)
    wait_while_read(SHORT_SECONDS)
    reader.close()
    with pytest.raises(BrokenPipeError):
        wait_while_read(LONG_SECONDS)


def test_the_same_of_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with theirs, theirs.makefile("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        wait_while_read(SHORT_SECONDS)
        ours.close()
        with pytest.raises(BrokenPipeError):
            wait_while_read(LONG_SECONDS)


def test_a_reader_that_is_slow_is_waited_with(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    _, writer = pipe
    monkeypatch.setattr("sys.stdout", writer)
    os.set_blocking(writer.fileno(), False)
    assert os.write(writer.fileno(), bytes(1 << 24)) < 1 << 24  # the pipe is full
    wait_while_read(SHORT_SECONDS)


def test_where_there_is_no_reader_the_time_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr("sys.stdout", file)
        wait_while_read(SHORT_SECONDS)
    wait_while_read(SHORT_SECONDS)  # closed
    monkeypatch.setattr("sys.stdout", StringIO())
    wait_while_read(SHORT_SECONDS)
