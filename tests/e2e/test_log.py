"""The log of a whole gateway: one file for all its processes, and whatever happens to it, traffic goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Fastgate
from tests.proxy.gateways import ServedGateway, await_that, has_ended, read_rest

Serve = Callable[..., ServedGateway]
JSON = "file: logs/gate.log, format: json"
TEXT = "file: logs/gate.log"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "gate.log"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(log="file: x")`: a gateway in a process of its own; it ends with the test."""
    made: list[ServedGateway] = []

    def make(**options: Any) -> ServedGateway:
        made.append(ServedGateway(tmp_path, **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the file and of those before it, the oldest first; each has to be JSON."""
    names = [*(f"{path.name}.{number}" for number in range(20, 0, -1)), path.name]
    found = [file for name in names if (file := path.with_name(name)).exists()]
    return [json.loads(line) for file in found for line in file.read_text().splitlines()]


def tells(path: Path, text: str) -> bool:
    return any(text in line["message"] for line in read(path))


def fail(gateway: ServedGateway, times: int = 1) -> None:
    """Send requests that find no backend: each makes a worker log a line."""
    gateway.backend.close()
    for _ in range(times):
        assert gateway.ask("/v1/x") == 502


def failures(gateway: ServedGateway) -> set[str]:
    """Return the ids of the requests that found no backend."""
    return {row["request_id"] for row in gateway.rows() if row["status_code"] == 502}


def told_failures(path: Path) -> set[str]:
    lines = read(path)
    return {line["message"].partition(":")[0] for line in lines if line["process"].startswith("worker-")}


def stop(gateway: ServedGateway) -> None:
    """Have the supervisor stand still, every thread of it."""
    gateway.process.send_signal(signal.SIGSTOP)
    states = Path(f"/proc/{gateway.process.pid}/task")
    await_that(
        lambda: all(
            (task / "stat").read_text().rpartition(") ")[2].startswith("T") for task in states.iterdir()
        )
    )


def fill_log_pipe(pid: int) -> None:
    """Leave no room in the pipe of a process."""
    end = os.open(f"/proc/{pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while os.write(end, b"\n" * size):
                pass
    os.close(end)


def roll(gateway: ServedGateway) -> None:
    rolls = gateway.note().rolls
    gateway.process.send_signal(signal.SIGHUP)
    await_that(lambda: gateway.note().rolls > rolls)


def test_lines_of_supervisor_workers_and_recorder_are_in_one_file(serve: Serve, path: Path) -> None:
    gateway = serve(log=JSON)
    first, _ = gateway.note().worker_pids
    _client, _wire = gateway.start_stream_on(first)
    os.kill(first, signal.SIGSEGV)
    await_that(lambda: tells(path, "1 requests of worker-1"))
    await_that(lambda: gateway.note().worker_pids[0] != first)
    assert gateway.end() == 0
    lines = read(path)
    said = {(line["process"], line["logger"]) for line in lines}
    assert {
        ("supervisor", "proxy.supervisor"),
        ("worker-1", "proxy.gateway.snapshot"),
        ("worker-2", "proxy.gateway.snapshot"),
        ("recorder", "proxy.audit.recorder"),
        ("worker-1", "stderr"),  # the crash
    } <= said
    assert tells(path, "Fatal Python error: Segmentation fault")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [line.partition(" http")[0].strip() for line in gateway.lines] == ["FastGate listens on"]


def test_it_is_rotated_by_size_and_no_line_is_lost(serve: Serve, path: Path) -> None:
    gateway = serve(log=f"{JSON}, max_size: 2KB, backup_count: 20")
    fail(gateway, 60)
    assert gateway.end() == 0
    assert failures(gateway) <= told_failures(path)
    assert len(failures(gateway)) == 60
    sizes = [file.stat().st_size for file in path.parent.iterdir()]
    assert 3 < len(sizes) <= 21
    assert max(sizes) <= 2048


def test_no_more_files_are_kept_than_are_asked_for(serve: Serve, path: Path) -> None:
    gateway = serve(log=f"{JSON}, max_size: 1KB, backup_count: 2")
    fail(gateway, 30)
    assert gateway.end() == 0
    assert sorted(file.name for file in path.parent.iterdir()) == ["gate.log", "gate.log.1", "gate.log.2"]
    lines = [*read(path.with_name("gate.log.1")), *read(path)]
    *_, failed, last = (line["message"].partition(":")[0] for line in lines)
    assert (failed in failures(gateway), last) == (True, "stopping")


def test_a_supervisor_that_stands_still_keeps_no_request_waiting(serve: Serve, path: Path) -> None:
    gateway = serve(workers=1, log=JSON)
    (pid,) = gateway.note().worker_pids
    stop(gateway)
    fill_log_pipe(pid)
    fail(gateway, 10)
    assert not tells(path, "dropped")
    gateway.process.send_signal(signal.SIGCONT)
    # Without another line that would take it along.
    await_that(lambda: tells(path, " lines were dropped"))
    (notice,) = [line for line in read(path) if "dropped" in line["message"]]
    assert notice["process"] == "worker-1"
    assert int(notice["message"].split()[0]) >= 10
    fail(gateway)
    assert gateway.end() == 0
    assert len(failures(gateway)) == 11
    assert len(failures(gateway) & told_failures(path)) == 1


def test_what_a_worker_said_last_before_it_was_killed_is_there(serve: Serve, path: Path) -> None:
    gateway = serve(workers=1, log=JSON)
    (pid,) = gateway.note().worker_pids
    stop(gateway)
    fail(gateway)
    os.kill(pid, signal.SIGKILL)
    gateway.process.send_signal(signal.SIGCONT)
    await_that(lambda: tells(path, f"worker 1 ({pid}) ended with -9"))
    assert gateway.end() == 0
    assert len(failures(gateway) & told_failures(path)) == 1


def test_workers_whose_supervisor_was_killed_log_to_nobody_and_finish(serve: Serve) -> None:
    gateway = serve(workers=1)
    (pid,) = gateway.note().worker_pids
    cut, cut_wire = gateway.start_stream()
    client, wire = gateway.start_stream()
    gateway.process.kill()
    cut_wire.close()  # the worker says so
    assert read_rest(cut) == b""
    assert not has_ended(pid)
    wire.sendall(b"0\r\n\r\n")
    assert read_rest(client) == b"0\r\n\r\n"
    await_that(lambda: has_ended(pid))
    follower = serve(workers=1)  # records what they have left
    await_that(lambda: [bool(row["response_time"]) for row in follower.rows()] == [True, True])
    (_, finished), (_, broken_off) = follower.outcomes()
    assert finished is None
    assert broken_off not in (None, "interrupted")


def test_a_roll_changes_level_form_and_file_for_all_processes(serve: Serve, path: Path) -> None:
    gateway = serve(workers=1, log=f"{TEXT}, level: ERROR")
    (old,) = gateway.note().worker_pids
    client, wire = gateway.start_stream()
    assert path.read_text() == ""
    gateway.configure(workers=1, log="file: logs/other.log, format: json, level: WARNING")
    roll(gateway)
    other = path.with_name("other.log")
    # One that still drains is no exception, and neither is the recorder, which is not replaced.
    os.kill(old, signal.SIGSEGV)
    assert not read_rest(client).endswith(b"0\r\n\r\n")
    wire.close()
    await_that(lambda: tells(other, "1 requests of worker-1") and tells(other, "Segmentation fault"))
    assert path.read_text() == ""
    gateway.configure(workers=1)
    roll(gateway)
    await_that(lambda: "supervisor reloaded" in gateway.text())
    assert gateway.end() == 0
    assert {line["level"] for line in read(other)} <= {"WARNING", "ERROR"}


def test_a_roll_to_a_file_that_cannot_be_opened_changes_nothing(serve: Serve, path: Path) -> None:
    gateway = serve(workers=1, log=JSON)
    pids = gateway.note().worker_pids
    gateway.configure(workers=1, log="file: logs")
    roll(gateway)
    assert gateway.note().worker_pids == pids
    assert "logging.file: " in gateway.note().trouble
    await_that(lambda: tells(path, "not reloaded"))
    assert gateway.end() == 0


def test_a_file_that_was_moved_or_deleted_is_begun_afresh(serve: Serve, path: Path) -> None:
    gateway = serve(workers=1, log=JSON)
    aside = path.rename(path.with_name("aside"))
    fail(gateway)
    await_that(lambda: any(name.startswith("req_") for name in told_failures(path)))
    path.unlink()
    path.with_name("aside").unlink()
    path.parent.rmdir()
    fail(gateway)
    await_that(path.exists)
    assert gateway.end() == 0
    assert len(failures(gateway) & told_failures(path)) == 1
    assert not aside.exists()


def test_a_full_disk_stops_no_traffic(serve: Serve, path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    gateway = serve(workers=1, log=TEXT)
    fail(gateway, 3)
    await_that(lambda: gateway.text().count(" worker-1 req_") == 3)
    assert "the log file cannot be written, lines go here: No space left on device" in gateway.text()
    path.unlink()
    fail(gateway)
    await_that(lambda: path.exists() and len(path.read_text().splitlines()) >= 2)
    assert gateway.end() == 0
    notice, line, *_ = path.read_text().splitlines()
    assert "while the log could not be written, " in notice
    assert " worker-1 req_" in line
    assert gateway.text().count(" worker-1 req_") == 3


def test_a_gateway_of_one_process_logs_there_too_and_its_terminal_stays_for_people(tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("logging: {file: gate.log, format: json}\n")
    fastgate = Fastgate(tmp_path)
    fastgate("quickstart", "--check", "--port", "0")
    lines = read(tmp_path / "gate.log")
    assert any(line["logger"] == "proxy.gateway.snapshot" for line in lines)
    (tmp_path / "fastgate.yaml").write_text("logging: {level: DEBUG}\n")
    quiet = fastgate("quickstart", "--check", "--port", "0")
    assert "revision" not in quiet.stderr
    assert read(tmp_path / "gate.log") == lines


@pytest.mark.parametrize("bad", ["file", "/proc/gate.log", "file/gate.log"])
def test_a_file_that_cannot_be_opened_at_the_start_is_an_error(tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "gate.log").mkdir()
    (tmp_path / "fastgate.yaml").write_text(f"logging: {{file: {bad}}}\n")
    refused = Fastgate(tmp_path)("serve", "--port", "0", code=2)
    error, hint = refused.stderr.splitlines()
    assert error.startswith("error: logging.file: ")
    assert hint.startswith("hint: ")
