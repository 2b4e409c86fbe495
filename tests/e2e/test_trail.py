"""The commands of the audit trail while a gateway serves, ends and is started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.proxy.gateways import WAIT_SECONDS, ServedGateway, read_rest

Follow = Callable[[ServedGateway], "Tail"]
Serve = Callable[..., ServedGateway]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve()`: a gateway in a process of its own; it ends with the test."""
    made: list[ServedGateway] = []

    def make(**options: Any) -> ServedGateway:
        made.append(ServedGateway(tmp_path, workers=1, **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.fixture
def follow() -> Iterator[Follow]:
    """`follow(gateway)`: a tail of its trail; it ends with the test."""
    made: list[Tail] = []

    def make(gateway: ServedGateway) -> Tail:
        made.append(Tail(gateway))
        return made[-1]

    yield make
    for tail in made:
        tail.kill()


class Tail:
    """`fastgate logs tail --json` as a process."""

    def __init__(self, gateway: ServedGateway) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastgate_cli", "logs", "tail", "--json"],
            cwd=gateway.folder,
            env=gateway.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)

    def next(self) -> tuple[str, int | None]:
        """Return path and status of the next line."""
        row = json.loads(self._lines.get(timeout=WAIT_SECONDS))
        return row["path"], row["status_code"]

    def kill(self) -> None:
        """End it, whatever its state."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> tuple[int, str]:
        """Interrupt it; return the exit code and what it wrote to standard error."""
        self._process.send_signal(signal.SIGINT)
        _, told = self._process.communicate(timeout=WAIT_SECONDS)
        return self._process.returncode, told


def test_a_tail_goes_on_through_a_restart_a_stream_and_a_compaction(serve: Serve, follow: Follow) -> None:
    gateway = serve()
    gateway.ask("/nowhere/1")
    tail = follow(gateway)
    assert tail.next() == ("/nowhere/1", 404)
    assert gateway.end() == 0  # its segments are finished and deleted
    gateway = serve()
    gateway.ask("/nowhere/2")
    assert tail.next() == ("/nowhere/2", 404)
    client, wire = gateway.start_stream()
    assert tail.next() == ("/v1/x", None)
    assert gateway.command("db", "compact", "-y").returncode == 0
    wire.sendall(b"0\r\n\r\n")
    assert read_rest(client) == b"0\r\n\r\n"
    assert tail.next() == ("/v1/x", 200)
    gateway.ask("/nowhere/3")
    assert tail.next() == ("/nowhere/3", 404)
    assert tail.end() == (130, "\n")


def test_pruning_and_compacting_leave_a_trail_that_holds(serve: Serve, follow: Follow) -> None:
    gateway = serve()
    tail = follow(gateway)
    for number in range(20):
        gateway.ask(f"/nowhere/{number}")
    while tail.next() != ("/nowhere/19", 404):
        pass
    _client, _wire = gateway.start_stream()
    assert tail.next() == ("/v1/x", None)
    pruned = gateway.command("logs", "prune", "--older-than", "0s", "-y", "--json")
    assert json.loads(pruned.stdout)["requests"] == 20
    refused = gateway.command("db", "compact")
    assert refused.returncode == 2
    assert gateway.command("db", "compact", "-y").returncode == 0
    gateway.ask("/nowhere/last")
    assert tail.next() == ("/nowhere/last", 404)
    verified = gateway.command("logs", "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    verdict = json.loads(verified.stdout)
    assert (verdict["accepted"], verdict["lost"], verdict["duplicates"]) == (22, 0, 0)
    assert json.loads(gateway.command("logs", "du", "--json").stdout)["requests"] == 2
    shown = gateway.command("logs", "show", gateway.rows()[0]["id"], "--curl")
    assert f"http://127.0.0.1:{gateway.port}/nowhere/last" in shown.stdout
    assert tail.end()[0] == 130
