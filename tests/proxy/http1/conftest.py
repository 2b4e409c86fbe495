"""The server over loopback sockets in a thread, with the application of a test.

Whatever a test does to it, no connection and no task is left afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from proxy.http1.limits import ServerLimits
from proxy.http1.request import CLIENT_KEY, ServedRequest
from proxy.http1.server import HttpServer
from proxy.listening import bind_listener
from tests.proxy.relay.conftest import TIMEOUT_SECONDS, Gate, LogLines, Wire, log

__all__ = ["LogLines", "log"]  # `log` is a fixture

App = Callable[..., Awaitable[None]]
Serve = Callable[..., "Served"]


@dataclass
class Served:
    """A server that is running, and its clients."""

    server: HttpServer
    loop: asyncio.AbstractEventLoop
    port: int
    clients: list[Wire] = field(default_factory=list)

    def connect(self, data: bytes = b"", *, receive_bytes: int = 0) -> Wire:
        """Return a new connection on which these bytes have been sent, maybe with a small buffer."""
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(("127.0.0.1", self.port))
        self.clients.append(Wire(sock))
        self.clients[-1].send(data)
        return self.clients[-1]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function, or a coroutine function, returns in the server's thread."""

        async def call() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(TIMEOUT_SECONDS)

    def wait_until(self, condition: Callable[[], Any]) -> None:
        """Return as soon as a condition holds; fails if it does not in time."""
        Gate.wait_until(condition)

    def wait_idle(self) -> None:
        """Return when no request is being served, and fails if one is for too long."""
        self.wait_until(lambda: self.call(_count_tasks) == 0)


def _count_tasks() -> int:
    return len(asyncio.all_tasks()) - 2  # the one that counts, and the one that serves


@contextmanager
def _serve(app: App, **limits: Any) -> Iterator[Served]:
    listener = bind_listener("127.0.0.1", 0)
    loop, stopping = uvloop.new_event_loop(), asyncio.Event()
    ready: list[HttpServer] = []
    started = threading.Event()

    async def run() -> None:
        ready.append(HttpServer(app, ServerLimits(**limits)))
        await ready[0].start(listener, 512)
        started.set()
        await stopping.wait()
        await ready[0].stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(TIMEOUT_SECONDS)
    served = Served(ready[0], loop, listener.getsockname()[1])
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(2 * TIMEOUT_SECONDS)
        for client in served.clients:
            client.close()
    assert not thread.is_alive()
    assert served.server.connections == 0
    assert not asyncio.all_tasks(loop)
    loop.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an application with some limits."""
    with ExitStack() as running:
        yield lambda app, **limits: running.enter_context(_serve(app, **limits))


def find_client(scope: Any) -> ServedRequest:
    client = scope["extensions"][CLIENT_KEY]
    assert isinstance(client, ServedRequest)
    return client


def get(path: str = "/", *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


async def read_body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    """Return the whole body; fails if the client leaves before."""
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body, more = body + message["body"], message["more_body"]
    return body


async def answer(send: Any, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    """Send a response with a Content-Length."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with method, target and body; `?unread` leaves the body unread."""
    body = b"" if scope["query_string"] == b"unread" else await read_body(receive)
    await answer(send, b"%b %b %b" % (scope["method"].encode(), scope["raw_path"], body))
