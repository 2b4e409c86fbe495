"""Back-pressure: who is slow at one end slows the other, and the gateway holds no more than its bounds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from queue import Queue

import pytest

from tests.hardening.answers import chunk, chunked_head, plain
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import BOUND_SECONDS, Call
from tests.hardening.measures import resident_bytes

BODY_BYTES = 64 * 1024 * 1024
# What the gateway may come to hold of it. The kernel holds more, in the buffers of two connections.
HELD_BYTES_MAX = 8 * 1024 * 1024
STALLED_SECONDS = 1.0  # nothing is taken for so long: the other end is not reading
PIECE = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with run_gate(tmp_path_factory.mktemp("gate"), proxy="max_body_size: 128MB") as served:
        yield served


def test_a_client_that_does_not_read_stops_the_backend(gate: Gate) -> None:
    taken: Queue[int] = Queue()

    async def play(call: Call) -> None:
        await call.send(chunked_head())
        for sent in range(0, BODY_BYTES, len(PIECE)):
            sending = asyncio.create_task(call.send(chunk(PIECE)))
            if not (await asyncio.wait((sending,), timeout=STALLED_SECONDS))[0]:
                taken.put(sent)
            await sending
        await call.send(chunk(b""))
        taken.put(BODY_BYTES)

    gate.backend.play("/f/endless", play)
    before = resident_bytes(gate.pid)
    client = gate.connect(receive_bytes=65536)
    client.send(gate.request("/f/endless"))
    assert taken.get(timeout=BOUND_SECONDS) < BODY_BYTES
    assert resident_bytes(gate.pid) < before + HELD_BYTES_MAX
    assert gate.ask("/f/other").body == b"ok"  # nobody else waits for it
    answered = client.read_answer()
    assert answered.is_whole
    expected = hashlib.sha256(PIECE * (BODY_BYTES // len(PIECE))).digest()
    assert hashlib.sha256(answered.body).digest() == expected
    assert gate.row(answered)["response_size"] == BODY_BYTES


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_a_backend_that_does_not_read_stops_the_client(gate: Gate, is_chunked: bool) -> None:
    steps = gate.backend.steps()

    async def play(call: Call) -> None:
        await steps.wait()
        await call.read_body()
        await call.send(plain(hashlib.sha256(call.body).hexdigest().encode()))

    gate.backend.play("/f/upload", play)
    before = resident_bytes(gate.pid)
    body = PIECE * (BODY_BYTES // len(PIECE))
    framed = chunk(body) + chunk(b"") if is_chunked else body
    framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(body)}"
    client = gate.connect()
    client.send(gate.request("/f/upload", method="POST", headers=[framing]))
    sent = client.send_until_stalled(framed, STALLED_SECONDS)
    assert sent < BODY_BYTES
    assert resident_bytes(gate.pid) < before + HELD_BYTES_MAX
    assert gate.ask("/f/other").body == b"ok"
    steps.confirm()
    client.send(framed[sent:])
    answered = client.read_answer(b"POST")
    assert answered.body == hashlib.sha256(body).hexdigest().encode()
    assert gate.row(answered)["request_size"] == BODY_BYTES
