"""The recorder's process: restarted when it dies, done when its gateway is, never two on one journal."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.audit import process as process_module
from proxy.audit.claim import claim_journal
from proxy.audit.events import Begin, End
from proxy.audit.journal import JournalWriter
from proxy.audit.process import RecorderProcess
from proxy.errors import ConflictError
from proxy.settings import AuditSettings, Settings
from proxy.settings.model import DatabaseSettings
from proxy.store.database import open_database

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 10
GATEWAY = """
import os, signal, sys
from pathlib import Path
from proxy.audit.events import Begin, End
from proxy.audit.journal import JournalWriter
from proxy.audit.process import RecorderProcess
from proxy.settings import AuditSettings, Settings
from proxy.settings.model import DatabaseSettings
directory = Path(sys.argv[1])
database = DatabaseSettings(url=f"sqlite:///{sys.argv[2]}")
recorder = RecorderProcess(Settings(database=database, audit=AuditSettings(directory=directory)))
writer = JournalWriter(directory, "w")
writer.append(Begin("a", 1, 0, "GET", "/", "::1"), End("a", 0, 1, 200))
writer.append(Begin("cut", 2, 0, "GET", "/", "::1"))
print(recorder.pid, flush=True)
os.kill(recorder.pid, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Settings:
    open_database(tmp_path / "f.db", create=True).close()
    return Settings(
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'f.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
    )


def record(writer: JournalWriter, name: str) -> None:
    writer.append(Begin(name, 1, 0, "GET", "/", "::1"), End(name, 0, 1, 200))


def rows(tmp_path: Path) -> dict[str, str | None]:
    with closing(sqlite3.connect(tmp_path / "f.db")) as connection:
        found = connection.execute("SELECT id, error_message FROM audit_logs").fetchall()
    return {name.removeprefix("log_"): error for name, error in found}


def await_that(is_so: Callable[[], bool]) -> None:
    """Ask again until it is so: another process gets there, and has no event to wait for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Tell whether a process that is no child of ours is gone, or dead and not yet collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_rows_appear_while_it_runs_and_what_is_left_is_recorded_when_it_is_stopped(
    configuration: Settings, tmp_path: Path
) -> None:
    with RecorderProcess(configuration) as recorder:
        pid = recorder.pid
        writer = JournalWriter(configuration.audit.directory, "w")
        record(writer, "a")
        await_that(lambda: rows(tmp_path) == {"a": None})
        record(writer, "b")
        writer.close()

    assert rows(tmp_path) == {"a": None, "b": None}
    assert list(configuration.audit.directory.glob("*.log")) == []
    assert has_ended(pid)


def test_another_takes_its_place_when_its_settings_change_and_only_then(
    configuration: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RecorderProcess(configuration) as recorder:
        first = recorder.pid
        recorder.reload(configuration)
        writer = JournalWriter(configuration.audit.directory, "w")
        record(writer, "a")
        await_that(lambda: rows(tmp_path) == {"a": None})
        assert recorder.pid == first

        # A day and more ago: the one with the new settings deletes it.
        recorder.reload(replace(configuration, audit=replace(configuration.audit, retention_days=1)))
        await_that(lambda: recorder.pid != first)
        await_that(lambda: rows(tmp_path) == {})
        assert has_ended(first)
        record(writer, "b")
        writer.close()
    assert "ended with" not in caplog.text


def test_it_is_run_again_when_it_is_killed(configuration: Settings, tmp_path: Path) -> None:
    with RecorderProcess(configuration) as recorder:
        writer = JournalWriter(configuration.audit.directory, "w")
        first = recorder.pid
        os.kill(first, signal.SIGKILL)
        record(writer, "a")
        await_that(lambda: rows(tmp_path) == {"a": None})
        assert recorder.pid != first


def test_one_that_is_killed_again_while_the_gateway_stops_still_leaves_nothing(
    configuration: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "RESTART_SECONDS", (0.01, WAIT_SECONDS * 6.0))
    with RecorderProcess(configuration) as recorder:
        writer = JournalWriter(configuration.audit.directory, "w")
        first = recorder.pid
        os.kill(first, signal.SIGKILL)
        await_that(lambda: recorder.pid != first)
        os.kill(recorder.pid, signal.SIGKILL)
        record(writer, "a")
        writer.close()
        started = time.monotonic()

    assert rows(tmp_path) == {"a": None}
    assert time.monotonic() - started < WAIT_SECONDS


def test_one_that_does_not_come_to_an_end_is_given_up_and_what_is_left_is_told(
    configuration: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS_MAX", 0.1)
    recorder = RecorderProcess(configuration)
    os.kill(recorder.pid, signal.SIGSTOP)
    writer = JournalWriter(configuration.audit.directory, "w")
    record(writer, "a")
    writer.close()

    recorder.stop()

    assert has_ended(recorder.pid)
    assert "in 1 segments wait in the journal" in caplog.text
    os.close(claim_journal(configuration.audit.directory))


def test_a_second_gateway_on_the_same_journal_is_refused(
    configuration: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "CLAIM_SECONDS_MAX", 0.1)
    with RecorderProcess(configuration), pytest.raises(ConflictError, match="another gateway"):
        RecorderProcess(configuration)

    RecorderProcess(configuration).stop()


def test_it_finishes_and_ends_when_its_gateway_is_killed(configuration: Settings, tmp_path: Path) -> None:
    directory = configuration.audit.directory
    command = [sys.executable, "-c", GATEWAY, str(directory), str(tmp_path / "f.db")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        recorder_pid = int(gateway.stdout.readline())
        assert gateway.wait(WAIT_SECONDS) == -signal.SIGKILL
    try:
        with pytest.raises(ConflictError):  # as long as the recorder lives, nobody else records
            claim_journal(directory)
    finally:
        os.kill(recorder_pid, signal.SIGCONT)
    await_that(lambda: has_ended(recorder_pid))
    assert rows(tmp_path) == {"a": None, "cut": "interrupted"}
    assert list(directory.glob("*.log")) == []
    os.close(claim_journal(directory))


def test_nothing_of_a_configuration_but_where_things_are_is_on_the_command_line(
    configuration: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecorderProcess(configuration) as recorder:
        command = Path(f"/proc/{recorder.pid}/cmdline").read_bytes()

    assert str(configuration.audit.directory).encode() in command
    assert b"admin_token" not in command
