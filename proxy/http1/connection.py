"""One connection of a client: bytes to the parser, requests to the application, one at a time and in order.

It owns the socket's transport and the deadlines. Nothing is read that nobody has room for, and nothing is
ended on behalf of an application: a response that it leaves unfinished breaks the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from proxy.http1.faults import Fault
from proxy.http1.heads import build_refusal
from proxy.http1.limits import LINGER_SECONDS, PIPELINED_REQUESTS_MAX
from proxy.http1.parser import Head, RequestParser
from proxy.http1.request import (
    ABORTED,
    BAD_BODY,
    CLIENT_KEY,
    FAULT_KEY,
    TIMED_OUT,
    TOO_SLOW,
    Message,
    ServedRequest,
)

if TYPE_CHECKING:
    from proxy.http1.server import HttpServer

NEVER = float("inf")
_ASGI = {"version": "3.0", "spec_version": "2.4"}
_log = logging.getLogger(__name__)


class ClientConnection(asyncio.Protocol):
    """A connection from its acceptance to its end.

    `deadline` and `send_deadline` are times of the loop's clock, after which the server calls `expire`:
    looking at them now and then costs a request less than timers of its own.
    """

    def __init__(self, server: HttpServer) -> None:
        self.deadline = NEVER
        self.send_deadline = NEVER
        self.is_closing = False  # no further request will be served
        self.is_full = False  # the client takes nothing more at the moment
        self._server = server
        self._timeout_seconds = server.limits.client_timeout_seconds
        self._loop = server.loop
        self._parser = RequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._peer: tuple[str, int] | None = None
        self._local: tuple[str, int] | None = None
        self._reading: ServedRequest | None = None  # whose body is coming
        self._serving: ServedRequest | None = None  # whose response is going
        self._waiting: deque[ServedRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_paused = False

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = _address(transport.get_extra_info("peername"))
        self._local = _address(transport.get_extra_info("sockname"))
        if self._server.admit(self):
            self._expect_input(self._timeout_seconds)
        else:
            self.write(build_refusal(503))
            self._close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)

    def eof_received(self) -> bool:
        # A client that has closed its end has left: nobody could tell it from one that only stopped sending.
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_closing = True
        self.deadline = self.send_deadline = NEVER
        self._server.release(self)
        self.resume_writing()
        self._reading = None
        self._waiting.clear()
        if self._serving is not None:
            self._serving.leave(ABORTED)

    def pause_writing(self) -> None:
        self.is_full = True
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        self.is_full = False
        self.send_deadline = NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # What the parser finds.

    def begin_head(self) -> None:
        if self._serving is None:
            self._expect_input(self._timeout_seconds)

    def take_head(self, head: Head) -> None:
        if self.is_closing:
            return
        request = self._reading = self._accept(head)
        if len(self._waiting) >= PIPELINED_REQUESTS_MAX:
            # The client asks again for what is not answered (RFC 9112 section 9.3.2).
            request.is_kept_alive = False

    def take_body(self, data: bytes) -> None:
        request = self._reading
        if request is None or request.has_ended:
            return
        if request is self._serving:
            self.deadline = NEVER
        if request.feed(data):
            self._pause_reading()

    def take_end(self) -> None:
        request, self._reading = self._reading, None
        if request is None:
            return
        if request.has_ended:
            self._end_passed_over(request)
            return
        if request is self._serving:
            self.deadline = NEVER
        request.feed_end()
        if not request.is_kept_alive:
            self._parser.is_deaf = True

    def take_fault(self, fault: Fault, head: Head | None) -> None:
        if self.is_closing:
            return
        if head is None:
            self._refuse(fault)
            return
        request = self._accept(head)
        request.scope["extensions"][FAULT_KEY] = fault
        request.fail(fault.reason)

    def take_broken_body(self) -> None:
        request = self._reading
        if request is not None:
            request.is_kept_alive = False
            request.fail(BAD_BODY)

    # What a request asks of it.

    def write(self, data: bytes) -> None:
        """Send bytes on; into nothing if the client has left."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def wait_writable(self) -> None:
        """Return when the client takes more, or has been given up."""
        if self._writable is not None and self._transport is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self.send_deadline = self._loop.time() + self._timeout_seconds
            await asyncio.shield(self._writable)

    def expect_body(self) -> None:
        """Bound the wait for the next piece of the body."""
        if self._reading is not None and self._reading is self._serving:
            self._expect_input(self._timeout_seconds)

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def finish(self, request: ServedRequest, *, is_whole: bool) -> None:
        """The response is over: go on with the next request, or close."""
        if not is_whole:
            self.break_off()
        elif not request.is_kept_alive:
            self._close_after(request)
        elif not self._waiting:
            self._serving = None
            self._expect_input(self._server.limits.keep_alive_seconds if request.is_read else LINGER_SECONDS)
            self.resume_reading()
            if self.is_closing:
                self._close()

    def break_off(self) -> None:
        """End the connection at once, so that nobody takes what was sent for a whole response."""
        self.is_closing = True
        if self._transport is not None:
            self._transport.abort()

    # What the server asks of it.

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        request, now = self._serving, self._loop.time()
        if self.send_deadline <= now:
            self._expire_sending()
        elif request is not None:
            self.deadline = NEVER
            request.fail(TIMED_OUT)
        elif self.is_closing:
            self.break_off()
        elif self._parser.is_in_head:
            self._refuse(Fault(408, TIMED_OUT, ""))
        else:
            self._close()

    def close_when_idle(self) -> None:
        """Serve no further request; close now if none is being served."""
        self.is_closing = True
        if self._serving is None:
            self._close()

    def cancel(self) -> asyncio.Task[None] | None:
        """Cancel what is being served, and return its task, if it has one that is not over."""
        if self._task is None or self._task.done():
            return None
        self._task.cancel()
        return self._task

    # How a request is served.

    def _accept(self, head: Head) -> ServedRequest:
        path, _, query = head.target.partition(b"?")
        text = path.decode("latin-1")
        extensions: Message = {}
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": "http",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": self._peer,
            "server": self._local,
            "extensions": extensions,
        }
        request = extensions[CLIENT_KEY] = ServedRequest(self, scope, is_kept_alive=head.is_kept_alive)
        if self._serving is None:
            self.deadline = NEVER
            self._serve(request)
        else:
            self._waiting.append(request)
        return request

    def _serve(self, request: ServedRequest) -> None:
        self._serving = request
        self._task = self._loop.create_task(self._run(request))

    async def _run(self, request: ServedRequest) -> None:
        try:
            await self._server.app(request.scope, request.receive, request.send)
        except Exception:  # noqa: BLE001
            # The outermost boundary of an application: what it failed at costs it this connection only.
            _log.exception("the application failed")
        finally:
            if not request.has_ended:
                self._end_unfinished(request)
            elif self._waiting and self._serving is request and not self.is_closing:
                self._serve(self._waiting.popleft())

    def _end_unfinished(self, request: ServedRequest) -> None:
        if request.has_started or self.is_closing:
            self.break_off()
        else:
            self.write(build_refusal(500))
            self._close()

    def _end_passed_over(self, request: ServedRequest) -> None:
        """Go on behind a body that nobody wanted any more."""
        if not request.is_kept_alive:
            self._close()
        elif self._serving is None:
            self._expect_input(self._server.limits.keep_alive_seconds)

    # How it ends.

    def _refuse(self, fault: Fault) -> None:
        self._server.count_refusal(fault.reason)
        if self._serving is not None:
            self.is_closing = True
            return
        self.write(build_refusal(fault.status))
        self._linger()

    def _close_after(self, request: ServedRequest) -> None:
        if request.is_read:
            self._close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close once the client has had a chance to read the answer: it is still sending.

        Closing a socket on unread bytes resets the connection, and the answer is lost with it.
        """
        self.is_closing = True
        self._serving = None
        self._expect_input(LINGER_SECONDS)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
        self.resume_reading()

    def _close(self) -> None:
        self.is_closing = True
        self._serving = None
        # What is still to be sent has this long, or a client that takes nothing would keep the connection.
        self._expect_input(self._timeout_seconds)
        if self._transport is not None:
            self._transport.close()

    def _expire_sending(self) -> None:
        self.send_deadline = NEVER
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if unsent < self._unsent_bytes:
            self._unsent_bytes = unsent
            self.send_deadline = self._loop.time() + self._timeout_seconds
            return
        if self._serving is not None:
            self._serving.leave(TOO_SLOW)
        self.break_off()

    def _expect_input(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
