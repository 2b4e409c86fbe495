"""One connection of a client: bytes to the parser, requests to the application, one at a time and in order.

It owns the socket's transport and the deadlines. Nothing is read that nobody has room for, and nothing is
ended on behalf of an application: a response that it leaves unfinished breaks the connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from proxy.http1.faults import Fault
from proxy.http1.heads import build_refusal
from proxy.http1.limits import (
    LINGER_SECONDS,
    PIPELINED_REQUESTS_MAX,
    QUEUED_BODY_BYTES_MAX,
    STOPPING_SECONDS,
    UNSENT_BYTES_MAX,
    UNWRITTEN_BYTES_MAX,
)
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
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._unsent_bytes = 0
        self._peer: tuple[str, int] | None = None
        self._local: tuple[str, int] | None = None
        self._reading: ServedRequest | None = None  # whose body is coming
        self._serving: ServedRequest | None = None  # whose response is going
        self._waiting: deque[ServedRequest] = deque()
        self._task: asyncio.Task[None] | None = None  # of the application; there is one at a time
        self._queued_bytes = 0  # of bodies that no application has taken yet
        self._is_paused = False
        self._is_fresh = True  # nothing has come yet
        self._has_unserved = False  # the client has sent requests that it will get no answer to
        self._refusal: Fault | None = None  # to be sent behind the responses that are still to come

    @property
    def is_ending(self) -> bool:
        """Tell whether the response that goes now is the last one."""
        return self.is_closing or self._server.is_stopping

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self._peer = _address(transport.get_extra_info("peername"))
        self._local = _address(transport.get_extra_info("sockname"))
        if self._server.admit(self):
            # One that was accepted in the moment in which the server stops has its first request served.
            self._expect_input(STOPPING_SECONDS if self._server.is_stopping else self._timeout_seconds)
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
        self._transport = None
        self.deadline = self.send_deadline = NEVER
        self.resume_writing()
        self._reading = None
        self._forget_waiting()
        if self._task is None or self._task.done():
            self._server.release(self)
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
        self._is_fresh = False
        if self._serving is None and not self._waiting:
            self._expect_input(self._timeout_seconds)

    def take_head(self, head: Head) -> None:
        if self.is_closing:
            self._has_unserved = True
            return
        request = self._reading = self._accept(head)
        if len(self._waiting) >= PIPELINED_REQUESTS_MAX:
            # The client asks again for what is not answered (RFC 9112 section 9.3.2).
            request.is_kept_alive = False
            self._has_unserved = True

    def take_body(self, data: bytes) -> None:
        request = self._reading
        if request is None or request.has_ended:
            return
        if request is self._serving:
            self.deadline = NEVER
        request.feed(data)
        self._queued_bytes += len(data)
        if self._queued_bytes >= QUEUED_BODY_BYTES_MAX:
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
            self._server.count_refusal(fault.reason)
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
        """Send bytes on, with what else is written before the loop goes on; into nothing if the client left.

        Handing a head and its body to the system one by one costs more than building both.
        """
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        if self._unwritten_bytes > UNWRITTEN_BYTES_MAX:
            self._flush()

    async def wait_writable(self) -> None:
        """Return when the client takes more, or has been given up."""
        if self._writable is not None and self._transport is not None:
            self._unsent_bytes = _count_unsent(self._transport)
            self.send_deadline = self._loop.time() + self._timeout_seconds
            await asyncio.shield(self._writable)

    def expect_body(self, request: ServedRequest) -> None:
        """Bound the wait for the next piece of the body."""
        if request is self._reading and request is self._serving:
            self._expect_input(self._timeout_seconds)

    def expect_no_body(self, request: ServedRequest) -> None:
        """Bound it no longer: nobody waits."""
        if request is self._serving:
            self.deadline = NEVER

    def release_body(self, size: int) -> None:
        """Read on if there is room again, now that so many bytes of a body are gone."""
        self._queued_bytes -= size
        if self._is_paused and self._queued_bytes < QUEUED_BODY_BYTES_MAX:
            self._resume_reading()

    def finish(self, request: ServedRequest, *, is_whole: bool) -> None:
        """The response is over: go on with the next request, or close."""
        if self._queued_bytes:
            self.release_body(request.drop_body())
        if not is_whole:
            self.break_off()
        elif not request.is_kept_alive:
            self._close_after(request)
        elif not self._waiting:
            self._serving = None
            if self._refusal is not None:
                self._refuse(self._refusal)
            elif self.is_ending:
                self._close_after(request)
            else:
                self._expect_next(request)

    def break_off(self) -> None:
        """End the connection at once, so that nobody takes what was sent for a whole response."""
        self.is_closing = True
        self._forget_waiting()
        self._flush()
        if self._transport is not None:
            self._transport.abort()

    # What the server asks of it.

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        if self.send_deadline <= self._loop.time():
            self._expire_sending()
            return
        self.deadline = NEVER
        if self._serving is not None:
            self._serving.fail(TIMED_OUT)
        elif self._has_taken_some():
            self._expect_input(self._timeout_seconds)
        elif self.is_closing:
            self.break_off()
        elif self._parser.is_in_head and not self._server.is_stopping:
            self._server.count_refusal(TIMED_OUT)
            self._refuse(Fault(408, TIMED_OUT, ""))
        else:
            self._close()

    def close_when_idle(self) -> None:
        """Take no further request; close now if none is being served, nor is likely to be on its way.

        A client that has only just connected has most likely sent a request that nobody has read yet.
        """
        if self._serving is not None or self._waiting:
            self.is_closing = True
        elif self._is_fresh or self._parser.is_in_head:
            self._expect_input(STOPPING_SECONDS)
        else:
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
        if self._task is None:
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
            self._task = None
            if self._transport is None:
                self._server.release(self)
            elif not request.has_ended:
                self._end_unfinished(request)
            elif self._waiting:
                self._serve(self._waiting.popleft())

    def _end_unfinished(self, request: ServedRequest) -> None:
        request.has_ended = True
        self.release_body(request.drop_body())
        if request.has_started:
            self.break_off()
        else:
            self.write(build_refusal(500))
            self._close_after(request)

    def _end_passed_over(self, request: ServedRequest) -> None:
        """Go on behind a body that nobody wanted any more."""
        if not request.is_kept_alive:
            self._close()
        elif self._serving is None:
            self._expect_input(self._server.limits.keep_alive_seconds)

    def _expect_next(self, request: ServedRequest) -> None:
        if not request.is_read:
            seconds = LINGER_SECONDS  # for a short body that nobody wants any more
        elif self._parser.is_in_head:
            seconds = self._timeout_seconds
        else:
            seconds = self._server.limits.keep_alive_seconds
        self._expect_input(seconds)

    # How it ends.

    def _refuse(self, fault: Fault) -> None:
        """Answer what is no request, in its turn, and close."""
        if self._serving is not None or self._waiting:
            self._refusal = fault
            return
        self.write(build_refusal(fault.status))
        self._linger()

    def _close_after(self, request: ServedRequest) -> None:
        if request.is_read and not self._has_unserved and not self._waiting:
            self._close()
        else:
            self._linger()

    def _flush(self) -> None:
        if self._unwritten:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            self._unwritten_bytes = 0
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(data)

    def _linger(self) -> None:
        """Close once the client has had a chance to read the answer: it is still sending.

        Closing a socket on unread bytes resets the connection, and the answer is lost with it.
        """
        self.is_closing = True
        self._serving = None
        self._forget_waiting()
        self._expect_input(LINGER_SECONDS)
        self._flush()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
        self._resume_reading()

    def _close(self) -> None:
        self.is_closing = True
        self._serving = None
        self._forget_waiting()
        # What is still to be sent has this long, or a client that takes nothing would keep the connection.
        self._expect_input(self._timeout_seconds)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _expire_sending(self) -> None:
        self.send_deadline = NEVER
        if self._has_taken_some():
            self.send_deadline = self._loop.time() + self._timeout_seconds
            return
        if self._serving is not None:
            self._serving.leave(TOO_SLOW)
        self.break_off()

    def _has_taken_some(self) -> bool:
        """Tell whether there is something to send, of which the client has taken some since the last look."""
        unsent = _count_unsent(self._transport) if self._transport is not None else 0
        has_taken = unsent not in (0, self._unsent_bytes)
        self._unsent_bytes = unsent
        return has_taken

    def _forget_waiting(self) -> None:
        if self._waiting:
            self._waiting.clear()
            self._reading = None  # whose body was coming, if any, was the last of them
        self._queued_bytes = 0

    def _expect_input(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()


def _count_unsent(transport: asyncio.Transport) -> int:
    """Return how many bytes the client has not acknowledged.

    The system holds megabytes of them, and takes more from the transport only in large steps, which a client
    may need longer for than it has until a deadline.
    """
    unsent = transport.get_write_buffer_size()
    try:
        queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return unsent  # the system does not tell, or not any more
    return unsent + int(struct.unpack("i", queued)[0])


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
