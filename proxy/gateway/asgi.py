"""The front for any ASGI server: messages of ASGI 3.0 to events of an exchange, and back.

What the server below does is its own: which framing it lets in (what could be smuggled is refused here
again), how it bounds heads, and what it says about connections. What it never tells, nobody records.

A request has two tasks. The server's own sends what the exchange answers, and with its end tells the server
that the request is over. Another reads until the server says that the client has left, which is after the end
at the latest: a server that finds nobody to take the rest of a body would never get to the end of its
request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any
from urllib.parse import quote

from proxy.gateway.gateway import Gateway
from proxy.gateway.pages import ASGIApp, Message, Receive, Send
from proxy.http1.handler import ABORTED, TIMED_OUT, TOO_SLOW, ClientExchange
from proxy.http1.heads import read_target
from proxy.http1.limits import LINGER_BYTES_MAX, LINGER_BYTES_MIN, QUEUED_BODY_BYTES_MAX
from proxy.policy.model import HeaderPairs, RequestHead

QUEUED_BYTES_MAX = 64 * 1024  # of an answer that the server does not take
# A server tells of what it has sent only when it has room again, and the system below takes megabytes at
# once: a client is given up as too slow when nothing has been taken for so many times `proxy.client_timeout`.
TAKING_TIMES = 10
# Over HTTP/2 no header says whether a body will come (RFC 9113 section 8.1.1): its end has come by now, or it
# will.
FIRST_PIECE_SECONDS = 0.05
# A client that is still sending when its answer is there may go on as long as each of these brings some: less
# long than with connections of our own, for the answer's end has to wait.
LINGER_SECONDS = 1.0
LAST_SECONDS = 1.0  # for the answer to a request that the server gives up
_BODILESS = frozenset((204, 304))
_SERVERS_OWN = frozenset((b"date", b"server"))
_SEGMENT_SAFE = "/:@!$&'()*+,;=-._~"
_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_log = logging.getLogger(__name__)


class Cut(Enum):
    """Why a client has to be cut off: what the end of an application does not always do by itself."""

    BROKEN = auto()  # its answer is not whole
    STUCK = auto()  # nor is it taken
    UNWANTED = auto()  # it is still sending a request that has its whole answer


CutOff = Callable[[Message, Send, Cut], Awaitable[None]]


async def leave_it(scope: Message, send: Send, cut: Cut) -> None:
    """Leave it to the server."""


class AsgiFront:
    """An ASGI application that serves a gateway. `app` gets what is no HTTP: the server's life, above all."""

    def __init__(self, gateway: Gateway, app: ASGIApp, cut_off: CutOff = leave_it) -> None:
        self._gateway = gateway
        self._app = app
        self._cut_off = cut_off
        self._reading: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(AsgiClient(scope, receive, send, self._gateway))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
        else:
            await self._app(scope, receive, send)

    async def _serve(self, client: AsgiClient) -> None:
        await client.open()
        reading = asyncio.create_task(client.read())
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        await client.write(self._cut_off)


class AsgiClient:
    """The client of one exchange, behind an ASGI server. `open` it, then `read` and `write` side by side."""

    def __init__(self, scope: Message, receive: Receive, send: Send, gateway: Gateway) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._gateway = gateway
        self._exchange: ClientExchange
        self._is_http2 = scope["http_version"] == "2"
        # What comes.
        self._first: asyncio.Future[Message] | None = None  # a message that was asked for before its turn
        self._is_read = False  # the body has come to its end, or there is none
        self._length: int | None = None  # that it states, in bytes
        self._is_late = False  # and will never come to it
        self._is_gone = self._is_stuck = False  # the client has left, or was given up
        self._has_room = asyncio.Event()  # for more of the body
        self._has_room.set()
        self._passed_over = 0  # bytes that came when the answer was over
        self._is_settled = asyncio.Event()  # the body has come to its end, or is too long to wait for that
        # What goes.
        self._messages: deque[Message] = deque()
        self._queued_bytes = 0
        self._to_send: int | None = None  # what a content-length leaves
        self._has_message = asyncio.Event()
        self._is_over = False  # nothing is queued any more
        self._is_held_back = self._is_bodiless = self._is_last = False

    async def open(self) -> None:
        """Have the exchange begin."""
        scope = self._scope
        headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        lengths = [value for name, value in headers if name == b"content-length"]
        is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
        if self._is_http2 and not lengths:
            if await self._has_unstated_body():
                # As HTTP/1.1 says it (RFC 9113 section 8.2.2 keeps an HTTP/2 client from saying so itself).
                headers.append((b"transfer-encoding", b"chunked"))
                is_chunked = True
        elif len(lengths) == 1 and not is_chunked and lengths[0].isdigit():
            self._length = int(lengths[0][:19])
        self._is_read = not (lengths or is_chunked)
        exchange = self._exchange = self._gateway.open(self, read_head(scope, headers), None, None)
        try:
            exchange.start()
            if self._is_read:
                exchange.take_body_end()
        except Exception as error:  # noqa: BLE001
            # The outermost boundary: what goes wrong here costs one request.
            exchange.crash(error)

    async def _has_unstated_body(self) -> bool:
        self._first = asyncio.ensure_future(self._receive())
        await asyncio.wait([self._first], timeout=FIRST_PIECE_SECONDS)
        if not self._first.done():
            return True
        message = self._first.result()
        return bool(message.get("body") or message.get("more_body"))

    # What the exchange asks of it.

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        """Send the head of the response."""
        self._is_bodiless = status in _BODILESS or self._scope["method"] == "HEAD"
        # An ASGI server adds these two, whether there are any or not.
        kept = [pair for pair in headers if pair[0] not in _SERVERS_OWN]
        for name, value in kept:
            if name == b"content-length" and not self._is_bodiless:
                self._to_send = int(value)
        if status == 204:  # RFC 9110 section 8.6: there must be none
            kept = [pair for pair in kept if pair[0] != b"content-length"]
        if not self._is_http2 and (self._is_last or self._has_much_to_come()):
            kept.append((b"connection", b"close"))
        self._queue({"type": "http.response.start", "status": status, "headers": kept})

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._is_bodiless or self._is_over:
            return
        if self._to_send is not None:
            self._to_send -= len(data)
            if self._to_send < 0:
                self.break_off()
                raise ValueError("the body of the response is longer than its Content-Length")
        self._queued_bytes += len(data)
        self._queue({"type": "http.response.body", "body": data, "more_body": True})
        if self._queued_bytes > QUEUED_BYTES_MAX and not self._is_held_back:
            self._is_held_back = True
            self._exchange.hold_back()

    is_plain = False

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Never called: what the server below is told is no bytes."""
        raise NotImplementedError

    def end(self) -> None:
        """The response is whole."""
        if self._to_send:
            self.break_off()
            return
        self._queue(_END)
        self._finish()

    def break_off(self) -> None:
        """Leave the response unfinished behind what was sent of it."""
        self._finish()

    def forbid_reuse(self) -> None:
        """Close the connection after this response."""
        self._is_last = True

    def want_body(self) -> None:
        """The server has the client send its body by itself."""

    def pause(self) -> None:
        """Read no more of the request's body for now."""
        self._has_room.clear()

    def resume(self) -> None:
        """Read on."""
        self._has_room.set()

    def _queue(self, message: Message) -> None:
        if not self._is_over:
            self._messages.append(message)
            self._has_message.set()

    def _finish(self) -> None:
        self._is_over = True
        self._has_message.set()
        self._has_room.set()

    def _has_much_to_come(self) -> bool:
        """Tell whether so much is left of the request that the connection is hardly going to be
        used again.
        """
        return not self._is_read and (self._length is None or self._length > QUEUED_BODY_BYTES_MAX)

    # From the server.

    async def read(self) -> None:
        """Tell of the request's body, and when the client leaves; returns then."""
        while not self._is_gone:
            await self._has_room.wait()
            try:
                message = await self._receive_next()
                if message is None:
                    self._give_body_up()
                elif message["type"] == "http.disconnect":
                    self._leave(ABORTED)
                elif not self._is_read:
                    self._take(message)
            except Exception as error:  # noqa: BLE001
                # The outermost boundary, as above.
                self._exchange.crash(error)

    async def _receive_next(self) -> Message | None:
        """Return the next message; None if a piece of the body is overdue."""
        if self._first is not None:
            first, self._first = self._first, None
            return await first
        if self._is_read or self._is_late or self._is_over:
            return await self._receive()
        try:
            async with asyncio.timeout(self._gateway.bounds.client_timeout_seconds):
                return await self._receive()
        except TimeoutError:
            return None

    def _take(self, message: Message) -> None:
        data = message.get("body", b"")
        is_end = not message.get("more_body", False)
        self._is_read = is_end
        if self._is_over:
            self._passed_over += len(data)
            if is_end or self._passed_over > LINGER_BYTES_MAX:
                self._is_settled.set()
            return
        if data:
            self._exchange.take_body(data)
        if is_end:
            self._is_settled.set()
            self._exchange.take_body_end()

    def _give_body_up(self) -> None:
        if self._is_over:
            return
        self._is_late = self._is_last = True
        self._exchange.fail_body(TIMED_OUT)

    def _leave(self, reason: str) -> None:
        self._is_gone = True
        self._messages.clear()
        self._is_settled.set()
        if not self._is_over:
            self._exchange.leave(reason)
            self._finish()

    # To the server.

    async def write(self, cut_off: CutOff) -> None:
        """Send what is answered; returns when all of it is sent, or nothing more can be."""
        try:
            is_whole = await self._write_answer()
        except asyncio.CancelledError:
            await self._end_early()
            raise
        if self._is_stuck:
            await cut_off(self._scope, self._send, Cut.STUCK)
        elif not is_whole and not self._is_gone:
            await cut_off(self._scope, self._send, Cut.BROKEN)
        elif is_whole and not self._is_read:
            await cut_off(self._scope, self._send, Cut.UNWANTED)

    async def _write_answer(self) -> bool:
        """Send what is answered, and tell whether its end was among that."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                if message is _END:
                    await self._linger()
                if self._is_gone or not await self._send_one(message):
                    return False
                if message is _END:
                    return True
            if self._is_over:
                return False
            self._has_message.clear()
            await self._has_message.wait()

    async def _send_one(self, message: Message) -> bool:
        """Send a message, and tell whether the client may take more."""
        try:
            async with asyncio.timeout(TAKING_TIMES * self._gateway.bounds.client_timeout_seconds):
                await self._send(message)
            self._queued_bytes -= len(message.get("body", b""))
            if self._is_held_back and self._queued_bytes <= QUEUED_BYTES_MAX // 2 and not self._is_gone:
                self._is_held_back = False
                self._exchange.go_on()
        except TimeoutError:
            self._is_stuck = True
            self._leave(TOO_SLOW)
        except OSError:  # what servers raise when nobody is there any more
            self._leave(ABORTED)
        except Exception as error:  # noqa: BLE001
            # The outermost boundary: of the server's own checks, too.
            self._fail(error)
            return False
        return not self._is_gone

    def _fail(self, error: Exception) -> None:
        if self._is_over:
            _log.error("the server could not send an answer", exc_info=error)
        else:
            self._exchange.crash(error)
            self._finish()

    async def _linger(self) -> None:
        """Let the client send the rest of its request before its answer comes to an end.

        The server closes the connection then, and closing on unread bytes resets it: the answer would be
        lost.
        """
        before = -LINGER_BYTES_MIN
        while not (self._is_read or self._is_late or self._is_settled.is_set()):
            if self._passed_over - before < LINGER_BYTES_MIN:
                return
            before = self._passed_over
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._is_settled.wait()
            except TimeoutError:
                continue

    async def _end_early(self) -> None:
        """The server gives up the request: it stops."""
        self._is_settled.set()
        try:
            if not self._is_over:
                self._exchange.interrupt()
                self._finish()
            async with asyncio.timeout(LAST_SECONDS):
                await self._write_answer()
        except Exception as error:  # noqa: BLE001
            # Whatever it was, it is the end.
            if not isinstance(error, TimeoutError):
                _log.error("a request could not be ended", exc_info=error)


def read_head(scope: Message, headers: HeaderPairs) -> RequestHead:
    """Return the head of a request as `proxy.http1` would have read it. Names of headers are in
    lower case.
    """
    client: Any = scope.get("client")
    host = str(client[0]) if client else ""
    target = scope.get("raw_path") or quote(scope["path"], safe=_SEGMENT_SAFE).encode()
    return RequestHead(
        method=scope["method"],
        path=read_target(target, headers),
        query=scope["query_string"],
        headers=headers,
        peer=host.removeprefix("::ffff:") if "." in host else host,
        http_version=scope["http_version"],
        scheme=scope["scheme"],
    )
