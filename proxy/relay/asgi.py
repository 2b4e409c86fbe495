"""ASGI as the relay meets it: the types, a request's head, its body as a stream, and who has left.

ASGI 3.0 (https://asgi.readthedocs.io/en/latest/specs/www.html). Nothing is decoded on the way: the path is
`raw_path`, headers are pairs of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import httpx

from proxy.audit.exchange import Exchange
from proxy.policy.model import HeaderPairs, RequestHead

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

WATCH_DELAY_SECONDS = 0.05
LINGER_SECONDS_MAX = 5.0


class ClientGoneError(Exception):
    """The client has closed its connection."""


class BodyTooLargeError(Exception):
    """The request body has grown over `proxy.max_body_size`."""


def read_head(scope: Scope) -> RequestHead:
    """Return the head of the request that an ASGI scope describes."""
    client = scope.get("client")
    return RequestHead(
        method=scope["method"],
        path=scope["raw_path"],
        query=scope["query_string"],
        headers=scope["headers"],
        peer=client[0] if client else "",
        http_version=scope["http_version"],
        scheme=scope["scheme"],
    )


def find_framing(headers: HeaderPairs) -> tuple[bytes, bytes] | None:
    """Return the header that frames the body (RFC 9112 section 6), or None if no body is announced."""
    for pair in headers:
        if pair[0] in (b"content-length", b"transfer-encoding"):
            return pair
    return None


class Incoming:
    """A request's messages, called as `receive` is, and whether its body has been read to the end.

    A body that nobody wants has to be read all the same: the server cannot even report the end of an exchange
    while pieces of its body wait, and closing a connection on unread bytes takes the answer from the client.
    """

    __slots__ = ("_discarding", "_receive", "is_read")

    def __init__(self, receive: Receive, *, has_body: bool) -> None:
        self.is_read = not has_body
        self._receive = receive
        self._discarding: asyncio.Task[None] | None = None

    async def __call__(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self.is_read = True
        return message

    def discard(self) -> None:
        """From now on, throw away what is still to come; until the server reports the end of the exchange."""
        if self._discarding is None:
            self._discarding = asyncio.create_task(self._discard())

    async def linger(self) -> None:
        """Throw away what is still to come; return when it has come, or after `LINGER_SECONDS_MAX`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS_MAX):
                while not self.is_read:
                    await self()
        if not self.is_read:
            self.discard()

    async def _discard(self) -> None:
        while (await self())["type"] != "http.disconnect":
            pass


class RequestBody(httpx.AsyncByteStream):
    """The client's body, handed on piece by piece as it comes; at most one piece is held at a time."""

    def __init__(
        self, receive: Receive, exchange: Exchange, bytes_max: int, on_complete: Callable[[], None]
    ) -> None:
        self._receive = receive
        self._exchange = exchange
        self._bytes_max = bytes_max
        self._on_complete = on_complete

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            more = message.get("more_body", False)
            if data := message.get("body", b""):
                self._exchange.take_request_bytes(data)
                if self._exchange.request_size > self._bytes_max:
                    raise BodyTooLargeError
                yield data
        self._on_complete()


class ClientWatch:
    """Cancels the task that serves a request when its client leaves.

    It reads from `receive`, so it is started only once nobody reads the body any more, and it has to be
    stopped before the response is finished: a server reports a finished exchange as a disconnect too. It
    begins to read only after a moment: many plain requests are over by then, and do without a task for it.
    """

    def __init__(self, receive: Receive) -> None:
        self.client_is_gone = False
        self._receive = receive
        self._serving = asyncio.current_task()
        self._delayed: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, `WATCH_DELAY_SECONDS` from now. Later calls change nothing."""
        if self._delayed is None:
            self._delayed = asyncio.get_running_loop().call_later(WATCH_DELAY_SECONDS, self._begin)

    def stop(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()
        elif self._delayed is not None:
            self._delayed.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_is_gone = True
        if self._serving is not None:
            self._serving.cancel()
