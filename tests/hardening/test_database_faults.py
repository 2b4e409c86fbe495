"""Row 41: a database that is locked, gone or not to be written: traffic goes on, the rows arrive later."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.hardening.gate import Gate, wait_for

REQUESTS = 20
pytestmark = pytest.mark.usefixtures("serving")


def database_of(gate: Gate) -> Path:
    return gate.fastgate.folder / "data" / "fastgate.db"


def ask_some(gate: Gate) -> list[str]:
    """Ask a few times, with good answers, and return the ids of the requests."""
    path = gate.new_path()
    answers = [gate.ask(gate.head(path)) for _ in range(REQUESTS)]
    assert [answer.status for answer in answers] == [200] * REQUESTS
    assert gate.ask(gate.head(path, key="fg_wrong")).status == 401
    return [answer.request_id for answer in answers]


def count_rows(gate: Gate, request_ids: list[str]) -> int:
    marks = ", ".join("?" * len(request_ids))
    return len(gate.read(f"SELECT id FROM audit_logs WHERE request_id IN ({marks})", *request_ids))


def find_recorder(gate: Gate) -> int:
    """Return the process id of the gateway's recorder."""

    def look() -> list[int]:
        tasks = Path(f"/proc/{gate.pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
        return [child for child, command in commands.items() if b"proxy.audit.process" in command]

    return wait_for(look, lambda found: len(found) == 1)[0]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of a database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def has_open(pid: int, path: Path) -> bool:
    """Tell whether a process has a file open."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if file.samefile(path):
                return True
    return False


def test_while_the_database_is_locked_requests_are_served_and_their_rows_follow(gate: Gate) -> None:
    with locked(database_of(gate)):
        request_ids = ask_some(gate)
        # Longer than the recorder waits for a lock: it gives up once, and tries again.
        wait_for(lambda: "audit rows wait in the journal" in "".join(gate.running.lines), bool)
        request_ids += ask_some(gate)
        assert count_rows(gate, request_ids) == 0
    wait_for(lambda: count_rows(gate, request_ids), lambda count: count == len(request_ids))


def test_while_the_database_is_gone_known_keys_work_and_the_rows_follow(gate: Gate) -> None:
    path = database_of(gate)
    aside = path.with_name("aside.db")
    wait_for(
        lambda: gate.read("SELECT id FROM audit_logs WHERE response_time IS NULL"), lambda rows: not rows
    )
    files = [each for each in path.parent.glob("fastgate.db*") if each.exists()]
    for file in files:
        file.rename(aside.with_name(file.name.replace("fastgate", "aside")))
    request_ids = ask_some(gate)
    for file in files:
        aside.with_name(file.name.replace("fastgate", "aside")).rename(file)
    wait_for(lambda: count_rows(gate, request_ids), lambda count: count == len(request_ids))


def test_while_the_database_cannot_be_written_requests_are_served_and_their_rows_follow(gate: Gate) -> None:
    recorder = find_recorder(gate)
    old = resource.prlimit(recorder, resource.RLIMIT_FSIZE)
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (1, old[1]))
    request_ids = ask_some(gate)
    wait_for(lambda: "cannot be" in "".join(gate.running.lines), bool)
    assert count_rows(gate, request_ids) == 0
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, old)
    wait_for(lambda: count_rows(gate, request_ids), lambda count: count == len(request_ids))


def test_a_recorder_that_is_stopped_delays_rows_and_nothing_else(gate: Gate) -> None:
    recorder = find_recorder(gate)
    os.kill(recorder, signal.SIGSTOP)
    try:
        request_ids = ask_some(gate)
        assert count_rows(gate, request_ids) == 0
        assert gate.metric("fastgate_journal_lag_seconds") >= 0
    finally:
        os.kill(recorder, signal.SIGCONT)
    wait_for(lambda: count_rows(gate, request_ids), lambda count: count == len(request_ids))


def test_two_commands_that_write_at_once_both_succeed_while_it_serves(gate: Gate) -> None:
    commands = [gate.fastgate.popen("keys", "create", "--source", f"s{number}") for number in range(4)]
    request_ids = ask_some(gate)
    assert [command.wait(30) for command in commands] == [0] * 4
    sources = {row["source_path"] for row in gate.read("SELECT source_path FROM api_keys")}
    assert {f"s{number}" for number in range(4)} <= sources
    wait_for(lambda: count_rows(gate, request_ids), lambda count: count == len(request_ids))


def test_a_command_that_is_killed_half_way_leaves_nothing_half_written(gate: Gate) -> None:
    with locked(database_of(gate)):
        command = gate.fastgate.popen("keys", "create", "--source", "killed")
        wait_for(lambda: has_open(command.pid, database_of(gate)), bool)  # and waits for the lock, or will
        command.kill()
        command.wait(10)
    assert gate.read("SELECT key_id FROM api_keys WHERE source_path = 'killed'") == []
    assert gate.read("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    gate.fastgate("keys", "create", "--source", "after")
