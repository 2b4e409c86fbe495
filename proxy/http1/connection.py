"""One connection of a client: bytes to the parser, requests to the application, one at a time and in order.

It owns the parser, the wire and the deadlines. Nothing is read that nobody has room for, and nothing is
ended on behalf of an application: a response that it leaves unfinished breaks the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast

from proxy.http1.faults import CROWDED, FAILED, SLOW_HEAD, Fault
from proxy.http1.limits import (
    LINGER_SECONDS,
    PIPELINED_REQUESTS_MAX,
    QUEUED_BODY_BYTES_MAX,
    STOPPING_SECONDS,
)
from proxy.http1.parser import Head, RequestParser
from proxy.http1.request import (
    ABORTED,
    BAD_BODY,
    CLIENT_KEY,
    FAULT_KEY,
    TIMED_OUT,
    TOO_SLOW,
    ServedRequest,
)
from proxy.http1.scope import build_scope, read_address
from proxy.http1.wire import NEVER, Wire

if TYPE_CHECKING:
    from proxy.http1.server import HttpServer

_log = logging.getLogger(__name__)


class ClientConnection(asyncio.Protocol):
    """A connection from its acceptance to its end.

    `deadline` and the wire's are times of the loop's clock, after which the server calls `expire`:
    looking at them now and then costs a request less than timers of its own.
    """

    def __init__(self, server: HttpServer) -> None:
        self.deadline = NEVER
        self.is_closing = False  # no further request will be served
        self.wire = Wire(server.loop, server.limits.client_timeout_seconds)
        self._server = server
        self._timeout_seconds = server.limits.client_timeout_seconds
        self._loop = server.loop
        self._parser = RequestParser(self)
        self._peer: tuple[str, int] | None = None
        self._local: tuple[str, int] | None = None
        self._reading: ServedRequest | None = None  # whose body is coming
        self._serving: ServedRequest | None = None  # whose response is going
        self._waiting: deque[ServedRequest] = deque()
        self._task: asyncio.Task[None] | None = None  # of the application; there is one at a time
        self._queued_bytes = 0  # of bodies that no application has taken yet
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
        self._peer = read_address(transport.get_extra_info("peername"))
        self._local = read_address(transport.get_extra_info("sockname"))
        if self._server.admit(self):
            # One that was accepted in the moment in which the server stops has its first request served.
            self._expect_input(STOPPING_SECONDS if self._server.is_stopping else self._timeout_seconds)
        else:
            self.wire.write(self._server.write_refusal(CROWDED))
            self._close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)

    def eof_received(self) -> bool:
        # A client that has closed its end has left: nobody could tell it from one that only stopped sending.
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_closing = True
        self.wire.detach()
        self.deadline = NEVER
        self._reading = None
        self._forget_waiting()
        if self._task is None or self._task.done():
            self._server.release(self)
        if self._serving is not None:
            self._serving.leave(ABORTED)

    def pause_writing(self) -> None:
        self.wire.set_full(True)

    def resume_writing(self) -> None:
        self.wire.set_full(False)

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
            self.wire.pause_reading()

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
        if self._queued_bytes < QUEUED_BODY_BYTES_MAX:
            self.wire.resume_reading()

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
        self.wire.abort()

    # What the server asks of it.

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        if self.wire.deadline <= self._loop.time():
            self._expire_sending()
            return
        self.deadline = NEVER
        if self._serving is not None:
            self._serving.fail(TIMED_OUT)
        elif self.wire.has_taken_some():
            self._expect_input(self._timeout_seconds)
        elif self.is_closing:
            self.break_off()
        elif self._parser.is_in_head and not self._server.is_stopping:
            self._server.count_refusal(SLOW_HEAD.reason)
            self._refuse(SLOW_HEAD)
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
        scope = build_scope(head, self._peer, self._local)
        request = ServedRequest(self, scope, is_kept_alive=head.is_kept_alive)
        scope["extensions"][CLIENT_KEY] = request
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
            if not self.wire.is_attached:
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
            self.wire.write(self._server.write_refusal(FAILED))
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
        self.wire.write(self._server.write_refusal(fault))
        self._linger()

    def _close_after(self, request: ServedRequest) -> None:
        if request.is_read and not self._has_unserved and not self._waiting:
            self._close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close once the client has had a chance to read the answer: it is still sending.

        Closing a socket on unread bytes resets the connection, and the answer is lost with it.
        """
        self.is_closing = True
        self._serving = None
        self._forget_waiting()
        self._expect_input(LINGER_SECONDS)
        self.wire.end_writing()

    def _close(self) -> None:
        self.is_closing = True
        self._serving = None
        self._forget_waiting()
        # What is still to be sent has this long, or a client that takes nothing would keep the connection.
        self._expect_input(self._timeout_seconds)
        self.wire.close()

    def _expire_sending(self) -> None:
        self.wire.deadline = NEVER
        if self.wire.has_taken_some():
            self.wire.deadline = self._loop.time() + self._timeout_seconds
            return
        if self._serving is not None:
            self._serving.leave(TOO_SLOW)
        self.break_off()

    def _forget_waiting(self) -> None:
        if self._waiting:
            self._waiting.clear()
            self._reading = None  # whose body was coming, if any, was the last of them
        self._queued_bytes = 0

    def _expect_input(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds
