"""All connections of a server: how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from proxy.http1.request import ABORTED
from tests.proxy.http1.conftest import LogLines, Serve, answer, echo, find_client, get
from tests.proxy.relay.conftest import TIMEOUT_SECONDS

CLOSE = b"connection: close\r\n"


class Held:
    """Holds each request to `/hold...` until it is let go; `/hold-started` with its head sent."""

    def __init__(self) -> None:
        self.is_holding = threading.Event()
        self.go = asyncio.Event()
        self.ends: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, headers = scope["path"], [(b"content-length", b"3")]
        try:
            if path == "/hold-started":
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            if path.startswith("/hold"):
                self.is_holding.set()
                await self.go.wait()
            if path == "/hold-started":
                await send({"type": "http.response.body", "body": b"abc"})
            else:
                await answer(send, b"abc")
            self.ends.append("answered")
        except asyncio.CancelledError:
            self.ends.append(find_client(scope).leave_reason or "cancelled")
            raise


def test_one_connection_too_many_is_a_503_and_there_is_room_when_another_leaves(serve: Serve) -> None:
    served = serve(echo, connections_max=2)
    clients = [served.connect(get()) for _ in range(2)]
    assert [client.read_reply().status for client in clients] == [200, 200]
    refused = served.connect()
    assert (
        refused.read_rest() == b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n" + CLOSE + b"\r\n"
    )
    assert served.server.refusals == {"overloaded": 1}
    clients[0].close()
    served.wait_until(lambda: served.server.connections == 1)
    assert served.connect(get()).read_reply().status == 200


@pytest.mark.parametrize("sent", [b"", get(), get()[:7]], ids=["new", "kept", "in a head"])
def test_draining_closes_connections_that_serve_nothing_and_takes_no_more(serve: Serve, sent: bytes) -> None:
    served = serve(echo)
    client = served.connect(sent)
    if sent == get():
        client.read_until(b"GET / ")
    served.wait_until(lambda: served.server.connections == 1)
    served.call(served.server.drain, TIMEOUT_SECONDS)
    assert served.server.connections == 0
    assert client.read_rest() == b""
    with pytest.raises(ConnectionRefusedError):
        served.connect()


@pytest.mark.parametrize("before", [b"", get()[:7]], ids=["new", "in a head"])
def test_a_request_that_comes_in_the_moment_of_draining_is_served(serve: Serve, before: bytes) -> None:
    served = serve(echo)
    client = served.connect(before)
    served.wait_until(lambda: served.server.connections == 1)
    draining = threading.Thread(target=served.call, args=(served.server.drain, TIMEOUT_SECONDS))
    draining.start()
    served.wait_until(lambda: served.server.is_stopping)
    client.send(get()[len(before) :])
    reply = client.read_reply()
    assert (reply.status, dict(reply.headers)["connection"]) == (200, "close")
    draining.join(TIMEOUT_SECONDS)
    assert served.server.connections == 0


def test_draining_waits_for_a_connection_that_the_loop_has_accepted_and_not_told_of(serve: Serve) -> None:
    app = Held()
    served = serve(app)

    async def drain_as_one_arrives() -> list[str]:
        served.connect(get("/"))
        await asyncio.sleep(0)  # now it is accepted
        assert served.server.connections == 0
        await served.server.drain(TIMEOUT_SECONDS)
        return app.ends.copy()

    assert served.call(drain_as_one_arrives) == ["answered"]
    assert served.clients[0].read_reply().status == 200


@pytest.mark.parametrize("path", ["/hold", "/hold-started"])
@pytest.mark.parametrize("behind", [b"", get("/next")], ids=["alone", "pipelining"])
def test_draining_lets_a_request_finish_and_closes_then(serve: Serve, path: str, behind: bytes) -> None:
    app = Held()
    served = serve(app)
    client = served.connect(get(path) + behind)
    assert app.is_holding.wait(TIMEOUT_SECONDS)
    draining = threading.Thread(target=served.call, args=(served.server.drain, 4 * TIMEOUT_SECONDS))
    draining.start()
    served.wait_until(lambda: served.server.is_stopping)
    served.call(app.go.set)
    answered = client.read_rest()
    assert answered.endswith(b"\r\n\r\nabc")
    client.close()  # or the server lingers, for a client that may still be sending
    assert CLOSE in answered or (path == "/hold-started" and not behind)
    draining.join(TIMEOUT_SECONDS)
    assert not draining.is_alive()
    assert served.server.connections == 0


def test_a_request_is_not_taken_while_the_server_drains(serve: Serve) -> None:
    app = Held()
    served = serve(app)
    client = served.connect(get("/hold"))
    assert app.is_holding.wait(TIMEOUT_SECONDS)
    served.call(served.server.drain, 0)
    client.send(get("/never"))
    served.call(app.go.set)
    assert client.read_rest().count(b"HTTP/1.1 200") == 1
    assert app.ends == ["answered"]


def test_draining_waits_no_longer_than_its_grace_and_stopping_cancels(serve: Serve) -> None:
    app = Held()
    served = serve(app)
    clients = [served.connect(get(path)) for path in ("/hold", "/hold-started")]
    served.wait_until(lambda: served.server.connections == 2 and app.is_holding.is_set())
    served.wait_until(lambda: served.call(lambda: all(each._serving for each in served.server._connections)))
    served.call(served.server.drain, 0.05)
    assert served.server.connections == 2
    served.call(served.server.stop)
    assert served.server.connections == 0
    assert app.ends == ["cancelled", "cancelled"]
    assert b"abc" not in b"".join(client.read_rest() for client in clients)


def test_a_request_that_its_client_has_left_is_waited_for_and_then_cancelled(serve: Serve) -> None:
    app = Held()
    served = serve(app)
    client = served.connect(get("/hold"))
    assert app.is_holding.wait(TIMEOUT_SECONDS)
    client.reset()
    (connection,) = served.server._connections
    served.wait_until(lambda: not connection.wire.is_attached)
    served.call(served.server.drain, 0.05)
    assert app.ends == []
    served.call(served.server.stop)
    assert app.ends == [ABORTED]


def test_an_application_that_does_not_heed_its_cancellation_does_not_hold_the_others(serve: Serve) -> None:
    begun, heeded = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heeded.set()
        await answer(send, b"abc")

    served = serve(app)
    client = served.connect(get())
    assert begun.wait(TIMEOUT_SECONDS)
    served.call(served.server.stop)
    assert heeded.is_set()
    client.wait_closed(TIMEOUT_SECONDS)


def test_a_mistake_at_one_deadline_leaves_the_others_in_force(serve: Serve, log: LogLines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        def fail() -> None:
            raise ValueError("a bug")

        client = find_client(scope)
        client.on_leave = fail
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while client.leave_reason is None:
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    served = serve(app, client_timeout_seconds=0.2)
    served.connect(get(), receive_bytes=4096)
    served.wait_until(lambda: "a bug" in log.text)
    assert served.connect(b"GET").read_head().startswith(b"HTTP/1.1 408")


def test_many_clients_that_come_and_go_in_every_way_leave_nothing_behind(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=0.5)
    beginnings = [
        b"",
        b"G",
        get(),
        get() + b"G",
        get() * 3,
        get("/", "Content-Length: 9", method="POST"),
        b"\0",
    ]
    for number in range(140):
        client = served.connect(beginnings[number % 7])
        (client.reset, client.finish_sending, client.close, lambda: None)[number % 4]()
    served.wait_until(lambda: served.server.connections == 0 or served.server.refusals.get("client_timeout"))
    for client in served.clients:
        client.close()
    served.wait_until(lambda: served.server.connections == 0)
    served.wait_idle()
