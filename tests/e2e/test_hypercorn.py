"""The gateway behind `hypercorn 'proxy.runtime.app:create_app()'`, as applications and operators meet it."""

# ruff: noqa: F401  tests are collected where they are imported

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import HYPERCORN, Fastgate, Running
from tests.e2e.test_sdks import (
    test_a_wrong_key_is_an_authentication_error_in_both_sdks,
    test_an_sdk_gets_what_it_gets_from_the_backend,
    test_models_are_listed,
    test_the_rows_agree_with_what_was_sent,
)
from tests.proxy.gateways import WAIT_SECONDS, await_that, read_rest


@pytest.fixture(scope="module")
def front() -> str:
    return HYPERCORN


@pytest.fixture
def serve(make_fastgate: Callable[[], Fastgate]) -> Fastgate:
    """Return a folder with a key and a route, in which a gateway can be started."""
    fastgate = make_fastgate()
    fastgate("keys", "create", "--source", "tests", "--rate-limit", "0")
    return fastgate


def count_rows(fastgate: Fastgate) -> int:
    return len(fastgate.json("logs", "list", "-n", "0"))


def test_what_keeps_it_from_serving_is_said_and_no_traceback(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    (fastgate.folder / "fastgate.yaml").write_text("app: {prot: 1}\n")
    process = fastgate.popen("serve", "--port", "0")
    _, told = process.communicate(timeout=40)
    assert "error: " in told
    assert "fastgate.yaml:1:7: " in told
    assert "Traceback" not in told


def test_a_database_of_another_program_is_left_alone_and_named(make_fastgate: Callable[[], Fastgate]) -> None:
    fastgate = make_fastgate()
    (fastgate.folder / "fastgate.yaml").write_text("database: {url: 'sqlite:///other.db'}\n")
    (fastgate.folder / "other.db").write_text("no database")
    process = fastgate.popen("serve", "--port", "0")
    _, told = process.communicate(timeout=40)
    assert "error: " in told
    assert "other.db" in told
    assert "Traceback" not in told
    assert (fastgate.folder / "other.db").read_text() == "no database"


def test_it_ends_with_every_row_recorded_also_when_all_its_processes_are_told_to(serve: Fastgate) -> None:
    gateway = serve.start("serve", "--port", "0", "--workers", "2")
    for _ in range(20):
        assert httpx.get(f"{gateway.url}/v1/x", headers={"x-api-key": "fg_wrong"}).status_code == 401
    # As systemd and container runtimes do: Hypercorn's workers get it too.
    os.killpg(gateway.process.pid, signal.SIGTERM)
    assert gateway.process.wait(40) == 0, gateway.lines
    assert "Traceback" not in "".join(gateway.lines)
    assert count_rows(serve) == 20
    verified = serve.json("logs", "verify")
    assert (verified["lost"], verified["spooled"]) == (0, 0)


def find_children(pid: int) -> list[int]:
    """Return the processes that any thread of a process has started."""
    listed = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in listed for child in text.split()]


def find_recorders(pid: int) -> list[tuple[int, int]]:
    """Return each recorder below a process, with the worker that runs it."""
    found = []
    for worker in find_children(pid):
        for child in find_children(worker):
            if b"proxy.audit.process" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append((worker, child))
    return found


def test_two_workers_have_one_recorder_and_another_when_it_dies(serve: Fastgate) -> None:
    gateway = serve.start("serve", "--port", "0", "--workers", "2")
    await_that(lambda: len(find_recorders(gateway.process.pid)) == 1)
    ((_, recorder),) = find_recorders(gateway.process.pid)
    os.kill(recorder, signal.SIGKILL)
    await_that(lambda: [pid for _, pid in find_recorders(gateway.process.pid)] not in ([], [recorder]))
    assert httpx.get(f"{gateway.url}/v1/x", headers={"x-api-key": "fg_wrong"}).status_code == 401
    await_that(lambda: count_rows(serve) == 1)
    assert gateway.stop(timeout_seconds=40) == 0


class SteppedBackend:
    """A backend that begins an event stream, and goes on when the test says so."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.wire = self._listener

    def begin(self) -> None:
        self.wire, _ = self._listener.accept()
        self.wire.settimeout(WAIT_SECONDS)
        self.wire.recv(65536)
        self.wire.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n"
        )


@pytest.fixture
def stepped() -> Iterator[SteppedBackend]:
    backend = SteppedBackend()
    yield backend
    backend.wire.close()
    backend._listener.close()


def open_stream(fastgate: Fastgate, backend: SteppedBackend, *options: str) -> tuple[Running, socket.socket]:
    """Return a gateway that serves a stream, and its client, which has had a piece of it."""
    fastgate("routes", "add", "--match", "/s", "--to", backend.url)
    key = fastgate("keys", "create", "--rate-limit", "0").stdout.strip()
    gateway = fastgate.start("serve", "--port", "0", *options)
    client = socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), WAIT_SECONDS)
    client.sendall(f"GET /s HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n".encode())
    backend.begin()
    seen = b""
    while not seen.endswith(b"3\r\none\r\n"):
        seen += client.recv(65536)
    return gateway, client


def outcomes(fastgate: Fastgate) -> list[tuple[int, str | None]]:
    return [(row["status_code"], row["error_message"]) for row in fastgate.json("logs", "list", "-n", "0")]


def test_a_stream_may_end_within_the_grace(serve: Fastgate, stepped: SteppedBackend) -> None:
    gateway, client = open_stream(serve, stepped)
    gateway.process.send_signal(signal.SIGTERM)
    await_that(lambda: refuses_connections(gateway))
    stepped.wire.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
    assert read_rest(client) == b"3\r\ntwo\r\n0\r\n\r\n"
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert outcomes(serve) == [(200, None)]
    assert "Traceback" not in "".join(gateway.lines)


def test_a_stream_that_does_not_is_cut_and_its_row_says_so(serve: Fastgate, stepped: SteppedBackend) -> None:
    gateway, client = open_stream(serve, stepped, "--graceful-timeout", "1")
    gateway.process.send_signal(signal.SIGTERM)
    assert read_rest(client) == b""
    assert read_rest(stepped.wire) == b""
    assert gateway.process.wait(WAIT_SECONDS) == 0
    assert outcomes(serve) == [(200, "interrupted")]
    assert "Traceback" not in "".join(gateway.lines)


def refuses_connections(gateway: Running) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), 1).close()
    except OSError:
        return True
    return False
