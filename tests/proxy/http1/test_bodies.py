"""Bodies as an application meets them, when they are asked for, and a client that leaves: once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from proxy.http1.limits import QUEUED_BODY_BYTES_MAX
from proxy.http1.request import ABORTED, BAD_BODY
from tests.proxy.http1.conftest import Serve, answer, echo, find_client, get, post
from tests.proxy.http1.test_request import part, start
from tests.proxy.relay.conftest import TIMEOUT_SECONDS

CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("size", [0, 1, QUEUED_BODY_BYTES_MAX, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_any_size_arrives_whole(serve: Serve, size: int, is_chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    client = serve(echo).connect()
    for _ in range(2):
        if is_chunked:
            client.send(get("/", CHUNKED, method="POST"))
            for at in range(0, size, 100_000):
                client.send_chunk(body[at : at + 100_000])
            client.send(b"0\r\n\r\n")
        else:
            client.send(post(body))
        assert client.read_reply().body == b"POST / " + body


def test_a_body_is_handed_on_piece_by_piece_as_it_comes(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send(part(message["body"]))
        await send(part(b"", more=False))

    client = serve(app).connect(get("/", CHUNKED, method="POST"))
    client.read_head()
    for data in (b"one", b"two"):
        client.send_chunk(data)
        assert client.read_until(data) == b"3\r\n" + data
        client.read_until(b"\r\n")
    client.send(b"0\r\n\r\n")
    assert client.read_rest() == b"0\r\n\r\n"


def test_100_is_sent_when_the_body_is_wanted_and_only_once(serve: Serve) -> None:
    client = serve(echo).connect(get("/", "Expect: 100-continue", "Content-Length: 6", method="POST"))
    assert client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    client.send(b"def")
    assert client.read_head().startswith(b"HTTP/1.1 200")
    assert client.read_exactly(13) == b"POST / abcdef"
    client.send(get())
    assert client.read_reply().status == 200


@pytest.mark.parametrize(
    ("path", "version", "begin", "status"),
    [("/?unread", "1.1", b"", b"200"), ("/", "1.0", b"abc", b"200"), ("/", "1.1", b"abc", b"200")],
    ids=["unwanted", "a client of 1.0", "a body that comes unasked"],
)
def test_100_is_not_sent_where_nobody_waits_for_it(
    serve: Serve, path: str, version: str, begin: bytes, status: bytes
) -> None:
    head = get(path, "Expect: 100-continue", "Content-Length: 3", method="POST", version=version)
    client = serve(echo).connect(head + begin)
    answer_head = client.read_head()
    assert answer_head.startswith(b"HTTP/1.1 " + status)
    if path == "/?unread":  # whether the body will come is not known, so nothing can follow it
        assert b"connection: close" in answer_head
        client.wait_closed(TIMEOUT_SECONDS)


def test_receive_tells_the_end_of_the_body_then_waits_until_the_client_leaves(serve: Serve) -> None:
    messages: list[Any] = []
    is_waiting, is_told = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        messages.extend(
            [await receive(), await receive()] if scope["method"] == "POST" else [await receive()]
        )
        is_waiting.set()
        messages.append(await receive())
        is_told.set()

    served = serve(app)
    client = served.connect(get(method="GET"))
    assert is_waiting.wait(TIMEOUT_SECONDS)
    client.reset()
    assert is_told.wait(TIMEOUT_SECONDS)
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]
    assert not messages[0]["more_body"]


@pytest.mark.parametrize("ending", [b"zz\r\n", b"RST", b"FIN"])
def test_a_body_that_breaks_is_told_with_its_reason(serve: Serve, ending: bytes) -> None:
    reasons: list[str | None] = []
    is_over = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"abc"
        assert (await receive())["type"] == "http.disconnect"
        reasons.append(find_client(scope).leave_reason)
        await answer(send, b"", 400)
        is_over.set()

    client = serve(app).connect(get("/", CHUNKED, method="POST"))
    client.send_chunk(b"abc")
    if ending == b"zz\r\n":
        client.send(ending)
        assert client.read_reply().status == 400
        client.wait_closed(TIMEOUT_SECONDS)
    elif ending == b"RST":
        client.reset()
    else:
        client.finish_sending()
    assert is_over.wait(TIMEOUT_SECONDS)
    assert reasons == [BAD_BODY if ending == b"zz\r\n" else ABORTED]


def test_a_client_that_leaves_is_told_once_and_never_after_its_response(serve: Serve) -> None:
    calls: list[str] = []
    is_serving = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        find_client(scope).on_leave = lambda: calls.append(scope["path"])
        if scope["path"] == "/wait":
            is_serving.set()
            await receive()
            await receive()
        await answer(send)

    served = serve(app)
    client = served.connect(get("/whole"))
    assert client.read_reply().status == 200
    client.send(get("/wait"))
    assert is_serving.wait(TIMEOUT_SECONDS)
    client.reset()
    served.wait_until(lambda: served.server.connections == 0)
    assert calls == ["/wait"]


def test_a_wait_for_the_body_that_is_given_up_does_not_time_out(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await asyncio.sleep(0.6)  # longer than the client may take
        await answer(send, str(find_client(scope).leave_reason).encode())

    client = serve(app, client_timeout_seconds=0.1).connect(get("/", "Content-Length: 3", method="POST"))
    assert client.read_reply().body == b"None"
