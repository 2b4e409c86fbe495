"""A connection without a socket: a test gives it bytes, turns the clock, and reads what it has sent.

The loop runs a turn when it is told to; nothing waits, and nothing depends on how quick the machine is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from proxy.http1.connection import ClientConnection
from proxy.http1.faults import Fault
from proxy.http1.heads import write_plain_refusal
from proxy.http1.limits import ServerLimits
from tests.proxy.http1.played import Play, PlayedHandler

PEER = ("10.0.0.9", 4711)


class Loop:
    """The two things that a connection asks of an event loop."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._calls: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def run_turn(self) -> bool:
        """Call what was to be called soon; return whether there was anything."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()
        return bool(calls)


class Transport:
    """A socket as asyncio has it. What a client takes of it is the test's to say."""

    def __init__(self, bench: Bench, peer: object) -> None:
        self.sent = b""
        self.writes = 0
        self.unsent = 0  # bytes that the client has not taken
        self.is_paused = self.has_eof = self.is_aborted = False
        self._bench = bench
        self._peer = peer
        self._is_closing = False

    def get_extra_info(self, name: str) -> Any:
        return self._peer if name == "peername" else self

    def fileno(self) -> int:
        raise OSError

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self._is_closing

    def write(self, data: bytes) -> None:
        assert not self.has_eof
        self.sent += data
        self.writes += 1

    def write_eof(self) -> None:
        assert not self.has_eof
        self.has_eof = True

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False

    def close(self) -> None:
        if not self._is_closing and not self.unsent:
            self._bench.loop.call_soon(self._bench.lose)
        self._is_closing = True

    def abort(self) -> None:
        self.is_aborted = True
        if not self._is_closing or self.unsent:
            self._bench.loop.call_soon(self._bench.lose)
        self._is_closing = True


class Bench:
    """A connection, and what a server would be to it."""

    scheme = "http"

    def __init__(
        self,
        play: Play,
        *,
        recognises: bool = False,
        peer: object = PEER,
        has_room: bool = True,
        **limits: Any,
    ) -> None:
        self.handler = PlayedHandler(play, recognises=recognises)
        self.limits = ServerLimits(**limits)
        self.loop = Loop()
        self.is_stopping = False
        self.is_lost = False
        self.refusals: list[str] = []
        self._has_room = has_room
        self.connection = ClientConnection(cast("Any", self))
        self.transport = Transport(self, peer)
        self.connection.connection_made(cast("asyncio.Transport", self.transport))

    # What a server is.

    def admit(self, connection: ClientConnection) -> bool:
        return self._has_room

    def release(self, connection: ClientConnection) -> None:
        self.is_lost = True

    def count_refusal(self, reason: str) -> None:
        self.refusals.append(reason)

    def write_refusal(self, fault: Fault) -> bytes:
        return write_plain_refusal(fault)

    # What a test does.

    @property
    def sent(self) -> bytes:
        self.run()
        return self.transport.sent

    def feed(self, *pieces: bytes) -> Bench:
        """Have bytes come, each piece in a turn of its own, as far as anything reads them."""
        for piece in pieces:
            if piece and not self.transport.is_closing():
                self.connection.data_received(piece)
                self.run()
        return self

    def run(self) -> None:
        """Run turns of the loop until nothing is left to be done."""
        while self.loop.run_turn():
            pass

    def lose(self) -> None:
        """The connection has ended."""
        if not self.is_lost:
            self.connection.connection_lost(None)
        self.run()

    def pass_seconds(self, seconds: float) -> Bench:
        """Turn the clock, and sweep as a server does."""
        step = 0.25
        end = self.loop.now + seconds
        while self.loop.now < end:
            self.loop.now = min(self.loop.now + step, end)
            connection = self.connection
            if not self.is_lost and min(connection.deadline, connection.wire.deadline) <= self.loop.now:
                connection.expire()
            self.run()
        return self

    def fill(self, unsent: int = 100_000) -> None:
        """The client takes nothing more."""
        self.transport.unsent = unsent
        self.connection.pause_writing()

    def drain(self) -> None:
        """The client has taken everything."""
        self.transport.unsent = 0
        self.connection.resume_writing()
        if self.transport.is_closing():
            self.loop.call_soon(self.lose)

    def take_answer(self) -> tuple[bytes, bytes]:
        """Return the head of the next answer, and its body of a stated length."""
        head, _, rest = self.sent.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        self.transport.sent = rest[length:]
        return head, rest[:length]
