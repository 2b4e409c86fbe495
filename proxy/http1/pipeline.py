"""Requests that have come before the one under way is over: they wait in their order, bounded in number and
bytes.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from proxy.http1.faults import Fault
from proxy.http1.limits import PIPELINED_REQUESTS_MAX
from proxy.http1.parser import Head

# Shorter pieces of a body are joined: a piece of one byte takes the memory of forty.
_PIECE_BYTES_MIN = 1024


class Waiting(NamedTuple):
    """A request that is not served yet: its head, what is wrong with it, and what has come of its body.

    A piece that is None is the end of the body, one that is text the reason for which there will be none.
    """

    head: Head
    fault: Fault | None
    pieces: list[bytes | str | None]


class Pipeline:
    """Those of one connection. `body_bytes` is how much it holds of bodies."""

    __slots__ = ("_requests", "body_bytes")

    def __init__(self) -> None:
        self.body_bytes = 0
        self._requests: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, head: Head, fault: Fault | None) -> bool:
        """Take a request, whose body follows; return False if it is the last one for which there is room."""
        is_last = len(self._requests) >= PIPELINED_REQUESTS_MAX - 1
        if is_last:
            # The client asks again for what is not answered (RFC 9112 section 9.3.2).
            head = head._replace(is_kept_alive=False)
        self._requests.append(Waiting(head, fault, []))
        return not is_last

    def add_piece(self, data: bytes) -> None:
        """Take a piece of the body of the newest request."""
        pieces = self._requests[-1].pieces
        before = pieces[-1] if pieces else None
        if isinstance(before, bytes) and len(before) < _PIECE_BYTES_MIN:
            pieces[-1] = before + data
        else:
            pieces.append(data)
        self.body_bytes += len(data)

    def end(self, *, is_last: bool) -> bool:
        """The body of the newest request is whole; return whether anything may follow it."""
        newest = self._requests[-1]
        newest.pieces.append(None)
        if is_last:
            self._requests[-1] = newest._replace(head=newest.head._replace(is_kept_alive=False))
        return newest.head.is_kept_alive and not is_last

    def fail(self, reason: str) -> None:
        """The body of the newest request will never be whole."""
        self._requests[-1].pieces.append(reason)

    def take(self) -> Waiting:
        """Return the oldest request, which waits no longer."""
        oldest = self._requests.popleft()
        self.body_bytes -= sum(len(piece) for piece in oldest.pieces if isinstance(piece, bytes))
        return oldest
