"""One HTTP/1.1 connection to a backend (RFC 9112): bytes in and out, one exchange at a time.

It owns the parser and the socket's transport, and is strict: an answer that can be read in two ways, a head
that does not end, or bytes that nobody asked for end the connection, so that no exchange ever sees bytes of
another. A connection is used again only after an answer that was whole and left nothing behind.

llhttp refuses most of what is malformed by itself; what it lets pass is refused in `on_headers_complete`,
with the rules of answers.py. Interim answers (1xx) and trailers are read over and go nowhere.

Exceptions are httpx's, as for every transport.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import cast

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.relay.answers import HEAD_BYTES_MAX, InvalidAnswerError, check_size, is_framed

INTERIM_ANSWERS_MAX = 16
# A stream that its client does not read holds about as much as these together.
READ_BYTES_MAX = 64 * 1024
READ_AHEAD_BYTES_MAX = 32 * 1024
_CLOSED = "the backend closed the connection"


class BackendConnection(asyncio.BufferedProtocol):
    """A connection, open until it is closed by either side. The names `on_...` are httptools'.

    `buffer` is where bytes are read into, and may be that of many connections: they are taken out at once.
    """

    def __init__(self, buffer: memoryview | None = None) -> None:
        self._buffer = memoryview(bytearray(READ_BYTES_MAX)) if buffer is None else buffer
        self.is_closed = False
        self.idle_since = 0.0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._queued_bytes = 0
        self._overhead_bytes = 0  # since the last piece of a body
        self._interim_answers = 0
        self._error: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_paused = False
        self._is_expecting = False
        self._has_head = False
        self._is_complete = True
        self._ends_with_connection = False
        self._may_be_reused = True
        self._is_head_request = False

    # What the relay does with it.

    def send_head(self, method: str, head: bytes) -> None:
        """Begin an exchange: write a request's head, or all of a small request.

        What is missing of the body follows with `send_body`.
        """
        # A parser of its own for each answer: what one leaves behind cannot become part of the next.
        self._parser = HttpResponseParser(self)
        self.status, self.headers = 0, []
        self._overhead_bytes = self._interim_answers = 0
        self._is_expecting, self._has_head, self._is_complete = True, False, False
        self._ends_with_connection, self._may_be_reused = True, True
        self._is_head_request = method == "HEAD"
        self._write(head)

    async def send_body(self, data: bytes, timeout_seconds: float) -> None:
        """Write a piece of the body, once the backend takes more."""
        self._write(data)
        if self._writable is not None:
            await self._wait(self._writable, timeout_seconds, httpx.WriteTimeout("the backend takes no more"))

    async def wait_for_head(self, timeout_seconds: float | None) -> None:
        """Return when `status` and `headers` are there; interim answers (1xx) are passed over.

        None waits without end: for the time while a body is still being sent.
        """
        while not self._has_head:
            await self._wait_for_bytes(timeout_seconds)

    async def read_chunk(self, timeout_seconds: float) -> bytes | None:
        """Return the next piece of the body as it came, or None at its end."""
        while not self._chunks:
            if self._is_complete:
                return None
            await self._wait_for_bytes(timeout_seconds)
        chunk = self._chunks.popleft()
        self._queued_bytes -= len(chunk)
        if self._is_paused and self._queued_bytes < READ_AHEAD_BYTES_MAX:
            self._resume_reading()
        return chunk

    def is_reusable(self) -> bool:
        """Tell whether the exchange is over and the next one may begin."""
        return self._is_complete and self._may_be_reused and not self.is_closed and not self._chunks

    def is_untouched(self) -> bool:
        """Tell whether not one byte of an answer has come in this exchange."""
        return not self._has_head and self._overhead_bytes == 0

    def has_input(self) -> bool:
        """Ask the system whether the socket can be read: while idle, an end that nobody has seen yet."""
        if self._transport is None:
            return False
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def forbid_reuse(self) -> None:
        """Have the connection closed after this exchange."""
        self._may_be_reused = False

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    async def _wait_for_bytes(self, timeout_seconds: float | None) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._wait(self._waiter, timeout_seconds, httpx.ReadTimeout("the backend is silent"))
        finally:
            self._waiter = None

    async def _wait(
        self, future: asyncio.Future[None], seconds: float | None, late: httpx.TransportError
    ) -> None:
        if seconds is None:
            return await future
        timer = self._loop.call_later(seconds, self._fail_future, future, late)
        try:
            await future
        finally:
            timer.cancel()

    def _fail_future(self, future: asyncio.Future[None], error: Exception) -> None:
        if not future.done():
            future.set_exception(error)

    def _write(self, data: bytes) -> None:
        if self._error is not None and not self._has_head:
            raise self._error
        if self._transport is not None and not self.is_closed:
            self._transport.write(data)

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.take(self._buffer[:nbytes])

    def take(self, data: bytes | memoryview) -> None:
        """Read bytes as they came."""
        if not self._is_expecting:
            self._break_off(httpx.RemoteProtocolError("the backend sent what was not asked for"))
            return
        self._overhead_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._break_off(InvalidAnswerError(f"the backend did not speak HTTP: {error}"))
        if self._overhead_bytes > HEAD_BYTES_MAX and not self._is_complete:
            self._break_off(InvalidAnswerError("the backend sent too much that is no body"))
        if self._queued_bytes >= READ_AHEAD_BYTES_MAX:
            self._pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        if self._has_head and self._ends_with_connection and self._error is None:
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if not self._is_complete and self._error is None:
            self._error = httpx.ReadError(str(exc)) if exc else httpx.RemoteProtocolError(_CLOSED)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the parser finds.

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise httpx.RemoteProtocolError("a second answer came to one request")
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head it is a trailer, which may be dropped (RFC 9110 section 6.5.1).
        if not self._has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        check_size(self.headers, self._overhead_bytes)
        if 100 <= status < 200:
            self._interim_answers += 1
            # 101 would change the protocol, which nobody has asked for (RFC 9110 section 15.2.2).
            if status == 101 or self._interim_answers > INTERIM_ANSWERS_MAX:
                raise httpx.RemoteProtocolError("an interim answer that nobody waits for")
            return
        if not 200 <= status <= 599:
            raise httpx.RemoteProtocolError("the status is none")
        self._ends_with_connection = not is_framed(self.headers, self._parser.get_http_version())
        self.status = status
        self._has_head = True
        if not self._parser.should_keep_alive():
            self._may_be_reused = False
        if self._is_head_request:
            # The parser would wait for a body that Content-Length only describes.
            self._complete()

    def on_body(self, body: bytes) -> None:
        if self._is_complete:
            self._may_be_reused = False
            return
        self._overhead_bytes = 0
        self._chunks.append(body)
        self._queued_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._complete()

    def _complete(self) -> None:
        self._is_complete = True
        self._is_expecting = False

    def _break_off(self, error: httpx.TransportError) -> None:
        self._may_be_reused = False
        if not self._is_complete and self._error is None:
            self._error = error
        self.close()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self.is_closed and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self.is_closed:
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
