"""The socket's side of a connection: what is written comes before any end, and who takes nothing is known."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from proxy.http1.limits import LINGER_BYTES_MAX, LINGER_BYTES_MIN
from proxy.http1.wire import NEVER, Wire


class Writes(asyncio.Protocol):
    """Tells the wire of its transport's buffer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.is_lost = asyncio.Event()

    def pause_writing(self) -> None:
        self._wire.note_full()

    def resume_writing(self) -> None:
        self._wire.note_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost.set()


def with_wire(test: Callable[[Wire, socket.socket], Awaitable[None]]) -> None:
    """Run a test with a wire that is attached to one end of a socket pair."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.setblocking(False)
            wire = Wire(loop, 30.0)
            transport, writes = await loop.create_connection(lambda: Writes(wire), sock=ours)
            wire.attach(transport)
            await asyncio.wait_for(test(wire, theirs), 5)
            wire.abort()
            await asyncio.wait_for(writes.is_lost.wait(), 5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def receive(theirs: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)


class Writer(asyncio.Transport):
    """Notes each call of its write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))


@pytest.mark.parametrize(
    ("bodies", "writes"),
    [([b"body", b"end"], [b"headbody", b"end"]), ([], [b"head"])],
    ids=["with a body", "alone"],
)
def test_a_head_goes_with_what_follows_it_and_waits_no_longer_than_the_turn(
    bodies: list[bytes], writes: list[bytes]
) -> None:
    async def run() -> None:
        wire, transport = Wire(asyncio.get_running_loop(), 30.0), Writer()
        wire.attach(transport)
        wire.hold(b"head")
        assert transport.writes == []
        for body in bodies:
            wire.write(body)
        await asyncio.sleep(0)
        assert transport.writes == writes

    asyncio.run(run())


@pytest.mark.parametrize("end", [Wire.close, Wire.abort, Wire.linger])
def test_an_end_comes_after_what_was_written(end: Callable[[Wire], None]) -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.hold(b"last words")
        end(wire)
        assert await receive(theirs) == b"last words"
        assert await receive(theirs) == b""

    with_wire(test)


def test_closing_does_not_keep_one_that_takes_nothing_from_being_given_up() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"x" * 10_000_000)
        wire.close()

    with_wire(test)


def test_a_wire_without_a_connection_takes_everything() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        transport, wire.transport = wire.transport, None
        for act in (
            wire.abort,
            wire.close,
            wire.linger,
            wire.pause_reading,
            wire.resume_reading,
            wire.note_full,
        ):
            act()
        wire.write(b"into nothing")
        assert not wire.has_taken_some()
        assert wire.deadline == NEVER
        wire.transport = transport

    with_wire(test)


def test_one_that_takes_nothing_has_a_deadline_until_it_takes_something() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        wire.write(b"x" * 10_000_000)
        await asyncio.sleep(0)
        assert (wire.is_full, wire.deadline < NEVER) == (True, True)
        assert not wire.has_taken_some()
        taken = len(await receive(theirs))
        assert wire.has_taken_some()
        assert not wire.has_taken_some()
        while wire.is_full:
            taken += len(await receive(theirs))
        assert (taken > 0, wire.deadline) == (True, NEVER)

    with_wire(test)


def test_what_comes_while_it_lingers_is_bounded_in_all_and_from_below() -> None:
    async def test(wire: Wire, theirs: socket.socket) -> None:
        assert wire.count_lingering(LINGER_BYTES_MIN)
        assert wire.may_linger()
        assert wire.count_lingering(LINGER_BYTES_MIN - 1)
        assert not wire.may_linger()
        assert wire.count_lingering(LINGER_BYTES_MAX - 2 * LINGER_BYTES_MIN + 1)
        assert not wire.count_lingering(1)

    with_wire(test)
