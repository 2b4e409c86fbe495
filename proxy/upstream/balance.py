"""The backends of all routes as one worker knows them: which answer, which are busy, which one is next.

Health is passive: a backend that failed several times in a row is set aside for a while, then one request
tries it again. What is remembered only sets an order: when all of a route's backends are set aside they are
tried all the same. State is kept for an origin, whichever routes lead to it, and outlives snapshots.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from proxy.errors import UpstreamError
from proxy.upstream.pool import Origin

ORIGINS_MAX = 1024
FAILURES_MAX = 3  # in a row; with the last of them a backend is set aside
ASIDE_SECONDS_MIN = 1.0
ASIDE_SECONDS_MAX = 60.0
_DOUBLINGS_MAX = 6
FAILOVER, ROUND_ROBIN, LEAST_IN_FLIGHT = "failover", "round-robin", "least-in-flight"
_PORTS = {"http": 80, "https": 443}
_log = logging.getLogger(__name__)


class Backend:
    """One origin. `in_flight` counts exchanges whose response has not been given back."""

    __slots__ = ("aside_until", "failures", "host", "in_flight", "is_probed", "key", "origin")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.host = origin.partition("://")[2].encode()
        self.key = split_origin(origin)
        self.in_flight = 0
        self.failures = 0
        self.aside_until = 0.0
        self.is_probed = False

    def is_usable(self, now: float) -> bool:
        """Tell whether it is not set aside, or due for the one request that finds out."""
        return self.failures < FAILURES_MAX or (now >= self.aside_until and not self.is_probed)


class Group:
    """The backends of one route in their order, and whose turn it is."""

    __slots__ = ("backends", "balance", "turn")

    def __init__(self, backends: Sequence[Backend], balance: str, turn: int = 0) -> None:
        self.backends = tuple(backends)
        self.balance = balance
        self.turn = turn


class Backends:
    """All backends of a worker. `monotonic` is in seconds; `chance` returns a number from 0 to 1."""

    def __init__(self, monotonic: Callable[[], float], chance: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._chance = chance
        self._by_origin: dict[str, Backend] = {}

    def get(self, origin: str) -> Backend:
        """Return the backend with an origin, `http://host:port`; `UpstreamError` if that is none."""
        backend = self._by_origin.get(origin)
        if backend is None:
            if len(self._by_origin) >= ORIGINS_MAX:
                self._forget()
            backend = self._by_origin[origin] = Backend(origin)
        return backend

    def choose(self, group: Group, tried: Sequence[Backend] = ()) -> Backend | None:
        """Return the backend to try next, or None if all have been tried."""
        if len(group.backends) == 1:
            return None if tried else group.backends[0]
        now = self._monotonic()
        left = [backend for backend in self._order(group) if backend not in tried]
        usable = [backend for backend in left if backend.is_usable(now)]
        if usable and group.balance == LEAST_IN_FLIGHT:
            return min(usable, key=_count_in_flight)
        return next(iter(usable or left), None)

    def is_usable(self, backend: Backend) -> bool:
        """Tell whether a backend is not set aside now."""
        return backend.is_usable(self._monotonic())

    def begin(self, backend: Backend) -> None:
        """Note that a try of it begins; `succeed`, `fail` or `give_up` ends that."""
        backend.in_flight += 1
        if backend.failures >= FAILURES_MAX:
            backend.is_probed = True

    def succeed(self, backend: Backend) -> None:
        """Note that it has answered, whatever the status; the exchange goes on until `finish`."""
        if backend.failures:
            backend.failures = 0
            backend.is_probed = False

    def fail(self, backend: Backend) -> None:
        """Note that it could not be reached, was silent or broke off before it answered."""
        backend.in_flight -= 1
        backend.is_probed = False
        now = self._monotonic()
        if backend.failures >= FAILURES_MAX and now < backend.aside_until:
            return  # of many requests that fail together only one counts
        backend.failures += 1
        if backend.failures >= FAILURES_MAX:
            doublings = min(backend.failures - FAILURES_MAX, _DOUBLINGS_MAX)
            seconds = min(ASIDE_SECONDS_MAX, ASIDE_SECONDS_MIN * 2**doublings) * (0.5 + self._chance() / 2)
            backend.aside_until = now + seconds
            _log.warning("%s fails again and again: others go first for %.1f s", backend.origin, seconds)

    def give_up(self, backend: Backend) -> None:
        """Note that a try ended without telling anything about it: the client has left, say."""
        backend.in_flight -= 1
        backend.is_probed = False

    def finish(self, backend: Backend) -> None:
        """Note that an exchange which it answered is over."""
        backend.in_flight -= 1

    def _order(self, group: Group) -> Sequence[Backend]:
        if group.balance == FAILOVER:
            return group.backends
        start = group.turn % len(group.backends)
        group.turn = start + 1
        return group.backends[start:] + group.backends[:start]

    def _forget(self) -> None:
        # Routes that still lead to one keep it; only its health is no longer shared with new ones.
        idle = [origin for origin, known in self._by_origin.items() if not known.in_flight]
        for origin in idle or list(self._by_origin):
            del self._by_origin[origin]


def _count_in_flight(backend: Backend) -> int:
    return backend.in_flight


def split_origin(origin: str) -> Origin:
    """Return what a connection to `http://host:port` leads to; `UpstreamError` if that is no address."""
    try:
        parts = urlsplit(origin)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _PORTS or not host:
        raise UpstreamError(f"{origin!r} is not a backend's address")
    return scheme, host, port or _PORTS[scheme]
