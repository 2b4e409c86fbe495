"""Idle connections to backends, kept for the next request to the same origin.

A connection that is not known to be clean is never kept, and none is used again after `IDLE_SECONDS_MAX`: a
request that meets the backend's own end of it can be lost, and a POST may not be sent once more. Those that
nobody wanted are closed by one timer of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

IDLE_CONNECTIONS_MAX = 256  # for each origin
IDLE_CONNECTIONS_TOTAL_MAX = 1024
# By scheme. What serves models in clear (uvicorn, Hypercorn, Node, cpp-httplib) closes after 5 seconds, and a
# new connection to it costs next to nothing; a balancer before a paid API closes after 60, and a handshake is
# dear.
IDLE_SECONDS_MAX = {"http": 4.0, "https": 50.0}
SWEEP_SECONDS = 5.0
Origin = tuple[str, str, int]  # scheme, host, port


class Connection(Protocol):
    """What is kept: something that leads to one origin and serves one exchange at a time."""

    is_closed: bool
    idle_since: float  # of the loop's clock

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
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> C | None:
        """Return a connection that the next request may use, or None."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest = asyncio.get_running_loop().time() - self._seconds_max[origin[0]]
        while idle:
            connection = idle.pop()
            self.size -= 1
            is_fresh = connection.idle_since >= oldest
            # A backend may close at once without having said so: its end may be there, and the loop not have
            # come to it yet. What was sent then could not be sent again.
            if is_fresh and connection.is_reusable() and not connection.has_input():
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
