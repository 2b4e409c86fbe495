"""Whoever does not read makes the other side wait, and memory stays bounded; whoever reads again goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from proxy.http1.connection import ClientConnection
from proxy.http1.limits import QUEUED_BODY_BYTES_MAX
from proxy.http1.server import HttpServer
from tests.proxy.http1.conftest import Serve, Served, answer, echo, find_client, get, post, read_body
from tests.proxy.relay.conftest import TIMEOUT_SECONDS, Wire

READ_BYTES_MAX = 256 * 1024  # what the event loop reads at once
KERNEL_BYTES_MAX = 16 * 1024 * 1024  # what two socket buffers may hold


def queued_bytes(served: Served) -> int:
    """Return what the connections hold of bodies, as their requests have them."""

    def count() -> int:
        requests = [
            request
            for connection in served.server._connections
            for request in {connection._serving, connection._reading, *connection._waiting} - {None}
            if request is not None
        ]
        return sum(len(chunk) for request in requests for chunk in request._chunks or ())

    found = served.call(count)
    assert isinstance(found, int)
    return found


def has_full_connection(server: HttpServer) -> bool:
    """Tell whether a client takes nothing of what it is sent."""
    return any(connection.wire.is_full for connection in server._connections)


def send_until_full(client: Wire, piece: bytes) -> int:
    """Send until nobody takes any more for a while; return how many bytes were taken of whole pieces."""
    client._sock.settimeout(0.3)
    sent = 0
    try:
        while sent < 4 * KERNEL_BYTES_MAX:
            client._sock.sendall(piece)
            sent += len(piece)
    except TimeoutError:
        pass
    client._sock.settimeout(TIMEOUT_SECONDS)
    return sent


class Waiting:
    """Begins to read or to answer only when it is let go."""

    def __init__(self) -> None:
        self.is_begun = threading.Event()
        self.go = asyncio.Event()
        self.left: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        find_client(scope).on_leave = lambda: self.left.append(scope["path"])
        if scope["path"] == "/read":
            body = await read_body(receive)
            self.is_begun.set()
            await self.go.wait()
            await answer(send, b"%d" % len(body))
        else:
            self.is_begun.set()
            await self.go.wait()
            await answer(send, b"%d" % len(await read_body(receive)))


def test_an_upload_that_nobody_reads_is_taken_only_as_far_as_there_is_room(serve: Serve) -> None:
    app = Waiting()
    served = serve(app)
    client = served.connect(get("/", "Transfer-Encoding: chunked", method="POST"))
    assert app.is_begun.wait(TIMEOUT_SECONDS)
    piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    assert send_until_full(client, piece) < KERNEL_BYTES_MAX
    assert queued_bytes(served) <= QUEUED_BODY_BYTES_MAX + READ_BYTES_MAX


def test_an_upload_that_had_to_wait_goes_on_when_it_is_read(serve: Serve) -> None:
    app = Waiting()
    served = serve(app)
    body = b"x" * 30_000_000
    client = served.connect()
    sender = threading.Thread(target=client.send, args=(post(body) + get("/read"),))
    sender.start()
    assert app.is_begun.wait(TIMEOUT_SECONDS)
    served.wait_until(lambda: queued_bytes(served) >= QUEUED_BODY_BYTES_MAX)
    served.call(app.go.set)
    assert client.read_until(b"30000000").startswith(b"HTTP/1.1 200")
    assert client.read_until(b"\r\n\r\n0").startswith(b"HTTP/1.1 200")
    sender.join()


@pytest.mark.parametrize("piece", [post(b"x" * 60_000, "/next"), post(b"x" * 900, "/next")])
def test_pipelined_bodies_share_the_room_of_one_connection(serve: Serve, piece: bytes) -> None:
    app = Waiting()
    served = serve(app)
    client = served.connect(get("/wait"))
    assert app.is_begun.wait(TIMEOUT_SECONDS)
    # The server stops reading before it has all of it, and the system's buffers may be short.
    sender = threading.Thread(target=client.send, args=(piece * 31,))
    sender.start()
    served.wait_until(lambda: queued_bytes(served) > 900 * 30)
    assert queued_bytes(served) <= QUEUED_BODY_BYTES_MAX + READ_BYTES_MAX
    served.call(app.go.set)
    sender.join()


def test_a_body_in_tiny_chunks_makes_no_room_for_the_one_behind_it(serve: Serve) -> None:
    most = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most
        more = True
        while more:
            more = (await receive())["more_body"]
            connection: ClientConnection = find_client(scope)._connection
            waiting = [request._chunks or () for request in connection._waiting]
            most = max(most, sum(len(chunk) for chunks in waiting for chunk in chunks))
            await asyncio.sleep(0)
        await answer(send)

    served = serve(app)
    tiny = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    client = served.connect()
    stream = get("/", "Transfer-Encoding: chunked", method="POST") + tiny + post(b"y" * 20_000_000)
    client.send(stream)
    for _ in range(2):
        client.read_head()
    assert most <= QUEUED_BODY_BYTES_MAX + READ_BYTES_MAX


@pytest.mark.parametrize("size", [10, 200_000, 3_000_000])
def test_a_client_that_leaves_behind_a_body_of_any_size_is_noticed_before_the_answer(
    serve: Serve, size: int
) -> None:
    app = Waiting()
    served = serve(app)
    client = served.connect(post(b"x" * size, "/read"))
    assert app.is_begun.wait(TIMEOUT_SECONDS)
    client.close()
    served.wait_until(lambda: app.left == ["/read"])
    served.call(app.go.set)


def test_a_stream_that_nobody_takes_waits_and_goes_on(serve: Serve) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 100_000
        await send({"type": "http.response.body"})

    served = serve(app)
    client = served.connect(get(), receive_bytes=65536)
    client.read_head()
    served.wait_until(
        lambda: served.call(lambda: any(each.wire.is_full for each in served.server._connections))
    )
    assert sent < KERNEL_BYTES_MAX
    for _ in range(400):
        assert client.read_exactly(100_009)[-3:] == b"x\r\n"
    assert client.read_exactly(5) == b"0\r\n\r\n"
    client.send(get())
    assert client.read_head().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_while_it_takes_nothing_frees_who_waits_for_it(serve: Serve, how: str) -> None:
    reasons: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client = find_client(scope)
        client.on_leave = lambda: reasons.append(client.leave_reason)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while client.leave_reason is None:
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    served = serve(app)
    client = served.connect(get(), receive_bytes=4096)
    served.wait_until(
        lambda: served.call(lambda: any(each.wire.is_full for each in served.server._connections))
    )
    getattr(client, how)()
    served.wait_until(lambda: served.server.connections == 0)
    assert reasons == ["client_abort"]


def test_connections_that_are_idle_hold_nothing_of_what_went_over_them(serve: Serve) -> None:
    served = serve(echo)
    client = served.connect(post(b"x" * 200_000))
    client.read_head()
    served.wait_idle()
    (connection,) = served.server._connections
    assert (connection._queued_bytes, connection._serving, connection._reading, connection._task) == (
        0,
        None,
        None,
        None,
    )
