"""Clients that are too slow: with what they send, with what they take, and with their next request."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from proxy.http1.request import TIMED_OUT, TOO_SLOW
from tests.proxy.http1.conftest import Serve, answer, echo, find_client, get, post, read_body
from tests.proxy.relay.conftest import TIMEOUT_SECONDS

SHORT_SECONDS = 0.2
LONG_SECONDS = 100.0


def test_a_head_that_does_not_come_to_its_end_is_a_408_however_often_a_byte_comes(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=SHORT_SECONDS)
    client = served.connect(b"GET / HTTP/1.1\r\nX: ")
    begun = time.monotonic()
    while not served.server.refusals:
        assert time.monotonic() < begun + TIMEOUT_SECONDS
        client.send(b"a")
        time.sleep(0.02)
    assert client.read_head().startswith(b"HTTP/1.1 408")
    assert client.read_rest() == b""
    assert served.server.refusals == {TIMED_OUT: 1}


def test_a_client_that_sends_nothing_or_empty_lines_is_closed_without_a_word(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=SHORT_SECONDS)
    for data in (b"", b"\r\n\r\n"):
        assert served.connect(data).read_rest() == b""


def test_an_idle_connection_is_closed_when_its_time_is_over(serve: Serve) -> None:
    served = serve(echo, keep_alive_seconds=SHORT_SECONDS)
    client = served.connect(get())
    assert client.read_reply().status == 200
    assert client.read_rest() == b""


def test_a_head_that_began_behind_another_request_has_no_more_time_than_any(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=LONG_SECONDS)
    client = served.connect(get() + b"GET / HT")
    assert client.read_until(b"GET / ").startswith(b"HTTP/1.1 200")
    assert client.read_head().startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("begin", [b"", b"abc"])
def test_a_body_that_stops_is_told_and_its_answer_can_be_read(serve: Serve, begin: bytes) -> None:
    reasons: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] == "http.request":
            pass
        reasons.append(find_client(scope).leave_reason)
        await answer(send, b"too late", 408)

    served = serve(app, client_timeout_seconds=SHORT_SECONDS)
    client = served.connect(get("/", "Content-Length: 9", method="POST") + begin)
    head = client.read_head()
    assert head.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in head
    assert client.read_rest() == b"too late"
    assert reasons == [TIMED_OUT]


def test_a_body_that_comes_slowly_and_an_application_that_thinks_long_have_their_time(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        await asyncio.sleep(1.6)
        await answer(send, body)

    # Each piece comes long before the time-out, and all of them together come long after it.
    served = serve(app, client_timeout_seconds=1.5)
    client = served.connect(get("/", "Content-Length: 20", method="POST"))
    for _ in range(20):
        client.send(b"x")
        time.sleep(0.1)
    assert client.read_reply().body == b"x" * 20


def test_a_client_that_takes_nothing_of_a_stream_is_given_up_once(serve: Serve) -> None:
    reasons: list[str | None] = []
    is_over = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client = find_client(scope)
        client.on_leave = lambda: reasons.append(client.leave_reason)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while client.leave_reason is None:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        is_over.set()

    served = serve(app, client_timeout_seconds=SHORT_SECONDS)
    client = served.connect(get(), receive_bytes=4096)
    assert is_over.wait(TIMEOUT_SECONDS)
    served.wait_until(lambda: served.server.connections == 0)
    assert reasons == [TOO_SLOW]
    assert not client.read_rest().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
def test_a_client_that_takes_its_response_slowly_gets_all_of_it(serve: Serve, header: str) -> None:
    size = 8_000_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * size)

    served = serve(app, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=SHORT_SECONDS)
    client = served.connect(get("/", header), receive_bytes=65536)
    client.read_head()
    for _ in range(20):
        assert len(client.read_exactly(size // 20)) == size // 20
        time.sleep(SHORT_SECONDS / 2)
    assert client.read_rest() == b""


@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
def test_a_client_that_stops_taking_its_response_is_given_up_though_the_request_is_over(
    serve: Serve, header: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 20_000_000)

    served = serve(app, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=LONG_SECONDS)
    served.connect(get("/", header), receive_bytes=4096)
    served.wait_until(lambda: served.server.connections == 1)
    served.wait_until(lambda: served.server.connections == 0)
    served.wait_idle()


def test_deadlines_of_one_request_do_not_reach_the_next(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=LONG_SECONDS)
    client = served.connect(get("/", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    client.read_head()
    client.send(b"abc")
    assert client.read_until(b"POST / abc").startswith(b"HTTP/1.1 200")
    time.sleep(4 * SHORT_SECONDS)
    client.send(post(b"next"))
    assert client.read_until(b"POST / next").startswith(b"HTTP/1.1 200")
