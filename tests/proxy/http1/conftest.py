"""The server over loopback sockets in a thread, with exchanges that a test plays.

Whatever a test does to it, no connection and no task is left afterwards, and no exchange was told anything
out of order.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from proxy.http1.limits import ServerLimits
from proxy.http1.server import HttpServer
from proxy.listening import bind_listener
from tests.proxy.http1.played import Play, Played, PlayedHandler
from tests.proxy.sockets import TIMEOUT_SECONDS, LogLines, Wire, wait_until

Serve = Callable[..., "Served"]


@dataclass
class Served:
    """A server that is running, and its clients."""

    server: HttpServer
    handler: PlayedHandler
    loop: asyncio.AbstractEventLoop
    port: int
    clients: list[Wire] = field(default_factory=list)

    def connect(self, data: bytes = b"", *, receive_bytes: int = 0, host: str = "127.0.0.1") -> Wire:
        """Return a new connection on which these bytes have been sent, maybe with a small buffer."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect((host, self.port))
        self.clients.append(Wire(sock))
        self.clients[-1].send(data)
        return self.clients[-1]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function, or a coroutine function, returns in the server's thread."""

        async def call() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(4 * TIMEOUT_SECONDS)

    def wait_for(self, path: str, event: str = "start") -> Played:
        """Return the newest exchange of a path once it has been told of something."""

        def is_there() -> bool:
            exchange = self.handler.find(path)
            return exchange is not None and event in exchange.events

        wait_until(is_there)
        exchange = self.handler.find(path)
        assert exchange is not None
        return exchange

    def wait_full(self) -> None:
        """Return when a client takes nothing of what it is sent."""
        wait_until(lambda: self.call(lambda: any(each.wire.is_full for each in self.server._connections)))


@contextmanager
def _serve(
    play: Play, *, host: str = "127.0.0.1", recognises: bool = False, **limits: Any
) -> Iterator[Served]:
    listener = bind_listener(host, 0)
    loop, stopping = uvloop.new_event_loop(), asyncio.Event()
    handler = PlayedHandler(play, recognises=recognises)
    ready: list[HttpServer] = []
    started = threading.Event()

    async def run() -> None:
        ready.append(HttpServer(handler, ServerLimits(**limits)))
        await ready[0].start(listener, 512)
        started.set()
        await stopping.wait()
        await ready[0].stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(TIMEOUT_SECONDS)
    served = Served(ready[0], handler, loop, listener.getsockname()[1])
    try:
        yield served
    finally:
        for client in served.clients:
            client.close()
        loop.call_soon_threadsafe(stopping.set)
        thread.join(3 * TIMEOUT_SECONDS)
    assert not thread.is_alive()
    assert served.server.connections == 0
    assert not asyncio.all_tasks(loop)
    assert handler.mistakes == []
    loop.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve exchanges that do as a function says, with some limits."""
    with ExitStack() as running:
        yield lambda play, **options: running.enter_context(_serve(play, **options))


@pytest.fixture
def log() -> Iterator[LogLines]:
    """Everything that is logged during a test."""
    lines, root = LogLines(), logging.getLogger()
    root.addHandler(lines)
    yield lines
    root.removeHandler(lines)
