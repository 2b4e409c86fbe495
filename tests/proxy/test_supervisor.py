"""The supervisor: workers that die, signals, and its own death, with real processes and real sockets."""

from __future__ import annotations

import os
import pty
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.errors import ConflictError, DatabaseError
from proxy.listening import bind_listener
from proxy.readiness import Readiness
from proxy.running import RunningFile
from proxy.settings import AppSettings, AuditSettings, DatabaseSettings, Settings
from proxy.supervisor import Outside, supervise
from tests.proxy.gateways import WAIT_SECONDS, ServedGateway, await_that, has_ended, read_rest

Serve = Callable[..., ServedGateway]
LAST_PIECES = b"3\r\ntwo\r\n0\r\n\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(workers=2, grace_seconds=30)`: a gateway in a process of its own; it ends with the test."""
    made: list[ServedGateway] = []

    def make(**options: object) -> ServedGateway:
        made.append(ServedGateway(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        app=replace(AppSettings(), workers=2),
        database=DatabaseSettings(url=f"sqlite:///{tmp_path / 'fastgate.db'}"),
        audit=AuditSettings(directory=tmp_path / "journal"),
    )


def outside(settings: Settings) -> Outside:
    def fail(_: object) -> None:
        raise AssertionError("it says that it is ready")

    return Outside("http://x", lambda: settings, fail, Readiness(""))


def test_a_new_key_counts_on_every_worker_and_each_answers_alone(serve: Serve) -> None:
    gateway = serve(workers=3)
    pids = gateway.note().worker_pids
    key = gateway.create_key()
    for pid in pids:
        others = [other for other in pids if other != pid]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        # A known key finds no route (404); an unknown one is refused (401).
        await_that(lambda: gateway.ask("/elsewhere", key) == 404)
        for other in others:
            os.kill(other, signal.SIGCONT)
    assert gateway.end() == 0
    assert "Traceback" not in gateway.text()


def test_a_killed_worker_comes_back_and_what_it_served_is_interrupted(serve: Serve) -> None:
    gateway = serve()
    first, second = gateway.note().worker_pids
    client, wire = gateway.start_stream_on(first)
    kept, kept_wire = gateway.start_stream_on(second)

    os.kill(first, signal.SIGKILL)
    assert not read_rest(client).endswith(b"0\r\n\r\n")
    await_that(lambda: gateway.note().worker_pids[0] != first)
    assert gateway.note().worker_pids[1] == second
    again, again_wire = gateway.start_stream_on(gateway.note().worker_pids[0])

    for stream in (kept_wire, again_wire):
        stream.sendall(LAST_PIECES)
    assert read_rest(kept).endswith(LAST_PIECES)
    assert read_rest(again).endswith(LAST_PIECES)
    wire.close()
    assert gateway.end() == 0
    assert sorted(str(error) for _, error in gateway.outcomes()) == ["None", "None", "interrupted"]
    assert f"worker 1 ({first}) ended with -9; it is started again" in gateway.text()


def test_a_worker_that_cannot_come_back_is_tried_again_until_it_can(serve: Serve) -> None:
    gateway = serve(workers=1)
    (first,) = gateway.note().worker_pids
    aside = gateway.database.rename(gateway.folder / "aside.db")
    os.kill(first, signal.SIGKILL)
    await_that(lambda: "worker 1 cannot be started" in gateway.text())
    aside.rename(gateway.database)
    await_that(lambda: gateway.note().worker_pids != [first])
    assert gateway.ask("/elsewhere") == 404
    assert gateway.end() == 0


def test_sigterm_lets_streams_on_all_workers_finish_and_takes_nothing_new(serve: Serve) -> None:
    gateway = serve()
    streams = [gateway.start_stream_on(pid) for pid in gateway.note().worker_pids]
    gateway.process.send_signal(signal.SIGTERM)
    await_that(gateway.refuses_connections)
    for client, wire in streams:
        wire.sendall(LAST_PIECES)
        assert read_rest(client).endswith(LAST_PIECES)
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert gateway.outcomes() == [(200, None), (200, None)]
    assert "Traceback" not in gateway.text()


def test_a_second_signal_cuts_the_streams_of_all_workers_at_once(serve: Serve) -> None:
    gateway = serve()
    streams = [gateway.start_stream_on(pid) for pid in gateway.note().worker_pids]
    for _ in range(2):
        gateway.process.send_signal(signal.SIGINT)
        await_that(gateway.refuses_connections)
    for client, _wire in streams:
        assert not read_rest(client).endswith(b"0\r\n\r\n")
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert gateway.outcomes() == [(200, "interrupted"), (200, "interrupted")]
    assert "Traceback" not in gateway.text()


def test_when_it_is_killed_its_workers_free_the_port_finish_and_end(serve: Serve) -> None:
    gateway = serve()
    pids = gateway.note().worker_pids
    client, wire = gateway.start_stream_on(pids[0])
    gateway.process.kill()
    await_that(gateway.refuses_connections)
    bind_listener("127.0.0.1", gateway.port).close()
    await_that(lambda: has_ended(pids[1]))
    assert not has_ended(pids[0])
    wire.sendall(LAST_PIECES)
    assert read_rest(client).endswith(LAST_PIECES)
    await_that(lambda: has_ended(pids[0]))


def test_one_that_follows_a_killed_one_records_what_that_left(serve: Serve) -> None:
    killed = serve()
    _client, _wire = killed.start_stream()
    pids = killed.note().worker_pids
    for pid in (killed.process.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    follower = serve()
    await_that(lambda: [error for _, error in follower.outcomes()] == ["interrupted"])
    assert follower.end() == 0


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_only(serve: Serve) -> None:
    gateway = serve()
    here = os.getpgid(gateway.process.pid)
    assert all(os.getpgid(pid) != here for pid in gateway.note().worker_pids)


def test_no_secret_of_the_configuration_is_on_a_command_line(serve: Serve) -> None:
    gateway = serve()
    for pid in (gateway.process.pid, *gateway.note().worker_pids):
        assert b"token-of-the-test" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_each_line_of_the_log_names_its_process(serve: Serve) -> None:
    gateway = serve()
    await_that(lambda: " worker-1 revision" in gateway.text() and " worker-2 revision" in gateway.text())


def test_what_keeps_the_workers_from_serving_is_the_error_of_the_whole(settings: Settings) -> None:
    listener = bind_listener("127.0.0.1", 0)
    with pytest.raises(DatabaseError):
        supervise(settings, listener, outside(settings))
    assert listener.fileno() == -1
    RunningFile(settings.audit.directory).__exit__()


def test_a_second_gateway_on_the_same_journal_is_refused_at_once(settings: Settings) -> None:
    with (
        RunningFile(settings.audit.directory),
        bind_listener("127.0.0.1", 0) as listener,
        pytest.raises(ConflictError, match="another gateway"),
    ):
        supervise(settings, listener, outside(settings))


def test_a_service_manager_is_told_each_step(serve: Serve, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_SECONDS)
        gateway = serve(workers=1, NOTIFY_SOCKET=str(tmp_path / "notify"))
        gateway.process.send_signal(signal.SIGHUP)
        told = [manager.recv(4096).partition(b"\n")[0] for _ in range(3)]
        assert gateway.end() == 0
        told.append(manager.recv(4096))
    assert told == [b"READY=1", b"RELOADING=1", b"READY=1", b"STOPPING=1"]


def test_one_whose_terminal_has_gone_ends(tmp_path: Path, serve: Serve) -> None:
    ended = serve(workers=1)  # writes the configuration
    assert ended.end() == 0
    pid, screen = pty.fork()
    if pid == 0:  # a session of its own, whose terminal `screen` is
        os.chdir(tmp_path)
        os.execvpe(sys.executable, [sys.executable, "-m", "fastgate_cli", "serve"], ended.environ)
    try:
        seen = b""
        while b"listens on" not in seen:
            seen += os.read(screen, 4096)
        os.close(screen)
        await_that(lambda: has_ended(pid))
    finally:
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0
