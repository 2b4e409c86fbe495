"""One connection of a client: bytes to the parser, requests to the handler, one at a time and in order.

It owns the parser, the wire and the deadlines, and is the `Client` of the exchange that is under way. A head
that the handler recognises by its bytes goes past the parser: its body has a length, and is counted here.
Requests that come before the one under way is over wait, bounded in number and bytes. Nothing is ended on
behalf of an exchange: a response that it leaves unfinished breaks the connection. Whatever ends early, what
is left of it on the connection is never taken for the next request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from proxy.http1.faults import CROWDED, SLOW_HEAD, Fault
from proxy.http1.handler import ABORTED, BAD_BODY, TIMED_OUT, TOO_SLOW, ClientExchange, Known
from proxy.http1.heads import CONTINUE, read_target
from proxy.http1.limits import FEED_BYTES_MAX, LINGER_SECONDS, QUEUED_BODY_BYTES_MAX, STOPPING_SECONDS
from proxy.http1.parser import Head, RequestParser
from proxy.http1.pipeline import Pipeline
from proxy.http1.responder import Responder
from proxy.http1.wire import NEVER, Wire
from proxy.policy.model import RequestHead

if TYPE_CHECKING:
    from proxy.http1.server import HttpServer

_MAPPED = "::ffff:"
_log = logging.getLogger(__name__)


class ClientConnection(Responder, asyncio.Protocol):
    """A connection from its acceptance to its end.

    `deadline` and the wire's are times of the loop's clock, after which the server calls `expire`: looking at
    them now and then costs a request less than timers of its own.
    """

    __slots__ = (
        "_backlog",
        "_exchange",
        "_handler",
        "_has_unserved",
        "_is_fresh",
        "_is_held_back",
        "_is_paused",
        "_is_read",
        "_loop",
        "_parser",
        "_peer",
        "_pipeline",
        "_raw",
        "_raw_left",
        "_refusal",
        "_server",
        "_timeout_seconds",
        "deadline",
        "is_closing",
    )

    def __init__(self, server: HttpServer) -> None:
        super().__init__(Wire(server.loop, server.limits.client_timeout_seconds))
        self.deadline = NEVER
        self.is_closing = False  # no further request will be served
        self._server = server
        self._handler = server.handler
        self._timeout_seconds = server.limits.client_timeout_seconds
        self._loop = server.loop
        self._parser = RequestParser(self)
        self._peer = ""
        # The request under way; `_exchange` is None once its response is over.
        self._exchange: ClientExchange | None = None
        self._is_read = True  # its body has come to its end
        self._is_held_back = False  # its client waits for a word before it sends the body
        self._is_paused = False  # the exchange has no room for more of the body
        # What has come and is not parsed, or not served yet.
        self._raw: tuple[bytes, int] | None = None  # of the next head, as it came
        self._raw_left = 0  # of a body that goes past the parser
        self._backlog: deque[bytes] | None = None
        self._pipeline: Pipeline | None = None  # None when nothing waits
        self._is_fresh = True  # nothing has come yet
        self._has_unserved = False  # the client has sent requests that it will get no answer to
        self._refusal: Fault | None = None  # to be sent behind the responses that are still to come

    @property
    def is_ending(self) -> bool:
        """Tell whether the response that goes now is the last one."""
        return self.is_closing or self._server.is_stopping

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire.attach(cast("asyncio.Transport", transport))
        self._peer = _read_host(transport.get_extra_info("peername"))
        if self._server.admit(self):
            # One that was accepted in the moment in which the server stops has its first request served.
            self._expect_input(STOPPING_SECONDS if self._server.is_stopping else self._timeout_seconds)
        else:
            self.wire.write(self._server.write_refusal(CROWDED))
            self._close()

    def data_received(self, data: bytes) -> None:
        try:
            if self.wire.is_lingering and not self.wire.count_lingering(len(data)):
                self.break_off()
            elif self._raw_left:
                self._take_raw(data)
            elif self._backlog is not None:
                self._backlog.append(data)
            elif (
                self._exchange is None
                and self._pipeline is None
                and self._parser.is_idle
                and not self.is_closing
            ):
                self._take_first(data)
            else:
                self._feed(data)
        except Exception as error:  # noqa: BLE001
            # The outermost boundary: what goes wrong here costs one client its connection.
            self._crash(error)

    def eof_received(self) -> bool:
        # A client that has closed its end has left: nobody could tell it from one that only stopped sending.
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_closing = True
        self.wire.detach()
        self.deadline = NEVER
        self._backlog = self._pipeline = None
        self._server.release(self)
        self._leave(ABORTED)

    def pause_writing(self) -> None:
        self.wire.note_full()
        try:
            if self._exchange is not None:
                self._exchange.hold_back()
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def resume_writing(self) -> None:
        self.wire.note_room()
        try:
            if self._exchange is not None:
                self._exchange.go_on()
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    # From bytes to requests.

    def _take_first(self, data: bytes) -> None:
        """Begin with what may be a whole head: ask whether it is known before it is parsed."""
        end = data.find(b"\r\n\r\n")
        known = self._handler.recognise(self._peer, data, end) if end > 0 else None
        if known is not None:
            self._serve_known(*known, data[end + 4 :])
            return
        if end > 0 and data[0] > 32:  # the first empty line ends no head that has line ends before it
            self._raw = (data, end)
        self._feed(data)
        self._raw = None

    def _serve_known(self, known: Known, length: int, time_us: int, rest: bytes) -> None:
        """Serve a recognised head; `rest` is what came with it of its body, and behind that."""
        self._is_fresh = False
        self._begin_response(known.head, keeps_alive=True)
        self._is_read = not length
        self._is_held_back = self._is_paused = False
        exchange = self._exchange = self._handler.open_known(self, known, length, time_us)
        if length:
            self._raw_left = length
            self._expect_input(self._timeout_seconds)
        else:
            self.deadline = NEVER
        if self.wire.is_full:
            exchange.hold_back()  # by what was sent before it
        exchange.start()
        if not length and self._exchange is not None:
            exchange.take_body_end()
        if rest:
            (self._take_raw if self._raw_left else self._feed)(rest)

    def _take_raw(self, data: bytes) -> None:
        """Take a piece of a body that goes past the parser, and what comes behind it."""
        rest = data[self._raw_left :]
        if rest:
            data = data[: self._raw_left]
        self._raw_left -= len(data)
        self._give_body(data)
        if not self._raw_left:
            self._end_body()
        if rest:
            self._feed(rest)

    def _feed(self, data: bytes) -> None:
        if self._parser.is_deaf:
            self._has_unserved = True
        elif len(data) <= FEED_BYTES_MAX:
            self._parser.feed(data)
        else:
            # A body in the smallest chunks takes milliseconds to parse: others have their turn in between.
            self._backlog = deque(
                data[at : at + FEED_BYTES_MAX] for at in range(0, len(data), FEED_BYTES_MAX)
            )
            self._update_reading()
            self._feed_backlog()

    def _feed_backlog(self) -> None:
        if not self._backlog:
            self._backlog = None
            self._update_reading()
            return
        try:
            self._parser.feed(self._backlog.popleft())
        except Exception as error:  # noqa: BLE001
            self._crash(error)
        else:
            self._loop.call_soon(self._feed_backlog)

    # What the parser finds.

    def begin_head(self) -> None:
        self._is_fresh = False
        if self._exchange is None and self._pipeline is None:
            self._expect_input(self._timeout_seconds)

    def take_head(self, head: Head) -> None:
        raw, self._raw = self._raw, None
        if self.is_closing:
            # Its body is nobody's, above all not that of the exchange under way.
            self._has_unserved = self._parser.is_deaf = True
        elif self._exchange is None and self._pipeline is None:
            is_plain = head.is_kept_alive and head.version == "1.1"
            self._serve(head, None, raw if is_plain else None)
        else:
            self._have_wait(head, None)

    def take_body(self, data: bytes) -> None:
        if self._pipeline is not None:
            self._pipeline.add_piece(data)
            self._update_reading()
        else:
            self._give_body(data)

    def take_end(self, *, is_last: bool) -> None:
        if self._pipeline is not None:
            self._parser.is_deaf = not self._pipeline.end(is_last=is_last)
            return
        if is_last:
            self._keeps_alive = False
        if not self._keeps_alive:
            self._parser.is_deaf = True
        self._end_body()

    def take_fault(self, fault: Fault, head: Head | None) -> None:
        if self.is_closing:
            self._has_unserved = True
        elif head is None:
            self._server.count_refusal(fault.reason)
            self._refuse(fault)
        elif self._exchange is None and self._pipeline is None:
            self._serve(head, fault)
        else:
            self._have_wait(head, fault)

    def take_broken_body(self) -> None:
        if self._pipeline is not None:
            self._pipeline.fail(BAD_BODY)
        elif not self._is_read:
            self._fail_body(BAD_BODY)

    def _have_wait(self, head: Head, fault: Fault | None) -> None:
        if self._pipeline is None:
            self._pipeline = Pipeline()
        if not self._pipeline.add(head, fault):
            self._has_unserved = True

    def _give_body(self, data: bytes) -> None:
        if self._exchange is not None:
            self._is_held_back = False
            if not self._is_paused:
                self._expect_input(self._timeout_seconds)
            self._exchange.take_body(data)

    def _end_body(self) -> None:
        self._is_read = True
        if self._exchange is not None:
            self.deadline = NEVER
            self._exchange.take_body_end()
        elif self.is_closing or not self._keeps_alive:
            self._close_after()
        else:
            self._expect_input(self._server.limits.keep_alive_seconds)

    def _fail_body(self, reason: str) -> None:
        """Give a body up. Where it ends nobody knows now, so that nothing behind it is read."""
        self._keeps_alive = False
        self._stop_parsing()
        if self._exchange is not None:
            self._exchange.fail_body(reason)
        elif not self.wire.is_lingering:
            self._linger()

    # The request under way.

    def _serve(
        self,
        head: Head,
        fault: Fault | None,
        raw: tuple[bytes, int] | None = None,
        pieces: Sequence[bytes | str | None] = (),
    ) -> None:
        path, question, query = read_target(head.target, head.headers).partition(b"?")
        request = RequestHead(
            head.method,
            path,
            query,
            head.headers,
            self._peer,
            head.version,
            self._server.scheme,
            is_query_empty=bool(question) and not query,
        )
        self._begin_response(request, keeps_alive=head.is_kept_alive)
        self._is_read = bool(pieces) and pieces[-1] is None
        self._is_paused = False
        self._is_held_back = head.version == "1.1" and any(name == b"expect" for name, _ in head.headers)
        exchange = self._exchange = self._handler.open(self, request, fault, raw)
        self._expect_input(self._timeout_seconds)
        if self.wire.is_full:
            exchange.hold_back()
        exchange.start()
        for piece in pieces:
            self._give_piece(piece)

    def _give_piece(self, piece: bytes | str | None) -> None:
        """Hand on what has waited of a body, unless its exchange is over already."""
        if self._exchange is None:
            return
        if isinstance(piece, bytes):
            self._give_body(piece)
        elif piece is None:
            self._end_body()
        else:
            self._fail_body(piece)

    def end(self) -> None:
        """The response is whole."""
        is_whole = self._finish_response()
        self._exchange = None
        if self._is_paused:
            self.resume()
        if not is_whole:
            self.break_off()
        elif not self._keeps_alive or self.is_ending:
            self._close_after()
        elif self._pipeline is not None:
            self._loop.call_soon(self._serve_next)
        elif self._refusal is not None:
            self._refuse(self._refusal)
        else:
            self._expect_next()

    def break_off(self) -> None:
        """End the connection at once, so that nobody takes what was sent for a whole response."""
        self.is_closing = True
        self._exchange = self._pipeline = None
        self.wire.abort()

    def want_body(self) -> None:
        """Have the client send its body, if it waits for a word (RFC 9110 section 10.1.1)."""
        if self._is_held_back and not self._is_read and not self._has_started:
            self._is_held_back = False
            self.wire.write(CONTINUE)
            self._expect_input(self._timeout_seconds)

    def pause(self) -> None:
        """Read no more of the request's body for now."""
        self._is_paused = True
        self.deadline = NEVER
        self._update_reading()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        if not self._is_read and self._exchange is not None:
            self._expect_input(self._timeout_seconds)
        self._update_reading()

    # What the server asks of it.

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        try:
            if self.wire.deadline <= self._loop.time():
                self._expire_sending()
            else:
                self.deadline = NEVER
                self._expire_reading()
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def close_when_idle(self) -> None:
        """Take no further request; close now if none is being served, nor is likely to be on its way.

        A client that has only just connected has most likely sent a request that nobody has read yet.
        """
        if self._exchange is not None or self._pipeline is not None:
            self.is_closing = True
        elif self._is_fresh or self._parser.is_in_head:
            self._expect_input(STOPPING_SECONDS)
        elif not self.is_closing:
            self._close_after()

    def interrupt(self) -> bool:
        """End what is being served now, and tell whether something was."""
        exchange = self._exchange
        if exchange is None:
            return False
        try:
            exchange.interrupt()
        except Exception as error:  # noqa: BLE001
            self._crash(error)
        return True

    # How it goes on, and how it ends.

    def _serve_next(self) -> None:
        pipeline = self._pipeline
        if pipeline is None or self._exchange is not None:
            return
        if self.is_closing:
            self._close_after()
            return
        waiting = pipeline.take()
        if not pipeline:
            self._pipeline = None
        try:
            self._serve(waiting.head, waiting.fault, pieces=waiting.pieces)
        except Exception as error:  # noqa: BLE001
            self._crash(error)
        self._update_reading()

    def _may_go_on(self) -> bool:
        return not self.is_ending and (self._is_read or self._is_short())

    def _is_short(self) -> bool:
        """Tell whether so little is left of the body that it can be passed over."""
        if self._raw_left:
            return self._raw_left <= QUEUED_BODY_BYTES_MAX
        assert self._head is not None
        for name, value in self._head.headers:
            if name == b"content-length":
                return not self._is_held_back and int(value) <= QUEUED_BODY_BYTES_MAX
            if name == b"transfer-encoding":
                return False
        return True

    def _expect_next(self) -> None:
        if not self._is_read:
            seconds = LINGER_SECONDS  # for a short body that nobody wants any more
        elif self._parser.is_in_head:
            seconds = self._timeout_seconds
        else:
            seconds = self._server.limits.keep_alive_seconds
        self._expect_input(seconds)

    def _refuse(self, fault: Fault) -> None:
        """Answer what is no request, in its turn, and close."""
        if self._exchange is not None or self._pipeline is not None:
            self._refusal = fault
            return
        self.wire.write(self._server.write_refusal(fault))
        self._linger()

    def _close_after(self) -> None:
        if self._is_read and not self._has_unserved and self._pipeline is None and not self._backlog:
            self._close()
        elif not self.wire.is_lingering:
            self._linger()

    def _linger(self) -> None:
        """Close once the client has had a chance to read the answer."""
        self.is_closing = True
        self._pipeline = None
        self._is_paused = False
        if self._is_read:
            self._parser.is_deaf = True  # there is no end of a body to wait for
        self._expect_input(LINGER_SECONDS)
        self.wire.linger()
        self._update_reading()

    def _close(self) -> None:
        self.is_closing = True
        self._pipeline = None
        # What is still to be sent has this long, or a client that takes nothing would keep the connection.
        self._expect_input(self._timeout_seconds)
        self.wire.close()

    def _expire_reading(self) -> None:
        if self._exchange is not None:
            self._fail_body(TIMED_OUT)
        elif self.wire.has_taken_some():
            self._expect_input(self._timeout_seconds)
        elif self.wire.is_lingering and self.wire.may_linger():
            self._expect_input(LINGER_SECONDS)
        elif self.is_closing:
            self.break_off()
        elif self._parser.is_in_head and not self._server.is_stopping:
            self._server.count_refusal(SLOW_HEAD.reason)
            self._refuse(SLOW_HEAD)
        else:
            self._close()

    def _expire_sending(self) -> None:
        self.wire.deadline = NEVER
        if self.wire.has_taken_some():
            self.wire.deadline = self._loop.time() + self._timeout_seconds
            return
        self._leave(TOO_SLOW)
        self.break_off()

    def _leave(self, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            try:
                exchange.leave(reason)
            except Exception as error:  # noqa: BLE001
                exchange.crash(error)

    def _crash(self, error: Exception) -> None:
        """An event has met a bug. What came with it is lost: nothing behind it can be read."""
        self._keeps_alive = False
        self._stop_parsing()
        exchange = self._exchange
        if exchange is not None:
            exchange.crash(error)
        else:
            _log.error("a connection failed", exc_info=error)
            self.break_off()

    def _stop_parsing(self) -> None:
        self._parser.is_deaf = True
        self._raw_left, self._raw, self._backlog = 0, None, None

    def _update_reading(self) -> None:
        pipeline = self._pipeline
        is_full = pipeline is not None and pipeline.body_bytes >= QUEUED_BODY_BYTES_MAX
        if self._is_paused or is_full or self._backlog is not None:
            self.wire.pause_reading()
        else:
            self.wire.resume_reading()

    def _expect_input(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds


def _read_host(name: object) -> str:
    """Return the address of a socket's name: an IPv4 address that came in over IPv6 as what it is."""
    host = str(name[0]) if isinstance(name, tuple) else ""
    return host.removeprefix(_MAPPED) if host.startswith(_MAPPED) and "." in host else host
