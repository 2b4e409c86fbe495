"""The connections of one listening socket: how many there may be, their deadlines, and how they all end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Protocol

from proxy.http1.connection import ClientConnection
from proxy.http1.faults import CROWDED, Fault
from proxy.http1.handler import Handler
from proxy.http1.heads import write_plain_refusal
from proxy.http1.limits import ServerLimits

SWEEP_SECONDS = 0.25
SENDING_SECONDS = 1.0  # for the answers to requests that are cut
CLOSING_SECONDS = 5.0
_log = logging.getLogger(__name__)
# Makes a whole response, as bytes, that ends with the connection.
WriteRefusal = Callable[[Fault], bytes]


class Observer(Protocol):
    """Who is told of connections, and of what was refused before a handler saw it."""

    connections: int

    def count_unserved(self, reason: str) -> None:
        """Count a request or connection that was refused."""


class HttpServer:
    """Serves one handler on one socket.

    `refusals` counts requests that no handler ever saw; `write_refusal` makes the responses to them.
    """

    scheme = "http"

    def __init__(
        self,
        handler: Handler,
        limits: ServerLimits,
        observer: Observer | None = None,
        write_refusal: WriteRefusal = write_plain_refusal,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.write_refusal = write_refusal
        self._observer = observer
        self.loop = asyncio.get_running_loop()
        self.is_stopping = False
        self.refusals: dict[str, int] = {}  # by reason; a fixed set
        self._connections: set[ClientConnection] = set()
        self._emptied = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    async def start(self, listener: socket.socket, backlog: int) -> None:
        """Begin to take connections."""
        self._server = await self.loop.create_server(
            lambda: ClientConnection(self), sock=listener, backlog=backlog
        )
        self._sweep_deadlines()

    async def drain(self, grace_seconds: float) -> None:
        """Take no more connections, and let requests in flight finish, for so long."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        # One that was accepted just now is told of in the loop's next round, or nobody would wait for it.
        await asyncio.sleep(0)
        for connection in tuple(self._connections):
            connection.close_when_idle()
        await self._wait_empty(grace_seconds)

    async def stop(self) -> None:
        """End what is in flight, and return when every connection has ended."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        if cut := sum(connection.interrupt() for connection in tuple(self._connections)):
            _log.warning("requests that had not ended in time and were cut: %d", cut)
        # What was answered just now is sent first.
        await self._wait_empty(SENDING_SECONDS)
        for connection in tuple(self._connections):
            connection.wire.abort()  # an exchange that has not heeded is told that its client has gone
        await self._wait_empty(CLOSING_SECONDS)
        if self._sweep is not None:
            self._sweep.cancel()

    # What connections tell it.

    def admit(self, connection: ClientConnection) -> bool:
        """Register a connection, unless there are too many."""
        if len(self._connections) >= self.limits.connections_max:
            self.count_refusal(CROWDED.reason)
            return False
        self._connections.add(connection)
        self._tell_connections()
        return True

    def release(self, connection: ClientConnection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        self._tell_connections()
        if not self._connections:
            self._emptied.set()

    def count_refusal(self, reason: str) -> None:
        """Count a request or connection that was refused before a handler saw it."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        if self._observer is not None:
            self._observer.count_unserved(reason)

    def _tell_connections(self) -> None:
        if self._observer is not None:
            self._observer.connections = len(self._connections)

    async def _wait_empty(self, seconds: float) -> None:
        self._emptied.clear()
        if self._connections:
            try:
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()
            except TimeoutError:
                pass

    def _sweep_deadlines(self) -> None:
        # First of all: nothing that goes wrong with one connection may leave the others without deadlines.
        self._sweep = self.loop.call_later(SWEEP_SECONDS, self._sweep_deadlines)
        now = self.loop.time()
        for connection in [
            each for each in self._connections if each.deadline <= now or each.wire.deadline <= now
        ]:
            connection.expire()
