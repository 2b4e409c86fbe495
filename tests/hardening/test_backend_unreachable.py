"""Rows 28 and 29: backends that cannot be reached, or fall silent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import trustme

from tests.hardening.answers import chunk, chunked_head, head, plain, stick
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import Call, FaultBackend
from tests.ports import reserve_port

_CONNECTIONS_TO_FILL_A_QUEUE = 4


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return the TLS of a backend whose certificate nobody but this authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """A port that is taken, so that nobody else gets it, and on which nobody listens."""
    with reserve_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def deaf() -> Iterator[str]:
    """A listener whose queue is full: the handshake of a further connection is never answered."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(_CONNECTIONS_TO_FILL_A_QUEUE):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def self_signed() -> Iterator[FaultBackend]:
    backend = FaultBackend(server_context(trustme.CA()))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def no_tls() -> Iterator[str]:
    """An address that promises TLS and speaks something else."""
    backend = FaultBackend(greeting=b"SSH-2.0-OpenSSH_9.6\r\n")
    yield backend.url.replace("http:", "https:")
    backend.close()


@pytest.fixture(scope="module")
def gate(
    tmp_path_factory: pytest.TempPathFactory, refusing: str, deaf: str, self_signed: FaultBackend, no_tls: str
) -> Iterator[Gate]:
    routes = [
        ("--match", "/refusing/*", "--to", refusing),
        ("--match", "/deaf/*", "--to", deaf),
        ("--match", "/nowhere/*", "--to", "http://nowhere.invalid"),
        ("--match", "/tls/*", "--to", self_signed.url),
        ("--match", "/no-tls/*", "--to", no_tls),
        ("--match", "/late/*", "--timeout", "1"),
    ]
    with run_gate(tmp_path_factory.mktemp("gate"), proxy="connect_timeout: 1", routes=routes) as served:
        yield served


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_is_a_502(gate: Gate, method: str) -> None:
    client = gate.connect()
    refused = client.ask(gate.request("/refusing/x", method=method, body=b"{}"))
    assert (refused.status, refused.error_code) == (502, "upstream_unreachable")
    row = gate.row(refused)
    assert (row["status_code"], row["error_message"]) == (502, "upstream_unreachable: refused")
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_a_host_that_does_not_exist_is_unreachable(gate: Gate) -> None:
    refused = gate.ask("/nowhere/x")
    assert refused.status in (502, 504)  # a resolver may also let the time-out pass
    reasons = (
        "upstream_unreachable: no such host",
        "upstream_unreachable: no name server",
        "upstream_timeout",
    )
    assert gate.row(refused)["error_message"] in reasons


def test_a_connection_that_is_never_accepted_times_out(gate: Gate) -> None:
    refused = gate.ask("/deaf/x")
    assert refused.status == 504
    assert gate.row(refused)["error_message"] in ("upstream_unreachable", "upstream_timeout")


def test_a_certificate_that_nobody_vouches_for_is_a_502_and_nothing_is_sent(
    gate: Gate, self_signed: FaultBackend
) -> None:
    client = gate.connect()
    refused = client.ask(gate.request("/tls/x", method="POST", body=b"secret"))
    assert (refused.status, refused.error_code) == (502, "upstream_unreachable")
    row = gate.row(refused)
    assert (row["status_code"], row["error_message"]) == (502, "upstream_unreachable: unknown authority")
    assert self_signed.calls == []
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_a_backend_that_does_not_speak_tls_is_a_502(gate: Gate) -> None:
    refused = gate.ask("/no-tls/x")
    assert (refused.status, refused.error_code) == (502, "upstream_unreachable")
    assert gate.row(refused)["error_message"] == "upstream_unreachable: not TLS"


def test_a_backend_that_hangs_before_its_head_is_a_504(gate: Gate) -> None:
    client = gate.connect()
    gate.backend.play("/late/head", stick())
    late = client.ask(gate.request("/late/head", method="POST", body=b"{}"))
    assert (late.status, late.error_code) == (504, "upstream_timeout")
    row = gate.row(late)
    assert (row["status_code"], row["error_message"]) == (504, "upstream_timeout")
    (call,) = gate.backend.calls_of("/late/head")
    assert call.connection.wait_ended() in ("fin", "reset")
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_a_backend_that_hangs_within_its_head_is_a_504(gate: Gate) -> None:
    late = gate.ask("/late/half", stick(head("content-length: 2")[:-2]))
    assert (late.status, late.error_code) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    "sent", [chunked_head() + chunk(b"half"), plain(b"half+half")[:-5]], ids=["chunked", "content-length"]
)
def test_a_backend_that_hangs_in_its_body_is_a_broken_transfer(gate: Gate, sent: bytes) -> None:
    client = gate.connect()
    gate.backend.play("/late/body", stick(sent))
    broken = client.ask(gate.request("/late/body"))
    assert (broken.status, broken.body, broken.is_whole) == (200, b"half", False)
    assert client.read_rest() == b""
    row = gate.row(broken)
    assert (row["status_code"], row["error_message"]) == (200, "upstream_timeout")
    assert gate.backend.calls_of("/late/body")[-1].connection.wait_ended() in ("fin", "reset")


def test_a_backend_that_speaks_at_last_is_waited_for(gate: Gate) -> None:
    # The time-out bounds each silence, not the whole: three of them are longer than it.
    async def play(call: Call) -> None:
        await call.send(chunked_head())
        for _ in range(3):
            await asyncio.sleep(0.5)
            await call.send(chunk(b"."))
        await call.send(chunk(b""))

    slow = gate.ask("/late/slow", play)
    assert (slow.body, slow.is_whole) == (b"...", True)
