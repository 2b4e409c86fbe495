"""What a connection to a backend is, whatever it speaks: its socket, its rests, its deadlines, and how it
ends.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any, cast

from proxy.errors import UpstreamError
from proxy.upstream.faults import BROKE_OFF, SILENT, TOO_LATE, TRUNCATED
from proxy.upstream.ports import Answered

INTERIM_ANSWERS_MAX = 16
UNSENT_BYTES_MAX = 64 * 1024  # besides what the system holds
NEVER = float("inf")


class BaseConnection(asyncio.Protocol):
    """A connection, open until it is closed by either side, with one exchange at a time.

    `deadline` and `total_deadline` are times of the loop's clock, after which `expire` is to be called.
    `on_end` is called once, with the connection, when it has ended.
    """

    __slots__ = (
        "_answered",
        "_fault",
        "_has_head",
        "_interim_answers",
        "_is_complete",
        "_is_full",
        "_is_head_told",
        "_is_paused",
        "_is_sent",
        "_is_unsent",
        "_loop",
        "_may_be_reused",
        "_overhead_bytes",
        "_pieces",
        "_poll",
        "_timeout_seconds",
        "_transport",
        "deadline",
        "headers",
        "idle_seconds_max",
        "idle_since",
        "is_closed",
        "is_current",
        "on_end",
        "status",
        "total_deadline",
    )

    def __init__(self, on_end: Callable[[Any], object]) -> None:
        self.is_closed = False
        self.on_end = on_end
        self.idle_since = 0.0
        # Whether it still leads where the backend's name does; None for an address, which does not move.
        self.is_current: Callable[[], bool] | None = None
        self.idle_seconds_max = self.deadline = self.total_deadline = NEVER
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._answered: Answered | None = None  # of the exchange under way
        self._timeout_seconds = NEVER
        self._pieces: list[bytes] = []  # of the body, that one read has brought
        self._overhead_bytes = 0  # since the last piece of a body
        self._interim_answers = 0
        self._fault: UpstreamError | None = None
        self._is_sent = self._is_full = self._is_paused = False
        self._is_unsent = False  # nothing was done with the request, as the backend says
        self._has_head = self._is_head_told = False
        self._is_complete = self._may_be_reused = True

    @property
    def transport(self) -> asyncio.Transport | None:
        """Return its transport, as long as there is one."""
        return self._transport

    def pause(self) -> None:
        """Read no more of the answer for now."""
        if not self._is_paused and self._transport is not None and not self.is_closed:
            self._is_paused = True
            self.deadline = NEVER
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            self._expect()
            if self._transport is not None and not self.is_closed:
                self._transport.resume_reading()

    def is_reusable(self) -> bool:
        """Tell whether the exchange is over and the next one may begin."""
        return self._is_complete and self._may_be_reused and self._is_sent and not self.is_closed

    def has_input(self) -> bool:
        """Ask the system whether the socket can be read: while idle, most often an end that nobody has seen
        yet.
        """
        if self._poll is None:
            sock = self._transport.get_extra_info("socket") if self._transport is not None else None
            if sock is None or sock.fileno() < 0:
                return True
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close at once, whatever is under way, and tell nobody."""
        self.is_closed = True
        self._answered = None
        self.deadline = self.total_deadline = NEVER
        if self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """Close what is not, or no longer, wanted."""
        self.close()

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        fault = TOO_LATE if self._loop.time() >= self.total_deadline else SILENT
        self.deadline = self.total_deadline = NEVER
        if self._answered is not None:
            self._break_off(fault.build_error())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(UNSENT_BYTES_MAX)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.is_closed = True
        self._transport = self._poll = None
        if self._answered is not None:
            self._break_off(None)
        self.on_end(self)

    def _tell(self, answered: Answered) -> None:
        """Tell what one read has brought, in its order."""
        if self._has_head and not self._is_head_told:
            self._is_head_told = True
            answered.take_head(self.status, self.headers)
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            if self._answered is answered:
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                answered.exchange.take_answer(data, len(pieces))
        if self._answered is not answered:
            return  # what was told has ended it
        if self._is_complete:
            self._answered = None
            self._tell_end(answered)
        elif self._fault is not None:
            self._break_off(self._fault)
        else:
            self._go_on()

    def _tell_end(self, answered: Answered) -> None:
        self.deadline = self.total_deadline = NEVER
        if self._is_paused:
            self.resume()  # the next exchange would wait for ever
        if self._fault is not None:
            self._may_be_reused, self._fault = False, None
        answered.finish()

    def _break_off(self, error: UpstreamError | None) -> None:
        """End the connection and its exchange; None for an end that was the backend's."""
        answered, is_untouched = self._answered, self._is_untouched()
        if error is None:
            error = (TRUNCATED if self._is_head_told else BROKE_OFF).build_error()
        self.close()
        self._fault = None
        if answered is not None:
            answered.fail(error, is_untouched=is_untouched, is_unsent=self._is_unsent)

    def _is_untouched(self) -> bool:
        """Tell whether nothing of an answer has come."""
        return not self._has_head and self._overhead_bytes == 0

    def _go_on(self) -> None:
        """More of the answer is to come."""
        self._expect()

    def _expect(self) -> None:
        """Bound the wait for the backend, if it is the backend that is waited for."""
        if self._answered is None or self._is_paused:
            self.deadline = NEVER
        elif self._is_sent or self._is_full or self._has_head:
            self.deadline = self._loop.time() + self._timeout_seconds
        else:
            self.deadline = NEVER
