"""The socket's side of a client's connection: what goes out, whether the client takes it, and the end.

It owns the transport, and nothing is lost on the way to an end: closing, and breaking off, come after what
was written before them. The head of a response goes to the system with the first piece of its body, where
that comes in the same turn of the event loop: uvloop writes at once, and a second call costs more than the
whole head.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from proxy.http1.limits import LINGER_BYTES_MAX, LINGER_BYTES_MIN, UNSENT_BYTES_MAX

NEVER = float("inf")


class Wire:
    """One transport, from `attach` to `detach`; before and after, everything goes nowhere.

    `deadline` is the time of the loop's clock at which a client that takes nothing is to be given up.
    `is_full` while it takes nothing. `is_lingering` once nothing more is sent, and what comes is only passed
    over.
    """

    __slots__ = (
        "_held",
        "_is_paused",
        "_lingered",
        "_loop",
        "_timeout_seconds",
        "_unsent_bytes",
        "deadline",
        "is_full",
        "is_lingering",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> None:
        self.deadline = NEVER
        self.transport: asyncio.Transport | None = None
        self._held = b""
        self._loop = loop
        self._timeout_seconds = timeout_seconds
        self._unsent_bytes = 0
        self._is_paused = False
        self.is_full = self.is_lingering = False
        self._lingered = (0, 0)  # bytes that came meanwhile: in all, and at the last look

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport of a new connection."""
        transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self.transport = transport

    def detach(self) -> None:
        """Let go of a connection that has ended."""
        self.transport = None
        self._held = b""
        self.deadline = NEVER
        self.is_full = False

    def hold(self, data: bytes) -> None:
        """Send bytes with those that are written next, at the latest at the end of this turn."""
        self._held += data
        self._loop.call_soon(self._flush)

    def write(self, data: bytes) -> None:
        """Send bytes; into nothing if the client has left."""
        if self._held:
            data, self._held = self._held + data, b""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def _flush(self) -> None:
        if self._held:
            self.write(b"")

    def linger(self) -> None:
        """Tell the client that nothing more will come, and go on reading: it is still sending.

        Closing a socket on unread bytes resets the connection, and the answer is lost with it.
        """
        self.is_lingering = True
        self._flush()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def count_lingering(self, size: int) -> bool:
        """Count what comes while it lingers; return False once it is too much in all."""
        total, before = self._lingered
        self._lingered = (total + size, before)
        return total + size <= LINGER_BYTES_MAX

    def may_linger(self) -> bool:
        """Tell whether enough has come since the last look to go on for a while."""
        total, before = self._lingered
        self._lingered = (total, total)
        return total - before >= LINGER_BYTES_MIN

    def close(self) -> None:
        """Close once everything has been sent."""
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close now, but hand the system first what this turn has written."""
        self._flush()
        # One that is closing may wait for a client that takes nothing.
        if self.transport is not None:
            # A transport that has been told to write may do so at the end of the turn: an abort would
            # overtake it.
            self._loop.call_soon(self.transport.abort)

    def pause_reading(self) -> None:
        """Read nothing more for the time being."""
        if not self._is_paused and self.transport is not None and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused:
            self._is_paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    def note_full(self) -> None:
        """The client takes nothing more: from now on it has to take some within its time."""
        if self.transport is not None:
            self.is_full = True
            self._unsent_bytes = _count_unsent(self.transport)
            self.deadline = self._loop.time() + self._timeout_seconds

    def note_room(self) -> None:
        """The client takes more."""
        self.is_full = False
        self.deadline = NEVER

    def has_taken_some(self) -> bool:
        """Tell whether there is something to send, of which the client has taken some since the last look."""
        unsent = _count_unsent(self.transport) if self.transport is not None else 0
        has_taken = unsent not in (0, self._unsent_bytes)
        self._unsent_bytes = unsent
        return has_taken


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
