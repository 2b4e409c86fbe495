"""Identifiers that sort by time: a short prefix and a ULID (https://github.com/ulid/spec), in lower case.

Lower case keeps them easy to read and type; the order of the letters, and so of the ids, is unchanged.
"""

from __future__ import annotations

import random
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_RANDOM_BYTES = 10


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


def new_id(prefix: str, time_us: int) -> str:
    """Return a fresh id such as `key_01jd…`; prefixes in use are key, rt, log and req."""
    return f"{prefix}_{new_ulid(time_us)}"
