"""ASGI as the relay meets it, with a `receive` that a test feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from proxy.audit.exchange import AuditPolicy, AuditTrail, Exchange
from proxy.policy.model import RequestHead
from proxy.relay import asgi
from proxy.relay.asgi import (
    BodyTooLargeError,
    ClientGoneError,
    ClientWatch,
    Incoming,
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
    }
    head = RequestHead("GET", b"/a%20b", b"q=%20", [(b"host", b"x")], "10.0.0.1", "1.0", "https")
    assert read_head(scope) == head
    assert read_head({**scope, "client": None}).peer == ""


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
        exchange, completed = open_exchange(), []
        body = RequestBody(receive, exchange, 6, lambda: completed.append(True))
        assert await read_all(body) == [b"one", b"two"]
        assert (exchange.request_size, completed) == (6, [True])

    run(test)


def test_a_body_stops_at_its_limit_and_when_the_client_leaves() -> None:
    async def test() -> None:
        receive, _ = feed(piece(b"four"), piece(b"four"))
        with pytest.raises(BodyTooLargeError):
            await read_all(RequestBody(receive, open_exchange(), 7, lambda: None))
        receive, _ = feed(piece(b"four"), {"type": "http.disconnect"})
        completed: list[bool] = []
        with pytest.raises(ClientGoneError):
            await read_all(RequestBody(receive, open_exchange(), 7, lambda: completed.append(True)))
        assert not completed

    run(test)


def test_a_watch_cancels_its_request_when_the_client_leaves() -> None:
    async def test() -> None:
        receive, put = feed(piece(b"", more=False))

        async def serve() -> bool:
            watch = ClientWatch(receive)
            watch.start()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return watch.client_is_gone

        task = asyncio.create_task(serve())
        put({"type": "http.disconnect"})
        assert await task

    run(test)


@pytest.mark.parametrize("after_begin", [False, True])
def test_a_watch_that_is_stopped_cancels_nobody(after_begin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "WATCH_DELAY_SECONDS", 0.0)

    async def test() -> None:
        feeding, put = feed()
        reading = asyncio.Event()

        async def receive() -> Message:
            reading.set()
            return await feeding()

        watch = ClientWatch(receive)
        watch.start()
        watch.start()
        if after_begin:
            await reading.wait()
        watch.stop()
        put({"type": "http.disconnect"})
        await asyncio.sleep(0.01)
        assert not watch.client_is_gone

    run(test)


def test_what_is_left_of_a_body_is_read_to_its_end() -> None:
    async def test() -> None:
        receive, put = feed(piece(b"1"), piece(b"2"))
        incoming = Incoming(receive, has_body=True)
        assert not incoming.is_read
        asyncio.get_running_loop().call_soon(put, piece(b"", more=False))
        await incoming.linger()
        assert incoming.is_read

    run(test)


def test_lingering_ends_when_the_client_leaves() -> None:
    async def test() -> None:
        receive, _ = feed(piece(b"1"), {"type": "http.disconnect"})
        incoming = Incoming(receive, has_body=True)
        await incoming.linger()
        assert incoming.is_read

    run(test)


def test_lingering_is_bounded_and_then_the_rest_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "LINGER_SECONDS_MAX", 0.01)

    async def test() -> None:
        # As a server does, with a queue that holds one message: it cannot go on unless somebody reads.
        queue: asyncio.Queue[Message] = asyncio.Queue(1)
        before = asyncio.all_tasks()
        incoming = Incoming(queue.get, has_body=True)
        await incoming.linger()
        assert not incoming.is_read
        for _ in range(5):
            await queue.put(piece(b"more"))
        await queue.put({"type": "http.disconnect"})
        await asyncio.gather(*(asyncio.all_tasks() - before))

    run(test)


def test_a_request_without_a_body_has_nothing_to_read() -> None:
    async def test() -> None:
        receive, _ = feed()
        incoming = Incoming(receive, has_body=False)
        assert incoming.is_read

    run(test)
