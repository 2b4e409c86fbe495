"""When a request may be sent once more, and how long to wait before that. Pure: no clock, no I/O, no chance.

What may have been received is never sent twice unless the method allows it (RFC 9110 section 9.2.2) or the
route asks for it by naming a status; and nothing is sent twice whose body cannot be.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from proxy.policy.model import Route

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))  # RFC 9110 section 9.2.1
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}
BACKOFF_SECONDS_MIN = 0.1  # the first back-off is at most this long
BACKOFF_SECONDS_MAX = 5.0
RETRY_AFTER_SECONDS_MAX = 10  # a backend that wants to be left alone for longer is not asked again
_DIGITS_MAX = 4
_DOUBLINGS_MAX = 16


class Failure(Enum):
    """How a try failed; the value names it in a metric."""

    UNSENT = "unreachable"  # no byte of it can have been received
    STALE = "stale"  # an idle connection had most likely been closed before it
    SENT = "broken"  # it may have been received
    STATUS = "status"  # it was answered, with a status that the route names


class Retries(NamedTuple):
    """What a route allows: tries in all, how many may follow one that broke, or one that was answered with
    one of the statuses.
    """

    tries_max: int
    resends_max: int
    answers_max: int
    statuses: frozenset[int]


def build_retries(route: Route, retries_max: int) -> Retries:
    """Return what a route allows; `retries_max` is the configuration's bound."""
    return Retries(
        tries_max=1 + min(retries_max, len(route.targets) + route.retry_count),
        resends_max=min(retries_max, route.retry_count),
        # A route that names a status and no number has each of its backends asked.
        answers_max=min(retries_max, route.retry_count or len(route.targets)),
        statuses=route.retry_statuses,
    )


def is_renewal(retries: Retries, failure: Failure, method: str) -> bool:
    """Tell whether a new connection is tried in place of one that was stale, and counts as no try.

    That says nothing about the backend, but neither that it has received nothing: a method that changes
    nothing is sent once more (RFC 9112 section 9.3.1), unless the route has retries of its own for that.
    """
    return failure is Failure.STALE and method in SAFE_METHODS and retries.resends_max == 0


def may_retry(retries: Retries, failure: Failure, method: str, *, tries: int, received: int) -> bool:
    """Tell whether a request may be sent again after `tries` tries, the last of which failed so.

    `received` is how many of them the backends may have received.
    """
    if tries >= retries.tries_max:
        return False
    if failure is Failure.UNSENT:
        return True
    if failure is Failure.STATUS:
        return received <= retries.answers_max
    return method in IDEMPOTENT_METHODS and received <= retries.resends_max


def backoff_seconds(round_number: int, chance: float, retry_after: bytes | None = None) -> float | None:
    """Return how long to wait before a backend is tried again, or None if it is not to be.

    `round_number` counts from 1; `chance` is between 0 and 1 and spreads those who wait. `Retry-After` (RFC
    9110 section 10.2.3) is honoured if it is in seconds; a date is passed over.
    """
    doublings: int = 2 ** min(round_number - 1, _DOUBLINGS_MAX)
    longest = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * doublings)
    wait = chance * longest
    if retry_after is None or not retry_after.isdigit():
        return wait
    if len(retry_after) > _DIGITS_MAX or int(retry_after) > RETRY_AFTER_SECONDS_MAX:
        return None
    return int(retry_after) + wait
