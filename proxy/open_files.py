"""How many files a worker may have open, and how many of its clients' connections they are enough for.

A client's connection must never take the file that its own request needs for a backend: a worker that has
none left for backends would answer everybody with an error, for as long as its clients stay.
"""

from __future__ import annotations

import resource
from contextlib import suppress

from proxy.settings import ProxySettings

# Two dozen for database, journal, log, counters, limits and the event loop, and more while one is replaced.
FILES_FOR_ITSELF = 32
UNLIMITED = -1


def count_needed(proxy: ProxySettings) -> int:
    """Return how many files a worker may come to need: two for each request, one for an idle client."""
    return proxy.max_connections + proxy.max_in_flight + FILES_FOR_ITSELF


def read_limit() -> int:
    """Return how many files this process may open, or `UNLIMITED`."""
    return _read(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def find_highest_limit() -> int:
    """Return how many files this process, or one that it starts, may allow itself, or `UNLIMITED`."""
    return _read(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def raise_limit(needed: int) -> None:
    """Let this process open so many files, or as many as it may allow itself.

    What a shell allows at first, 1,024 as a rule, is for programs that use select(2): it knows no more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _read(soft) != UNLIMITED and soft < needed:
        wanted = needed if _read(hard) == UNLIMITED else min(needed, hard)
        with suppress(ValueError, OSError):  # a system may have a bound of its own below that
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def fit_connections(proxy: ProxySettings, limit: int) -> int:
    """Return how many clients may be connected at a time: `proxy.max_connections`, or fewer if files are few.

    At least one; a file for each request to a backend is left in any case.
    """
    if limit == UNLIMITED:
        return proxy.max_connections
    room = limit - FILES_FOR_ITSELF
    return max(1, min(proxy.max_connections, max(room - proxy.max_in_flight, room // 2)))


def _read(limit: int) -> int:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit
