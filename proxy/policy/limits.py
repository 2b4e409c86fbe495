"""Rate limits: the arithmetic of GCRA, and what a client is told of it.

A key's whole state is one number, its theoretical arrival time: when its allowance will be full again, if
nothing more is asked. A request moves it on by one interval (60/N s) and is refused when that would take it
further ahead of now than the burst allows. A time is whole nanoseconds of any clock that does not go back:
a microsecond is too coarse for the highest rate there is, and floats would add up their errors.

Where 60/N is no whole number the interval is rounded up, never down: no more than N a minute pass.
"""

from __future__ import annotations

import msgspec

from proxy.policy.model import ApiKey

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_MILLISECOND_NS = 1_000_000
FULL_NS_MAX = 1 << 62  # 146 years: an arrival time fits 64 bits on any clock younger than that
# The headers that tell a client of its limit.
LIMIT_HEADERS = frozenset(
    (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
)


class Limit(msgspec.Struct, frozen=True):
    """What a key may do: `burst` requests at once, then one every `interval_ns`."""

    burst: int
    interval_ns: int
    full_ns: int  # from nothing left to all of the burst


class Verdict(msgspec.Struct, frozen=True):
    """What became of one request under a limit. No number is negative.

    `arrival_ns` is the arrival time to keep; `reset_ns` is how long until the allowance is full again and
    `retry_ns` how long until the next request is admitted, 0 if one is now.
    """

    limit: Limit
    is_admitted: bool
    arrival_ns: int
    remaining: int
    reset_ns: int
    retry_ns: int

    def lines(self) -> bytes:
        """Return the same three headers, of a request that is admitted, as lines of a head."""
        total_ms = -(-self.reset_ns // _MILLISECOND_NS)
        reset = b"%dms" % total_ms if 0 < total_ms < 1000 else format_duration(self.reset_ns)
        return (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %b\r\n" % (self.limit.burst, self.remaining, reset)
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return what the response says of the limit: three headers as OpenAI names them.

        All three speak of the allowance: how many requests it is when full, how many are left and when it
        will be full. A refusal adds `retry-after` (RFC 9110, section 10.2.3).
        """
        headers = [
            (b"x-ratelimit-limit-requests", b"%d" % self.limit.burst),
            (b"x-ratelimit-remaining-requests", b"%d" % self.remaining),
            (b"x-ratelimit-reset-requests", format_duration(self.reset_ns)),
        ]
        if not self.is_admitted:
            headers.append((b"retry-after", b"%d" % max(1, _divide_up(self.retry_ns, _SECOND_NS))))
        return headers


def build_limit(rate: int, burst: int = 0) -> Limit:
    """Return the limit of `rate` requests a minute, at least 1; `burst` 0 is a minute's allowance.

    A burst that would take longer than `FULL_NS_MAX` to come back is cut to what comes back in that time.
    """
    interval_ns = _divide_up(_MINUTE_NS, rate)
    burst = min(burst or rate, FULL_NS_MAX // interval_ns)
    return Limit(burst, interval_ns, burst * interval_ns)


def resolve_limit(key: ApiKey, *, rate_default: int, burst_default: int) -> Limit | None:
    """Return the limit of a key, its own or the default, or None if it has none (a rate of 0).

    A number below 0 means nothing and counts as not given: a damaged row shall not lift a limit.
    """
    rate = _choose(key.rate_limit, rate_default)
    return build_limit(rate, _choose(key.rate_burst, burst_default)) if rate else None


def judge(limit: Limit, arrival_ns: int, now_ns: int) -> Verdict:
    """Decide on one request now, from the arrival time that the one before it left; 0 for the first.

    No request of this limit can leave an arrival time more than `full_ns` ahead. One that is further ahead
    comes from a stricter limit that the key had, or from another clock: it counts as nothing left, so that
    no key waits longer than one interval for its next request.
    """
    debt_ns = min(max(arrival_ns - now_ns, 0), limit.full_ns)
    retry_ns = debt_ns + limit.interval_ns - limit.full_ns
    if is_admitted := retry_ns <= 0:
        debt_ns += limit.interval_ns
        retry_ns += limit.interval_ns
    remaining = (limit.full_ns - debt_ns) // limit.interval_ns
    return Verdict(limit, is_admitted, now_ns + debt_ns, remaining, debt_ns, max(retry_ns, 0))


def format_duration(duration_ns: int) -> bytes:
    """Return a duration as OpenAI writes it (`120ms`, `1s`, `8.64s`, `6m0s`), rounded up to a millisecond."""
    total_ms = _divide_up(duration_ns, _MILLISECOND_NS)
    if 0 < total_ms < 1000:
        return b"%dms" % total_ms
    minutes, rest_ms = divmod(total_ms, 60_000)
    seconds = b"%d" % (rest_ms // 1000)
    if rest_ms % 1000:
        seconds += b".%03d" % (rest_ms % 1000)
        seconds = seconds.rstrip(b"0")
    if minutes < 60:
        return b"%dm%ss" % (minutes, seconds) if minutes else seconds + b"s"
    return b"%dh%dm%ss" % (minutes // 60, minutes % 60, seconds)


def _choose(own: int | None, default: int) -> int:
    return default if own is None or own < 0 else own


def _divide_up(number: int, divisor: int) -> int:
    return -(-number // divisor)
