"""The socket's side of a connection: what is written is sent together, and before any end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from proxy.http1.limits import UNWRITTEN_BYTES_MAX
from proxy.http1.wire import NEVER, Wire


class Writes(asyncio.Protocol):
    """Counts what the transport is given to write."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def pause_writing(self) -> None:
        self._wire.set_full(True)

    def resume_writing(self) -> None:
        self._wire.set_full(False)


def with_wire(test: Callable[[Wire, socket.socket], Awaitable[None]]) -> None:
    """Run a test with a wire that is attached to one end of a socket pair."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            wire = Wire(loop, 30.0)
            transport, _ = await loop.create_connection(lambda: Writes(wire), sock=ours)
            wire.attach(transport)
            await asyncio.wait_for(test(wire, theirs), 5)
            wire.abort()

    asyncio.run(run())


async def receive(theirs: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)


def test_what_is_written_together_is_sent_together() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        for piece in (b"head", b"body", b"end"):
            wire.write(piece)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        assert await receive(theirs) == b"headbodyend"

    with_wire(test)


def test_much_does_not_wait_for_the_loop() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"x" * (UNWRITTEN_BYTES_MAX + 1))
        assert len(theirs.recv(1 << 20)) == UNWRITTEN_BYTES_MAX + 1

    with_wire(test)


@pytest.mark.parametrize("end", [Wire.close, Wire.abort, Wire.end_writing])
def test_an_end_comes_after_what_was_written(end: Callable[[Wire], None]) -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"last words")
        end(wire)
        assert await receive(theirs) == b"last words"
        assert await receive(theirs) == b""

    with_wire(test)


def test_a_wire_without_a_connection_takes_everything_and_waits_for_nothing() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.detach()
        wire.write(b"into nothing")
        wire.flush()
        await wire.wait_writable()
        assert not wire.is_attached

    with_wire(test)


def test_who_waits_for_a_client_has_a_deadline_until_it_takes_something() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"x" * 10_000_000)
        assert wire.is_full
        waiting = asyncio.create_task(wire.wait_writable())
        await asyncio.sleep(0)
        assert wire.deadline < NEVER
        assert not wire.has_taken_some()
        taken = 0
        while not waiting.done():
            taken += len(await receive(theirs))
        assert (taken > 0, wire.deadline, wire.is_full) == (True, NEVER, False)

    with_wire(test)


def test_letting_go_of_a_connection_ends_the_wait_for_it() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"x" * 10_000_000)
        waiting = asyncio.create_task(wire.wait_writable())
        await asyncio.sleep(0)
        wire.detach()
        await waiting

    with_wire(test)
