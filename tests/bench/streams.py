"""Many event streams at once, read to their ends by one thread: how many events came, and none lost."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.load import GRACE_SECONDS, PLAIN, build_request, connect, first_line
from tests.bench.servers import BenchError, Server

OPEN_SECONDS_MAX = 30.0
_EVENT = b"data: {"
_END = b"0\r\n\r\n"


def build_streamed(events: int) -> bytes:
    """Return the body of a request for so many events."""
    return PLAIN.replace(b'"max_tokens":256', b'"max_tokens":%d,"stream":true' % events)


@dataclass(slots=True)
class _Stream:
    events: int = 0
    tail: bytes = b""


class Streams:
    """Streams that are open together."""

    def __init__(self, name: str, events_each: int) -> None:
        self.events = 0
        self._name, self._events_each = name, events_each
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, _Stream] = {}
        self._silent = 0

    @property
    def open_count(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket) -> None:
        """Take a connection on which a request has been sent."""
        self._open[sock] = _Stream()
        self._silent += 1
        self._selector.register(sock, selectors.EVENT_READ)

    def read(self, until: float) -> None:
        """Read whatever comes until a time of `time.monotonic`, or until all have ended."""
        while self._open and (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                self._receive(key.fileobj)  # type: ignore[arg-type]

    def await_all(self) -> None:
        """Read until each has had an event; raises `BenchError` if that takes too long."""
        deadline = time.monotonic() + OPEN_SECONDS_MAX
        while self._silent:
            if time.monotonic() > deadline:
                raise BenchError(f"{self._name}: {self._silent} streams had no event")
            self.read(time.monotonic() + 0.05)

    def finish(self, seconds: float) -> None:
        """Read all to their ends; raises `BenchError` if one breaks off, or has too few events."""
        self.read(time.monotonic() + seconds + GRACE_SECONDS)
        if self._open:
            raise BenchError(f"{self._name}: {len(self._open)} streams did not end")

    def close(self) -> None:
        for sock in self._open:
            sock.close()
        self._selector.close()

    def _receive(self, sock: socket.socket) -> None:
        stream = self._open[sock]
        data = sock.recv(65536)
        if not data:
            raise BenchError(f"{self._name}: a stream broke off after {stream.events} events")
        if not stream.tail and not data.startswith(b"HTTP/1.1 2"):
            raise BenchError(f"{self._name} answered {first_line(data)}")
        # What was not counted yet is shorter than an event's beginning.
        seen = stream.tail + data
        count = seen.count(_EVENT)
        stream.tail = seen[-len(_EVENT) + 1 :]
        self._silent -= not stream.events and bool(count)
        stream.events += count
        self.events += count
        if seen.endswith(_END):
            self._end(sock, stream)

    def _end(self, sock: socket.socket, stream: _Stream) -> None:
        if stream.events < self._events_each:
            raise BenchError(
                f"{self._name}: a stream ended with {stream.events} of {self._events_each} events"
            )
        self._selector.unregister(sock)
        del self._open[sock]
        sock.close()


@contextmanager
def open_streams(server: Server, *, count: int, events: int, spread: float) -> Iterator[Streams]:
    """Open so many streams of so many events each, one after the other within `spread` seconds."""
    request = build_request(server.url, server.key, build_streamed(events)).build(0)
    streams = Streams(server.name, events)
    try:
        began = time.monotonic()
        for number in range(count):
            sock = connect(server)
            sock.sendall(request)
            streams.add(sock)
            streams.read(began + spread * (number + 1) / count)
        yield streams
    finally:
        streams.close()
