"""`ExclusiveTransport`: HTTP/2, and everything through an egress proxy, over httpx's own transport.

Each of httpx's transports serves one exchange at a time here, with one connection. httpx never resets a
stream of HTTP/2: a backend would go on working for a client that has left, and what it still sends would use
up the window of all others. So a connection is used again only after an exchange that was read to its end;
otherwise it is closed, which every backend understands. Nothing is multiplexed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

from proxy.relay.answers import HEAD_BYTES_MAX, check_size, is_framed
from proxy.relay.direct import split_origin
from proxy.relay.pool import IdlePool, Origin


class ExclusiveTransport(httpx.AsyncBaseTransport):
    """Sends each request over an idle connection to its origin, or a new one that `build` makes."""

    def __init__(self, build: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._build = build
        self._pool: IdlePool[HttpxConnection] = IdlePool()
        self._closing: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request as `DirectTransport` does, with the same extensions."""
        origin = request.extensions.get("origin") or split_origin(request.url)
        idle = None if request.extensions.get("fresh") else self._pool.take(origin)
        connection = idle or HttpxConnection(self._build(), self._closing)
        # The `target` extension would replace the target of CONNECT too, and lose the host for a proxy.
        request.url = TargetURL(request.url, request.extensions.pop("target"))
        try:
            response = await connection.transport.handle_async_request(request)
            _check_head(response)
        except BaseException:
            connection.close()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        connection.network = response.extensions.get("network_stream")
        response.stream = ExclusiveBody(self, origin, connection, response.stream)
        return response

    def release(self, origin: Origin, connection: HttpxConnection) -> None:
        """Keep a connection for the next request to its origin, or close it if it may not be used again."""
        self._pool.put(origin, connection)

    async def aclose(self) -> None:
        """Close every idle connection, and wait for those that are being closed."""
        self._pool.close()
        await asyncio.gather(*self._closing, return_exceptions=True)


class Network(Protocol):
    """httpcore's `network_stream`, as far as it is needed here."""

    def get_extra_info(self, info: str) -> object:
        """Return what is known of the connection by that name."""


class HttpxConnection:
    """One of httpx's transports. `closing` holds the tasks that close one, so that none is lost.

    `network` is its connection, as httpcore tells with an answer.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, closing: set[asyncio.Task[None]]) -> None:
        self.transport = transport
        self.is_closed = False
        self.is_clean = False
        self.idle_since = 0.0
        self.network: Network | None = None
        self._closing = closing

    def is_reusable(self) -> bool:
        """Tell whether the last exchange has been read to its end."""
        return self.is_clean and not self.is_closed

    def has_input(self) -> bool:
        """Ask the system whether the socket can be read: httpx does so for HTTP/1.1, and not for HTTP/2.

        It may be a frame that changes nothing, and most often it is the end.
        """
        return self.network is not None and bool(self.network.get_extra_info("is_readable"))

    def close(self) -> None:
        """Close in a task of its own: whoever leaves an exchange may be cancelled himself."""
        if not self.is_closed:
            self.is_closed = True
            task = asyncio.create_task(self.transport.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class ExclusiveBody(httpx.AsyncByteStream):
    """The body of a response; closing it gives the connection back."""

    def __init__(
        self,
        owner: ExclusiveTransport,
        origin: Origin,
        connection: HttpxConnection,
        stream: httpx.AsyncByteStream,
    ) -> None:
        self._owner = owner
        self._origin = origin
        self._connection: HttpxConnection | None = connection
        self._stream = stream
        connection.is_clean = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            if chunk:  # a frame of HTTP/2 that only ends the stream is no piece of it
                yield chunk
        if self._connection is not None:
            self._connection.is_clean = True

    async def aclose(self) -> None:
        """Give the connection back, once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if connection.is_clean:
                await self._stream.aclose()
        finally:
            self._owner.release(self._origin, connection)


class TargetURL(httpx.URL):
    """A URL whose path and query go into the request line as they are: httpx would normalise them."""

    def __init__(self, url: httpx.URL, target: bytes) -> None:
        super().__init__(url)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        """Return the raw request target."""
        return self._target


def _check_head(response: httpx.Response) -> None:
    headers = response.headers.raw
    check_size(headers, HEAD_BYTES_MAX + 1)
    if not 200 <= response.status_code <= 599:
        raise httpx.RemoteProtocolError("the status is none")
    version = response.extensions.get("http_version", b"HTTP/1.1")
    if version != b"HTTP/2":
        is_framed(headers, version.decode("latin-1").removeprefix("HTTP/"))
