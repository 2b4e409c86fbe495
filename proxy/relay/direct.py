"""`DirectTransport`: HTTP/1.1 to backends over our own connections, as an httpx transport.

httpx's own transport costs about twice as much CPU, and reads what a backend sends after an answer as the
answer to the next request. This one keeps idle connections (pool.py) and never one that is not known to be
clean.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import httpx

from proxy.errors import NoFilesError
from proxy.policy.model import HeaderPairs
from proxy.relay.bodies import READ_AHEAD_BYTES_MAX, BytesBody
from proxy.relay.connection import READ_BYTES_MAX, BackendConnection
from proxy.relay.pool import IdlePool, Origin

# The `trace` extension of httpcore: called with the name of an event and what there is to know of it.
Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE))


class StaleConnectionError(httpx.RemoteProtocolError):
    """A connection that had been idle ended without one byte of an answer.

    The backend has most likely closed it before the request came; that it has not seen it is not sure.
    """


class DirectTransport(httpx.AsyncBaseTransport):
    """Sends each request over an idle connection to its origin, or a new one. Follows and adds nothing."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._pool: IdlePool[BackendConnection] = IdlePool()
        self._buffer = memoryview(bytearray(READ_BYTES_MAX))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response as soon as the head of it has come.

        `extensions` hold `target`, the raw request target; `timeout`, in seconds; and, if wanted, `origin`,
        which spares taking the URL apart, `fresh`, to use no idle connection, and `trace`, which is told of
        a new one as httpcore tells it. Raises httpx's exceptions (`StaleConnectionError` among them) or what
        the body raises; the connection is then closed.
        """
        extensions = request.extensions
        timeouts = extensions["timeout"]
        origin = extensions.get("origin") or split_origin(request.url)
        idle = None if extensions.get("fresh") else self._pool.take(origin)
        connection = idle or await self._connect(origin, timeouts["connect"], extensions.get("trace"))
        try:
            await _send_request(connection, request, timeouts)
            await connection.wait_for_head(timeouts["read"])
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            connection.close()
            if idle is not None and connection.is_untouched():
                raise StaleConnectionError("an idle connection had ended") from error
            raise
        except BaseException:
            connection.close()
            raise
        stream = ResponseBody(self, origin, connection, timeouts["read"])
        return httpx.Response(connection.status, headers=connection.headers, stream=stream)

    def release(self, origin: Origin, connection: BackendConnection) -> None:
        """Keep a connection for the next request to its origin, or close it if it may not be used again."""
        self._pool.put(origin, connection)

    async def aclose(self) -> None:
        """Close every idle connection."""
        self._pool.close()

    async def _connect(
        self, origin: Origin, timeout_seconds: float, trace: Trace | None
    ) -> BackendConnection:
        try:
            return await self._open(origin, timeout_seconds, trace)
        except NoFilesError:
            # Idle connections to other backends may have them. What is closed, also by a request beside this
            # one, is given back in the loop's next round.
            self._pool.clear()
            await asyncio.sleep(0)
            return await self._open(origin, timeout_seconds, trace)

    async def _open(self, origin: Origin, timeout_seconds: float, trace: Trace | None) -> BackendConnection:
        scheme, host, port = origin
        context = self._context if scheme == "https" else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_seconds):
                if trace is not None:
                    await trace("connection.connect_tcp.started", {})
                transport, connection = await loop.create_connection(
                    lambda: BackendConnection(self._buffer), host, port, ssl=context
                )
                if trace is not None:
                    await trace("connection.connect_tcp.complete", {"return_value": transport})
        except TimeoutError as error:
            raise httpx.ConnectTimeout("the backend did not accept a connection in time") from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
            if isinstance(error, OSError) and error.errno in _NO_FILES:
                raise NoFilesError("no file is left for a connection", hint="raise 'ulimit -n'") from error
            raise httpx.ConnectError(str(error)) from error
        return connection


class ResponseBody(httpx.AsyncByteStream):
    """The body of a response, piece by piece as it comes; closing it gives the connection back."""

    def __init__(
        self,
        transport: DirectTransport,
        origin: Origin,
        connection: BackendConnection,
        timeout_seconds: float,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection: BackendConnection | None = connection
        self._timeout_seconds = timeout_seconds

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._connection is None:
            raise StopAsyncIteration
        chunk = await self._connection.read_chunk(self._timeout_seconds)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Give the connection back, once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.release(self._origin, connection)


def split_origin(url: httpx.URL) -> Origin:
    """Return what a connection leads to."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def find_length(headers: HeaderPairs) -> int | None:
    """Return the length of the body in bytes, 0 if there is none, or None if it is sent in chunks."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":
            return None
    return 0


async def _send_request(
    connection: BackendConnection, request: httpx.Request, timeouts: Mapping[str, float]
) -> None:
    headers = request.headers.raw
    head, body = _build_head(request, headers), request.stream
    if isinstance(body, BytesBody) and len(body.data) <= READ_AHEAD_BYTES_MAX:
        # One write, hence one packet for most requests.
        connection.send_head(request.method, head + body.data)
        return
    length = find_length(headers)
    connection.send_head(request.method, head)
    if length == 0:
        # There is nothing to send, but the body may have something to do at its end.
        async for _ in _body_of(request):
            pass
    else:
        await _send_beside(connection, request, timeouts["write"], is_chunked=length is None)


async def _send_beside(
    connection: BackendConnection, request: httpx.Request, timeout_seconds: float, *, is_chunked: bool
) -> None:
    """Send a body while looking out for an answer, which may come before the end of it."""
    sending = asyncio.create_task(_send_body(connection, request, timeout_seconds, is_chunked=is_chunked))
    answering = asyncio.create_task(connection.wait_for_head(None))
    try:
        await asyncio.wait((sending, answering), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            connection.forbid_reuse()
            answering.result()
        else:
            sending.result()
    finally:
        sending.cancel()
        answering.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _send_body(
    connection: BackendConnection, request: httpx.Request, timeout_seconds: float, *, is_chunked: bool
) -> None:
    async for piece in _body_of(request):
        framed = b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece
        await connection.send_body(framed, timeout_seconds)
    if is_chunked:
        await connection.send_body(b"0\r\n\r\n", timeout_seconds)


def _body_of(request: httpx.Request) -> AsyncIterable[bytes]:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    return request.stream


def _build_head(request: httpx.Request, headers: HeaderPairs) -> bytes:
    target = cast("bytes", request.extensions["target"])
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), target)]
    lines += [b"%s: %s" % pair for pair in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
