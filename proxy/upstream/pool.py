"""Idle connections to backends, kept for the next request to the same origin.

A connection that is not known to be clean is never kept, and none is used again when the backend may be about
to close it: a request that meets that can be lost, and a POST may not be sent once more. How long a
connection may rest is what the backend says (`Keep-Alive: timeout=1`), what it has shown by closing one, and
never more than `IDLE_SECONDS_MAX`. Those that nobody wanted are closed by one timer of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

IDLE_CONNECTIONS_MAX = 256  # for each origin
IDLE_CONNECTIONS_TOTAL_MAX = 1024
SHOWN_MAX = 1024  # origins of which it is remembered how long they keep a connection
# By scheme. What serves models in clear (uvicorn, Hypercorn, Node, cpp-httplib) closes after 5 seconds, and a
# new connection to it costs next to nothing; a balancer before a paid API closes after 60, and a handshake is
# dear.
IDLE_SECONDS_MAX = {"http": 4.0, "https": 50.0}
SWEEP_SECONDS = 5.0
# Before the time that a backend says it keeps a connection, for clocks that start at another end of the wire.
MARGIN_SECONDS = 0.5
# Of the rest after which a backend has closed a connection, so much is used of the next, and for so long: it
# may have been a restart.
SHOWN_SHARE = 0.75
SHOWN_SECONDS_MAX = 60.0
Origin = tuple[str, str, int]  # scheme, host, port


class Connection(Protocol):
    """What is kept: something that leads to one origin and serves one exchange at a time."""

    is_closed: bool
    idle_since: float  # of the loop's clock
    idle_seconds_max: float  # as the backend says

    @property
    def is_current(self) -> Callable[[], bool] | None:
        """Tells whether it still leads where the backend's name does; None if that does not move."""

    def is_reusable(self) -> bool:
        """Tell whether the exchange is over and the next one may begin."""

    def has_input(self) -> bool:
        """Tell whether something has come in that nobody has seen yet."""

    def close(self) -> None:
        """Close at once."""


C = TypeVar("C", bound=Connection)


class IdlePool(Generic[C]):
    """The idle connections of one transport. The one used last is the first to be used again."""

    def __init__(
        self, *, seconds_max: Mapping[str, float] = IDLE_SECONDS_MAX, sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self.size = 0
        self._seconds_max = seconds_max
        self._sweep_seconds = sweep_seconds
        self._idle: dict[Origin, deque[C]] = {}
        self._shown: dict[Origin, tuple[float, float]] = {}  # seconds of rest, and until when that counts
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> C | None:
        """Return a connection that the next request may use, or None."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        now = asyncio.get_running_loop().time()
        seconds_max = self._find_seconds_max(origin, now)
        while idle:
            connection = idle.pop()
            self.size -= 1
            rest_max = min(seconds_max, connection.idle_seconds_max - MARGIN_SECONDS)
            is_fresh = now - connection.idle_since <= rest_max
            # A backend may close at once without having said so: its end may be there, and the loop not have
            # come to it yet. What was sent then could not be sent again.
            if (
                is_fresh
                and not connection.is_closed  # it was reusable when it came
                and (connection.is_current is None or connection.is_current())
                and not connection.has_input()
            ):
                return connection
            connection.close()
        return None

    def put(self, origin: Origin, connection: C) -> None:
        """Keep a connection, or close it if it may not be used again or there are enough."""
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = deque()
        if (
            self._is_closed
            or not connection.is_reusable()
            or len(idle) >= IDLE_CONNECTIONS_MAX
            or self.size >= IDLE_CONNECTIONS_TOTAL_MAX
        ):
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        idle.append(connection)
        self.size += 1
        if self._sweep is None:
            self._sweep = loop.call_later(self._sweep_seconds, self._close_stale, loop)

    def note_end(self, origin: Origin, connection: C) -> None:
        """Learn from an idle connection that its backend has closed."""
        idle = self._idle.get(origin)
        if idle is None or connection not in idle:
            return
        idle.remove(connection)
        self.size -= 1
        now = asyncio.get_running_loop().time()
        if len(self._shown) >= SHOWN_MAX:
            self._shown.clear()
        self._shown[origin] = ((now - connection.idle_since) * SHOWN_SHARE, now + SHOWN_SECONDS_MAX)

    def close(self) -> None:
        """Close every idle connection; those given back later are closed too."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self.clear()

    def clear(self) -> None:
        """Close every idle connection."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        self.size = 0

    def _find_seconds_max(self, origin: Origin, now: float) -> float:
        seconds = self._seconds_max[origin[0]]
        if self._shown and (shown := self._shown.get(origin)):
            if now < shown[1]:
                return min(seconds, shown[0])
            del self._shown[origin]
        return seconds

    def _close_stale(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for origin, idle in list(self._idle.items()):
            oldest = now - self._seconds_max[origin[0]]
            # The one used last is at the right.
            while idle and (idle[0].is_closed or idle[0].idle_since < oldest):
                idle.popleft().close()
                self.size -= 1
            if not idle:
                del self._idle[origin]
        self._sweep = loop.call_later(self._sweep_seconds, self._close_stale, loop) if self._idle else None
