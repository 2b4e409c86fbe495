"""Responses, framed byte for byte, and the mistakes that an application can make with them."""

from __future__ import annotations

from http.client import IncompleteRead
from typing import Any

import pytest

from tests.proxy.http1.conftest import App, LogLines, Serve, get
from tests.proxy.relay.conftest import TIMEOUT_SECONDS


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def sends(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


LENGTH = (b"content-length", b"3")


@pytest.mark.parametrize(
    ("request_", "messages", "response"),
    [
        (
            get(),
            [start(200, LENGTH), part(b"a"), part(b"bc", more=False)],
            b"200 OK\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            get(),
            [start(), part(b"a"), part(b""), part(b"b" * 17), part(b"", more=False)],
            b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n11\r\n" + b"b" * 17 + b"\r\n0\r\n\r\n",
        ),
        (
            get(),
            [start(), part(b"a", more=False)],
            b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
        (get(method="HEAD"), [start(), part(b"a", more=False)], b"200 OK\r\n\r\n"),
        (
            get(method="HEAD"),
            [start(200, LENGTH), part(b"", more=False)],
            b"200 OK\r\ncontent-length: 3\r\n\r\n",
        ),
        (get(), [start(204), part(b"abc", more=False)], b"204 No Content\r\n\r\n"),
        (
            get(),
            [start(304, LENGTH), part(b"", more=False)],
            b"304 Not Modified\r\ncontent-length: 3\r\n\r\n",
        ),
        (
            get("/", "Connection: keep-alive", version="1.0"),
            [start(200, LENGTH), part(b"abc", more=False)],
            b"200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
        ),
    ],
    ids=["counted", "chunked", "one chunk", "HEAD", "HEAD counted", "204", "304", "1.0"],
)
def test_a_response_is_framed_byte_for_byte_and_the_connection_is_kept(
    serve: Serve, request_: bytes, messages: list[dict[str, Any]], response: bytes
) -> None:
    client = serve(sends(*messages)).connect(request_)
    for _ in range(2):
        assert client.read_exactly(len(response) + 9) == b"HTTP/1.1 " + response
        client.send(request_)


@pytest.mark.parametrize("header", ["", "Connection: keep-alive"])
def test_a_body_of_no_known_length_ends_with_the_connection_of_a_client_of_1_0(
    serve: Serve, header: str
) -> None:
    client = serve(sends(start(), part(b"a"), part(b"b", more=False))).connect(
        get("/", header, version="1.0")
    )
    assert client.read_rest() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"


@pytest.mark.parametrize(
    "messages",
    [
        [start(200, LENGTH), part(b"a", more=False)],
        [start(200, LENGTH), part(b"a")],
        [start(200, LENGTH)],
        [start(), part(b"a")],
        [start()],
    ],
    ids=["ended short", "left short", "left empty", "left in chunks", "left without a chunk"],
)
def test_a_response_that_is_not_whole_is_a_broken_transfer(
    serve: Serve, messages: list[dict[str, Any]]
) -> None:
    client = serve(sends(*messages)).connect(get())
    with pytest.raises((IncompleteRead, ConnectionResetError)):
        client.read_reply()


def test_a_response_longer_than_it_says_is_broken_off_at_its_length(serve: Serve, log: LogLines) -> None:
    client = serve(sends(start(200, LENGTH), part(b"ab"), part(b"cdEVIL"))).connect(get())
    assert b"EVIL" not in client.read_rest()
    assert "longer than its Content-Length" in log.text


@pytest.mark.parametrize(
    "bad",
    [
        start(200, (b"x", b"a\r\nset-cookie: b")),
        start(200, (b"content-length", b"x")),
        {"type": "websocket.send"},
    ],
)
def test_a_message_that_cannot_be_sent_is_a_mistake_that_costs_a_500(
    serve: Serve, log: LogLines, bad: dict[str, Any]
) -> None:
    client = serve(sends(bad)).connect(get())
    assert (
        client.read_rest()
        == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    assert "the application failed" in log.text


@pytest.mark.parametrize(
    "order", [[part(b"a")], [start(), start()], [start(), part(b"", more=False), part(b"a")]]
)
def test_messages_out_of_order_are_mistakes(serve: Serve, order: list[dict[str, Any]]) -> None:
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sends(*order)(scope, receive, send)
        except RuntimeError as error:
            raised.append(error)

    serve(app).connect(get("/", "Connection: close")).wait_closed(TIMEOUT_SECONDS)
    assert len(raised) == 1
