"""Identifiers that sort by time: a short prefix and a ULID (https://github.com/ulid/spec), in lower case.

Lower case keeps them easy to read and type; the order of the letters, and so of the ids, is unchanged.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache

from proxy.errors import InvalidInputError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_RANDOM_BYTES = 10
_LOW_BITS = 30
_LOW_BITS_ALL = (1 << _LOW_BITS) - 1
_CHOSEN_ID = re.compile(r"[A-Za-z0-9_.-]{1,50}")


def encode_ulid(time_ms: int, randomness: bytes) -> str:
    """Return the 26 characters for 48 bits of milliseconds since the epoch and 80 bits of randomness."""
    value = int.from_bytes(randomness, "big")
    tail = "".join([_PAIRS[value >> shift & 1023] for shift in range(70, -1, -10)])
    return _encode_time(time_ms) + tail


@lru_cache(maxsize=4)
def _encode_time(time_ms: int) -> str:
    # Requests come many to a millisecond.
    return "".join([_PAIRS[time_ms >> shift & 1023] for shift in range(40, -1, -10)])


def new_ulid(time_us: int) -> str:
    """Return a fresh ULID for a time in microseconds since the epoch. It names things and is no secret."""
    return encode_ulid(time_us // 1000, random.randbytes(_RANDOM_BYTES))  # noqa: S311


class UlidSource:
    """Makes the ULIDs of one thread: in one millisecond each is the one before plus one, as the specification
    allows, so that they sort by their order too.

    Only the last 30 bits count on; those before are drawn at random, once for a thousand million.
    """

    def __init__(self) -> None:
        self._high, self._low = "", _LOW_BITS_ALL

    def next(self, time_us: int) -> str:
        """Return a fresh ULID for a time in microseconds since the epoch."""
        low = self._low = self._low + 1
        if low > _LOW_BITS_ALL:
            self._high = encode_ulid(0, random.randbytes(_RANDOM_BYTES))[10:20]  # noqa: S311
            low = self._low = random.getrandbits(_LOW_BITS - 1)
        tail = _PAIRS[low >> 20] + _PAIRS[low >> 10 & 1023] + _PAIRS[low & 1023]
        return _encode_time(time_us // 1000) + self._high + tail


def new_id(prefix: str, time_us: int) -> str:
    """Return a fresh id such as `key_01jd…`; prefixes in use are key, rt, log and req."""
    return f"{prefix}_{new_ulid(time_us)}"


def check_id(text: str) -> None:
    """Refuse what cannot be the id of a key or a route, if somebody chooses one."""
    if not _CHOSEN_ID.fullmatch(text):
        raise InvalidInputError(
            f"{text[:60]!r} is not an id", hint="an id is 1 to 50 letters, digits, _ . or -"
        )
