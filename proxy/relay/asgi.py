"""ASGI as the relay meets it: the types, a request's head, its body as a stream, and who has left.

ASGI 3.0 (https://asgi.readthedocs.io/en/latest/specs/www.html). Nothing is decoded on the way: the path is
`raw_path`, headers are pairs of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, cast

import httpx

from proxy.audit.exchange import Exchange
from proxy.http1.request import CLIENT_KEY, ServedRequest
from proxy.http1.scope import EMPTY_QUERY_KEY
from proxy.policy.model import HeaderPairs, RequestHead

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientGoneError(Exception):
    """The client has closed its connection, or its body will never come to its end."""


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
        is_query_empty=EMPTY_QUERY_KEY in scope["extensions"],
    )


def find_client(scope: Scope) -> ServedRequest:
    """Return the client's side of a request: who has left, and why."""
    return cast("ServedRequest", scope["extensions"][CLIENT_KEY])


def find_framing(headers: HeaderPairs) -> tuple[bytes, bytes] | None:
    """Return the header that frames the body (RFC 9112 section 6), or None if no body is announced."""
    for pair in headers:
        if pair[0] in (b"content-length", b"transfer-encoding"):
            return pair
    return None


class RequestBody(httpx.AsyncByteStream):
    """The client's body, handed on piece by piece as it comes; at most one piece is held at a time."""

    def __init__(self, receive: Receive, exchange: Exchange, bytes_max: int) -> None:
        self._receive = receive
        self._exchange = exchange
        self._bytes_max = bytes_max

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


class ClientWatch:
    """Cancels the task that serves a request when its client leaves."""

    __slots__ = ("_client", "_serving")

    def __init__(self, client: ServedRequest) -> None:
        self._client = client
        self._serving: asyncio.Task[object] | None = None

    @property
    def leave_reason(self) -> str | None:
        """Return why the client is gone or given up, as the audit row has it, or None."""
        return self._client.leave_reason

    def start(self, *, drains: bool = False) -> None:
        """Begin to watch for the current task. Raises `ClientGoneError` if the client has left already.

        With `drains` nothing is cancelled: what a client does not wait for is read to its end all the same.
        """
        if self._client.leave_reason is not None:
            raise ClientGoneError
        self._serving = asyncio.current_task()
        self._client.on_leave = None if drains else self._cancel

    def stop(self) -> None:
        """Watch no longer."""
        self._client.on_leave = None

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
