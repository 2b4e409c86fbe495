"""ASGI as the relay meets it, with a `receive` that a test feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from proxy.audit.exchange import Exchange
from proxy.audit.trail import AuditPolicy, AuditTrail
from proxy.http1.request import ServedRequest
from proxy.http1.scope import EMPTY_QUERY_KEY
from proxy.policy.model import RequestHead
from proxy.relay.asgi import (
    BodyTooLargeError,
    ClientGoneError,
    ClientWatch,
    Message,
    Receive,
    RequestBody,
    find_framing,
    read_head,
)

HEAD = RequestHead("POST", b"/x", b"", [])


def feed(*messages: Message) -> tuple[Receive, Callable[[Message], None]]:
    """Return a `receive` that gives these messages and then waits, and how to feed it more."""
    queue: asyncio.Queue[Message] = asyncio.Queue()
    for message in messages:
        queue.put_nowait(message)
    return queue.get, queue.put_nowait


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def open_exchange() -> Exchange:
    return AuditTrail(None, AuditPolicy()).open(HEAD, 0)


async def read_all(body: RequestBody) -> list[bytes]:
    return [data async for data in body]


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_a_second() -> None:
        async with asyncio.timeout(1):
            await test()

    asyncio.run(within_a_second())


def test_a_head_is_read_raw() -> None:
    scope: dict[str, Any] = {
        "method": "GET",
        "raw_path": b"/a%20b",
        "path": "/a b",
        "query_string": b"q=%20",
        "headers": [(b"host", b"x")],
        "client": ("10.0.0.1", 5),
        "http_version": "1.0",
        "scheme": "https",
        "extensions": {},
    }
    head = RequestHead("GET", b"/a%20b", b"q=%20", [(b"host", b"x")], "10.0.0.1", "1.0", "https")
    assert read_head(scope) == head
    assert read_head({**scope, "client": None}).peer == ""
    assert read_head({**scope, "query_string": b"", "extensions": {EMPTY_QUERY_KEY: True}}).is_query_empty


@pytest.mark.parametrize(
    ("headers", "framing"),
    [
        ([], None),
        ([(b"content-type", b"x")], None),
        ([(b"host", b"x"), (b"content-length", b"5")], (b"content-length", b"5")),
        ([(b"content-length", b"0")], (b"content-length", b"0")),
        ([(b"transfer-encoding", b"chunked")], (b"transfer-encoding", b"chunked")),
    ],
)
def test_the_framing_is_the_header_that_announces_a_body(
    headers: list[tuple[bytes, bytes]], framing: tuple[bytes, bytes] | None
) -> None:
    assert find_framing(headers) == framing


def test_a_body_is_handed_on_piece_by_piece_and_counted() -> None:
    async def test() -> None:
        receive, _ = feed(piece(b"one"), piece(b""), piece(b"two", more=False))
        exchange = open_exchange()
        body = RequestBody(receive, exchange, 6)
        assert await read_all(body) == [b"one", b"two"]
        assert exchange.request_size == 6

    run(test)


def test_a_body_stops_at_its_limit_and_when_the_client_leaves() -> None:
    async def test() -> None:
        receive, _ = feed(piece(b"four"), piece(b"four"))
        with pytest.raises(BodyTooLargeError):
            await read_all(RequestBody(receive, open_exchange(), 7))
        receive, _ = feed(piece(b"four"), {"type": "http.disconnect"})
        with pytest.raises(ClientGoneError):
            await read_all(RequestBody(receive, open_exchange(), 7))

    run(test)


class Client:
    """A client's side of a request, as the server tells of it."""

    leave_reason: str | None = None
    on_leave: Callable[[], None] | None = None

    def leave(self) -> None:
        self.leave_reason = "client_abort"
        if self.on_leave is not None:
            self.on_leave()


def test_a_watch_cancels_its_request_when_the_client_leaves() -> None:
    async def test() -> None:
        client, watching = Client(), asyncio.Event()

        async def serve() -> str | None:
            watch = ClientWatch(cast("ServedRequest", client))
            watch.start()
            watching.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return watch.leave_reason

        task = asyncio.create_task(serve())
        await watching.wait()
        client.leave()
        assert await task == "client_abort"

    run(test)


def test_a_watch_that_is_stopped_cancels_nobody() -> None:
    async def test() -> None:
        client = Client()
        watch = ClientWatch(cast("ServedRequest", client))
        watch.start()
        watch.stop()
        client.leave()
        await asyncio.sleep(0)

    run(test)


def test_a_client_that_left_before_is_noticed_at_once() -> None:
    async def test() -> None:
        client = Client()
        client.leave()
        with pytest.raises(ClientGoneError):
            ClientWatch(cast("ServedRequest", client)).start()

    run(test)
