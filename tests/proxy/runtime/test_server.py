"""Serving: signals and draining, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pytest

from proxy.store.database import open_database
from proxy.store.keys import create_key
from proxy.store.log_filter import LogFilter
from proxy.store.logs import list_logs
from proxy.store.routes import NewRoute, add_route

_ROOT = Path(__file__).parents[3]
_ADDRESS = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
)
TIMEOUT_SECONDS = 10


class Gateway:
    """`fastgate serve` as a process, its database, and the backend that the test plays."""

    def __init__(self, folder: Path, *, grace_seconds: float) -> None:
        self.backend = socket.create_server(("127.0.0.1", 0))
        self.backend.settimeout(TIMEOUT_SECONDS)
        self.database = folder / "fastgate.db"
        with open_database(self.database, create=True) as database:
            _, self.key = create_key(database, key_prefix="fg_", now=datetime.now(UTC))
            target = f"127.0.0.1:{self.backend.getsockname()[1]}"
            add_route(database, NewRoute("/v1/*", target), datetime.now(UTC))
        configuration = folder / "fastgate.yaml"
        configuration.write_text(
            f"app: {{port: 0}}\ndatabase: {{url: 'sqlite:///{self.database}'}}\n"
            f"proxy: {{shutdown_grace: {grace_seconds}}}\naudit: {{directory: '{folder / 'journal'}'}}\n"
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FASTGATE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastgate_cli", "-c", str(configuration), "serve"],
            cwd=folder,
            env={**kept, "HOME": str(folder), "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        found: Queue[int] = Queue()
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        self.port = found.get(timeout=20)

    def _read(self, found: Queue[int]) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := _ADDRESS.search(line):
                found.put(int(match[1]))

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        client.sendall(f"GET /v1/x HTTP/1.1\r\nhost: x\r\nx-api-key: {self.key}\r\n\r\n".encode())
        return client

    def start_stream(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a stream whose first piece has arrived."""
        client = self.connect()
        wire, _ = self.backend.accept()
        wire.settimeout(TIMEOUT_SECONDS)
        wire.recv(65536)
        wire.sendall(_STREAM)
        seen = b""
        while not seen.endswith(b"3\r\none\r\n"):
            seen += client.recv(65536)
        return client, wire

    def refuses_connections(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return True
        return False

    def outcomes(self) -> list[tuple[int | None, str | None]]:
        """Return status and error of every row, once the gateway has ended."""
        with open_database(self.database, create=False) as database:
            rows = list_logs(database, LogFilter(), limit=0)
            return [(row["status_code"], row["error_message"]) for row in rows]

    def close(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_SECONDS)
        self.backend.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, grace_seconds=30)
    yield gateway
    gateway.close()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, grace_seconds=0.3)
    yield gateway
    gateway.close()


def read_rest(client: socket.socket) -> bytes:
    rest = b""
    try:
        while piece := client.recv(65536):
            rest += piece
    except ConnectionResetError:
        pass
    return rest


def wait_until_refusing(gateway: Gateway) -> None:
    deadline = time.monotonic() + 5
    while not gateway.refuses_connections():
        assert time.monotonic() < deadline, "it still takes connections"
        time.sleep(0.01)


def test_sigterm_lets_a_stream_finish_takes_nothing_new_and_records_it(patient: Gateway) -> None:
    client, wire = patient.start_stream()
    patient.process.send_signal(signal.SIGTERM)
    wait_until_refusing(patient)
    assert patient.process.poll() is None
    wire.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
    assert read_rest(client).endswith(b"two\r\n0\r\n\r\n")
    assert patient.process.wait(TIMEOUT_SECONDS) == 0
    assert patient.outcomes() == [(200, None)]
    assert "Traceback" not in "".join(patient.lines)


def test_a_second_sigterm_ends_what_is_in_flight_at_once(patient: Gateway) -> None:
    client, wire = patient.start_stream()
    patient.process.send_signal(signal.SIGTERM)
    wait_until_refusing(patient)
    patient.process.send_signal(signal.SIGTERM)
    assert not read_rest(client).endswith(b"0\r\n\r\n")
    assert read_rest(wire) == b""
    assert patient.process.wait(TIMEOUT_SECONDS) == 0  # its grace is longer
    assert patient.outcomes() == [(200, "interrupted")]
    assert "Traceback" not in "".join(patient.lines)


def test_the_grace_is_kept_to(hasty: Gateway) -> None:
    client, _wire = hasty.start_stream()
    hasty.process.send_signal(signal.SIGINT)
    assert not read_rest(client).endswith(b"0\r\n\r\n")
    assert hasty.process.wait(TIMEOUT_SECONDS) == 0
    assert hasty.outcomes() == [(200, "interrupted")]
    assert "Traceback" not in "".join(hasty.lines)


def test_a_run_begins_with_metrics_of_its_own(tmp_path: Path) -> None:
    metrics = tmp_path / "data" / "metrics"
    metrics.mkdir(parents=True)
    (metrics / "of-an-earlier-run.cells").touch()
    gateway = Gateway(tmp_path, grace_seconds=0.3)
    try:
        (only,) = metrics.iterdir()
        assert only.name.startswith("worker-1-")
    finally:
        gateway.close()


@pytest.fixture
def slow_mock() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`fastgate mock` at ten tokens a second, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastgate_cli", "mock", "--port", "0", "--tps", "10"],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = _ADDRESS.search(process.stderr.readline())
    assert found
    yield process, int(found[1])
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_mock_streams_as_it_goes_and_ends_with_a_stream_open(
    slow_mock: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    process, port = slow_mock
    body = (
        b'{"model": "mock", "stream": true, "messages": [{"role": "user", "content": "'
        + b"word " * 400
        + b'"}]}'
    )
    client = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    seen = b""
    while seen.count(b"data: ") < 3:
        seen += client.recv(65536)
    assert b"[DONE]" not in seen
    process.send_signal(number)
    assert b"0\r\n\r\n" not in read_rest(client)
    _, told = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in told
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
