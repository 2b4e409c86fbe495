"""The way to the backends: everything upstream is an httpx transport, chosen here by where it leads.

A transport and not a client: nothing is added to a request, no redirect followed, no cookie kept, no proxy
variable read, no body decompressed. httpx's exceptions become ours here and nowhere else.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

import httpx

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError
from proxy.relay.bodies import BytesBody, read_ahead
from proxy.relay.direct import DirectTransport, find_length
from proxy.relay.transports import build_context

_NO_BODY = BytesBody()


class Upstream:
    """Sends requests to backends. One for each worker; `close` closes its idle connections."""

    def __init__(self, transport: httpx.AsyncBaseTransport, connect_timeout_seconds: float) -> None:
        self._transport = transport
        self._connect_timeout_seconds = connect_timeout_seconds
        self._closing: set[asyncio.Task[None]] = set()
        # Parsing a URL costs more than all else here, and there are only as many origins as routes.
        self._origin_url = lru_cache(maxsize=1024)(httpx.URL)

    async def send(
        self,
        method: str,
        origin: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: httpx.AsyncByteStream | None,
        timeout_seconds: float,
    ) -> httpx.Response:
        """Send a request and return as soon as the response head is there.

        `target` goes into the request line as it is. `timeout_seconds` bounds each wait for the backend, not
        the whole. Raises `UpstreamError` or one of its kinds, or what `body` raises.
        """
        request = httpx.Request(
            method,
            self._origin_url(origin),
            headers=headers,
            stream=_NO_BODY if body is None else await read_ahead(body, find_length(headers)),
            extensions={
                "target": target,
                "timeout": {
                    "connect": self._connect_timeout_seconds,
                    "pool": self._connect_timeout_seconds,
                    "read": timeout_seconds,
                    "write": timeout_seconds,
                },
            },
        )
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            raise translate_error(error, UpstreamInvalidError) from error

    async def release(self, response: httpx.Response, *, is_whole: bool) -> None:
        """Give a response's connection back; one that was not read to its end is closed.

        The closing goes on in a task of its own if the caller is cancelled, so that no connection leaks.
        """
        if is_whole:
            await response.aclose()
            return
        closing = asyncio.create_task(response.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def close(self) -> None:
        """Close every idle connection."""
        await self._transport.aclose()


def build_transport() -> httpx.AsyncBaseTransport:
    """Return the transport for HTTP/1.1, with certificates verified by the system's authorities."""
    return DirectTransport(build_context())


def translate_error(error: httpx.TransportError, broken: type[UpstreamError]) -> UpstreamError:
    """Return ours for an exception of httpx; `broken` is for a backend that broke off or spoke no HTTP."""
    if isinstance(error, httpx.ConnectTimeout):
        return UpstreamTimeoutError("the backend did not accept a connection in time")
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeoutError("the backend did not answer in time")
    if isinstance(error, httpx.ConnectError):
        return UpstreamError("the backend cannot be reached")
    return broken("the backend broke off or did not speak HTTP")
