"""Signs of life in a silent event stream: comments, which every reader of such a stream passes over.

Between two events only: a comment inside of one would become part of it (WHATWG HTML, section 9.2.6). What is
sent here is the gateway's own, and counts in no figure of the backend's response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.policy.model import HeaderPairs

COMMENT = b": keep-alive\n\n"
_EVENT_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n")
_TAIL_BYTES = 4


def may_hold_comments(headers: HeaderPairs) -> bool:
    """Tell whether a response, its names in lower case, is an event stream that can be added to."""
    is_stream = False
    for name, value in headers:
        if name == b"content-type":
            is_stream = value.lower().startswith(b"text/event-stream")
        elif name in (b"content-length", b"content-encoding"):
            return False
    return is_stream


class StreamKeepAlive:
    """Sends a comment whenever a stream has been silent for a while and stands between two events."""

    def __init__(self, send: Callable[[bytes], object], interval_seconds: float) -> None:
        self._send = send
        self._interval_seconds = interval_seconds
        self._loop = asyncio.get_running_loop()
        self._tail = _EVENT_ENDS[0]
        self._timer: asyncio.TimerHandle | None = None
        self._last = self._loop.time()

    def start(self) -> None:
        """Begin to look out for silence."""
        self._timer = self._loop.call_later(self._interval_seconds, self._tick)

    def take(self, chunk: bytes) -> None:
        """Note what has been sent on."""
        self._last = self._loop.time()
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:] if len(chunk) < _TAIL_BYTES else chunk[-_TAIL_BYTES:]

    def stop(self) -> None:
        """Send nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        silent_seconds = self._loop.time() - self._last
        wait_seconds = self._interval_seconds
        if silent_seconds < self._interval_seconds:
            wait_seconds -= silent_seconds
        elif self._tail.endswith(_EVENT_ENDS):
            self._send(COMMENT)
        self._timer = self._loop.call_later(wait_seconds, self._tick)
