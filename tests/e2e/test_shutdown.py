"""Row 44: SIGTERM lets streams finish within the grace, and cuts the rest; a second one does not wait."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hardening.answers import EVENT_STREAM, chunk, chunked_head
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS, Call
from tests.hardening.raw import RawClient

STREAMS = 100
GRACE_SECONDS = 8
LONG_GRACE_SECONDS = 300  # longer than any test may take: a gateway that waits for it fails


@contextmanager
def run_until_stopped(folder: Path, grace_seconds: int) -> Iterator[Gate]:
    with run_gate(folder, proxy=f"shutdown_grace: {grace_seconds}", stops=True) as gate:
        yield gate


def open_streams(gate: Gate, path: str, count: int) -> list[RawClient]:
    """Open streams and read their first event."""
    clients = [gate.connect() for _ in range(count)]
    for client in clients:
        client.send(gate.request(path))
    for client in clients:
        assert client.read_head()[0] == 200
        assert client.read_chunk() == b"data: first\n\n"
    return clients


async def play_endless(call: Call) -> None:
    await call.send(chunked_head(*EVENT_STREAM) + chunk(b"data: first\n\n"))
    await call.connection.wait_closed()


def check_interrupted(gate: Gate, path: str, clients: list[RawClient]) -> None:
    """Check that streams were cut, at both ends, and that their rows say so."""
    for client in clients:
        assert client.read_rest() == b"", "what was cut looks like a clean end"
    for call in gate.backend.calls_of(path):
        assert call.connection.wait_ended() in ("fin", "reset")
    rows = gate.rows_of(path, len(clients))
    assert {row["error_message"] for row in rows} == {"interrupted"}


def wait_until_refused(gate: Gate) -> None:
    """Return when the gateway takes no connection any more: it has understood the signal."""
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        try:
            gate.connect().close()
        except ConnectionError:
            return
        assert time.monotonic() < deadline, "it still takes connections"
        time.sleep(0.02)


def test_streams_that_end_within_the_grace_end_whole_and_the_rest_are_interrupted(tmp_path: Path) -> None:
    with run_until_stopped(tmp_path, GRACE_SECONDS) as gate:
        steps = gate.backend.steps()

        async def play_short(call: Call) -> None:
            await call.send(chunked_head(*EVENT_STREAM) + chunk(b"data: first\n\n"))
            await steps.wait()
            for _ in range(3):
                await call.send(chunk(b"data: more\n\n"))
                await asyncio.sleep(0.01)
            await call.send(chunk(b"data: [DONE]\n\n") + chunk(b""))

        gate.backend.play("/f/short", play_short)
        gate.backend.play("/f/endless", play_endless)
        short = open_streams(gate, "/f/short", STREAMS // 2)
        endless = open_streams(gate, "/f/endless", STREAMS // 2)
        gate.running.process.send_signal(signal.SIGTERM)
        wait_until_refused(gate)
        for _ in short:
            steps.confirm()
        for client in short:
            events = [client.read_chunk() for _ in range(4)]
            assert events == [b"data: more\n\n"] * 3 + [b"data: [DONE]\n\n"]
            assert client.read_chunk() == b""
        assert gate.running.process.wait(GRACE_SECONDS + BOUND_SECONDS) == 0
        check_interrupted(gate, "/f/endless", endless)
        assert {row["error_message"] for row in gate.rows_of("/f/short", len(short))} == {None}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_every_stream_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with run_until_stopped(tmp_path, LONG_GRACE_SECONDS) as gate:
        gate.backend.play("/f/endless", play_endless)
        clients = open_streams(gate, "/f/endless", STREAMS)
        gate.running.process.send_signal(number)
        wait_until_refused(gate)
        assert gate.running.process.poll() is None
        gate.running.process.send_signal(number)
        gate.running.process.wait(BOUND_SECONDS)
        check_interrupted(gate, "/f/endless", clients)


def test_connections_that_are_idle_do_not_delay_the_end(tmp_path: Path) -> None:
    with run_until_stopped(tmp_path, LONG_GRACE_SECONDS) as gate:
        clients = [gate.connect() for _ in range(10)]
        for client in clients[:5]:
            assert client.ask(gate.request("/f/x")).body == b"ok"  # the others have never sent a byte
        assert gate.running.stop(signal.SIGTERM, BOUND_SECONDS) == 0
        for client in clients:
            assert client.read_rest() == b""
