"""The socket's side of a connection: what goes out and when, whether the client takes it, and the end.

It owns the transport. What is written before the event loop goes on is handed to the system together, and
nothing is lost on the way to an end: closing, and breaking off, come after what was written before them.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from proxy.http1.limits import UNSENT_BYTES_MAX, UNWRITTEN_BYTES_MAX

NEVER = float("inf")


class Wire:
    """One transport, from `attach` to `detach`; before and after, everything goes nowhere.

    `deadline` is the time of the loop's clock at which a client that takes nothing is to be given up.
    """

    __slots__ = (
        "_is_paused",
        "_loop",
        "_timeout_seconds",
        "_transport",
        "_unsent_bytes",
        "_unwritten",
        "_unwritten_bytes",
        "_writable",
        "deadline",
        "is_full",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> None:
        self.deadline = NEVER
        self.is_full = False  # the client takes nothing more at the moment
        self._loop = loop
        self._timeout_seconds = timeout_seconds
        self._transport: asyncio.Transport | None = None
        self._writable: asyncio.Future[None] | None = None
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._unsent_bytes = 0
        self._is_paused = False

    @property
    def is_attached(self) -> bool:
        """Tell whether the connection is still there, be it only to be closed."""
        return self._transport is not None

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport of a new connection."""
        transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        self._transport = transport

    def detach(self) -> None:
        """Let go of a connection that has ended; whoever waits for it to take something goes on."""
        self._transport = None
        self.set_full(False)

    def write(self, data: bytes) -> None:
        """Send bytes on, with what else is written before the loop goes on; into nothing if the client left.

        Handing a head and its body to the system one by one costs more than building both.
        """
        if not self._unwritten:
            self._loop.call_soon(self.flush)
        self._unwritten.append(data)
        self._unwritten_bytes += len(data)
        if self._unwritten_bytes > UNWRITTEN_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand what has been written to the system."""
        if self._unwritten:
            data = b"".join(self._unwritten)
            self._unwritten.clear()
            self._unwritten_bytes = 0
            if self._is_open():
                self._transport.write(data)  # type: ignore[union-attr]

    def end_writing(self) -> None:
        """Tell the client that nothing more will come, and go on reading."""
        self.flush()
        if self._is_open():
            self._transport.write_eof()  # type: ignore[union-attr]
        self.resume_reading()

    def close(self) -> None:
        """Close once everything has been sent."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever has not been sent."""
        self.flush()
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Read nothing more for the time being."""
        if not self._is_paused and self._is_open():
            self._is_paused = True
            self._transport.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused and self._is_open():
            self._is_paused = False
            self._transport.resume_reading()  # type: ignore[union-attr]

    def set_full(self, is_full: bool) -> None:
        """Note whether the client takes more."""
        self.is_full = is_full
        if is_full:
            self._writable = self._loop.create_future()
            return
        self.deadline = NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def wait_writable(self) -> None:
        """Return when the client takes more, or has been given up."""
        if self._writable is not None and self._transport is not None:
            self._unsent_bytes = _count_unsent(self._transport)
            self.deadline = self._loop.time() + self._timeout_seconds
            await asyncio.shield(self._writable)

    def has_taken_some(self) -> bool:
        """Tell whether there is something to send, of which the client has taken some since the last look."""
        unsent = _count_unsent(self._transport) if self._transport is not None else 0
        has_taken = unsent not in (0, self._unsent_bytes)
        self._unsent_bytes = unsent
        return has_taken

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()


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
