"""The note of a running gateway: read while it is held, and never believed afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from proxy import running as running_module
from proxy.errors import ConflictError, JournalError, NotRunningError
from proxy.running import NAME, Note, RunningFile, read_running

NOTE = Note(1234, "http://127.0.0.1:8514", 2, [1235, 1236], "1.0", 1.5, trouble="é")


def test_a_note_is_read_as_it_was_written_last(tmp_path: Path) -> None:
    with RunningFile(tmp_path / "journal") as running:
        running.write(NOTE)
        running.write(short := msgspec.structs.replace(NOTE, worker_pids=[], rolls=3))
        assert read_running(tmp_path / "journal") == short
        assert (tmp_path / "journal" / NAME).stat().st_mode & 0o777 == 0o600


def test_what_a_gateway_left_is_not_believed(tmp_path: Path) -> None:
    with RunningFile(tmp_path) as running:
        running.write(NOTE)
    assert (tmp_path / NAME).stat().st_size
    with pytest.raises(NotRunningError, match="no gateway"):
        read_running(tmp_path)


def test_nor_is_one_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from proxy.running import RunningFile;"
        "RunningFile(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    with pytest.raises(NotRunningError):
        read_running(tmp_path)
    with RunningFile(tmp_path):
        pass


def test_without_a_folder_none_is_running_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        read_running(tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_a_second_gateway_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    with RunningFile(tmp_path), pytest.raises(ConflictError, match="another gateway"):
        RunningFile(tmp_path)
    with RunningFile(tmp_path):
        pass


def test_reading_never_keeps_a_gateway_from_starting(tmp_path: Path) -> None:
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with suppress(NotRunningError):
                read_running(tmp_path)

    with RunningFile(tmp_path) as running:
        running.write(NOTE)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(50):
            with RunningFile(tmp_path) as running:
                running.write(NOTE)
    finally:
        done.set()
        reader.join()


def test_a_gateway_that_has_not_yet_written_is_about_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_module, "READ_SECONDS_MAX", 0.05)
    with RunningFile(tmp_path), pytest.raises(NotRunningError, match="about to start"):
        read_running(tmp_path)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for open_it in (RunningFile, read_running):
        with pytest.raises(JournalError):
            open_it(tmp_path / "file" / "below")


def test_a_child_does_not_hold_the_file(tmp_path: Path) -> None:
    running = RunningFile(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        running.__exit__()
        with pytest.raises(NotRunningError):
            read_running(tmp_path)
        os.kill(child.pid, 9)
