"""One request of a connection as an ASGI application meets it: `receive`, `send`, and who has left.

ASGI 3.0 (https://asgi.readthedocs.io/en/latest/specs/www.html). Everything that an application sends goes out
at once. A response is never ended for the application: one that it leaves unfinished breaks the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proxy.http1.heads import CONTINUE, build_head
from proxy.http1.limits import QUEUED_BODY_BYTES_MAX

if TYPE_CHECKING:
    from proxy.http1.connection import ClientConnection

Message = dict[str, Any]
CLIENT_KEY = "fastgate.client"  # in a scope's extensions: the `ServedRequest`
FAULT_KEY = "fastgate.fault"  # in a scope's extensions: a `Fault`, of a request that must be refused
# Why a client's part of an exchange ended early.
ABORTED, TIMED_OUT, TOO_SLOW, BAD_BODY = "client_abort", "client_timeout", "client_slow", "client_bad_body"
_DISCONNECT: Message = {"type": "http.disconnect"}
_NO_MORE: Message = {"type": "http.request", "body": b"", "more_body": False}
_CHUNKED, _CLOSE = b"transfer-encoding: chunked\r\n", b"connection: close\r\n"
_END, _UNTIL_END = b"0\r\n\r\n", -1
_BODILESS = frozenset((204, 304))


class ServedRequest:
    """One exchange. The connection feeds it, the application calls it; neither waits for the other's data.

    `leave_reason` is None as long as the client does its part.
    """

    __slots__ = (
        "_chunks",
        "_connection",
        "_is_asked_for",
        "_is_bodiless",
        "_is_chunked",
        "_is_delivered",
        "_to_send",
        "_waiter",
        "_wire",
        "has_ended",
        "has_started",
        "is_kept_alive",
        "is_read",
        "leave_reason",
        "on_leave",
        "scope",
    )

    def __init__(self, connection: ClientConnection, scope: Message, *, is_kept_alive: bool) -> None:
        self.scope = scope
        self.is_kept_alive = is_kept_alive
        self.is_read = False  # the body has come to its end
        self.has_started = False  # the head of the response has gone
        self.has_ended = False  # so has all of it
        self.leave_reason: str | None = None
        self.on_leave: Callable[[], None] | None = None
        self._connection = connection
        self._wire = connection.wire
        self._chunks: deque[bytes] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_asked_for = False  # the body, or it has come without
        self._is_delivered = False
        self._is_bodiless = False
        self._is_chunked = False
        self._to_send = _UNTIL_END

    # What the connection tells it.

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._chunks is None:
            self._chunks = deque()
        self._is_asked_for = True
        self._chunks.append(data)
        self._wake()

    def feed_end(self) -> None:
        """Take the end of the body."""
        self.is_read = True
        self._wake()

    def fail(self, reason: str) -> None:
        """The body will never come to its end, but the client can still be answered."""
        if self.leave_reason is None:
            self.leave_reason = reason
        self._wake()

    def leave(self, reason: str) -> None:
        """The client is gone, or given up."""
        if self.has_ended:
            return
        if self.leave_reason is None:
            self.leave_reason = reason
        self._wake()
        on_leave, self.on_leave = self.on_leave, None
        if on_leave is not None:
            on_leave()

    def drop_body(self) -> int:
        """Forget what nobody has taken of the body, and return how many bytes that were."""
        chunks, self._chunks = self._chunks, None
        return sum(map(len, chunks)) if chunks else 0

    # What the application calls.

    async def receive(self) -> Message:
        """Return the next piece of the body, or, when nothing more will come, that the client has left."""
        while not self._chunks:
            if self.is_read and not self._is_delivered:
                self._is_delivered = True
                return _NO_MORE
            if self.leave_reason is not None or self.has_ended:
                return _DISCONNECT
            if not self._is_asked_for:
                self._ask_for_body()
            await self._wait()
        return self._take_chunk(self._chunks)

    async def send(self, message: Message) -> None:
        """Send the head or a piece of the response; wait while the client takes nothing."""
        kind = message["type"]
        if kind == "http.response.body":
            self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        elif kind == "http.response.start":
            self._send_head(message["status"], message.get("headers", ()))
        else:
            raise ValueError(f"{kind} is not a message of HTTP/1.1")
        if self._wire.is_full:
            await self._wire.wait_writable()

    def _take_chunk(self, chunks: deque[bytes]) -> Message:
        chunk = chunks.popleft()
        self._is_delivered = self.is_read and not chunks
        self._connection.release_body(len(chunk))
        return {"type": "http.request", "body": chunk, "more_body": not self._is_delivered}

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self.has_started:
            raise RuntimeError("a response has one head")
        is_head = self.scope["method"] == "HEAD"
        self._is_bodiless = is_head or status in _BODILESS
        length = next((value for name, value in headers if name == b"content-length"), None)
        framing = b""
        if length is not None:
            self._to_send = int(length)
        elif not self._is_bodiless:
            self._is_chunked = self.scope["http_version"] == "1.1"
            framing = _CHUNKED if self._is_chunked else b""
        # Nothing tells a client of HTTP/1.0 where such a body ends but the end of the connection.
        ends_connection = length is None and not self._is_bodiless and not self._is_chunked
        if ends_connection or self._connection.is_ending or not (self.is_read or self._is_short()):
            self.is_kept_alive = False
        if not self.is_kept_alive:
            framing += _CLOSE
        elif self.scope["http_version"] == "1.0":
            framing += b"connection: keep-alive\r\n"
        self._wire.write(build_head(status, headers, framing))
        self.has_started = True

    def _is_short(self) -> bool:
        """Tell whether so little is left of the body that it can be passed over."""
        lengths = [value for name, value in self.scope["headers"] if name == b"content-length"]
        is_certain = self.leave_reason is None and (self._is_asked_for or not self._is_held_back())
        return is_certain and len(lengths) == 1 and int(lengths[0]) <= QUEUED_BODY_BYTES_MAX

    def _ask_for_body(self) -> None:
        self._is_asked_for = True
        if not self.is_read and not self.has_started and self._is_held_back():
            self._wire.write(CONTINUE)

    def _is_held_back(self) -> bool:
        """Tell whether the client waits for a word before it sends its body (RFC 9110 section 10.1.1)."""
        return self.scope["http_version"] == "1.1" and any(
            name == b"expect" for name, _ in self.scope["headers"]
        )

    def _send_body(self, data: bytes, *, is_last: bool) -> None:
        if not self.has_started or self.has_ended:
            raise RuntimeError("a response is a head, then a body, and then nothing")
        if not self._is_bodiless:
            self._write_body(data, is_last=is_last)
        if is_last:
            self.has_ended = True
            self._wake()
            self._connection.finish(self, is_whole=self._is_bodiless or self._to_send <= 0)

    def _write_body(self, data: bytes, *, is_last: bool) -> None:
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if is_last:
                data += _END
        elif self._to_send >= 0:
            self._to_send -= len(data)
            if self._to_send < 0:
                self._connection.break_off()
                raise ValueError("the body of the response is longer than its Content-Length")
        if data:
            self._wire.write(data)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._connection.expect_body(self)
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._connection.expect_no_body(self)
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
