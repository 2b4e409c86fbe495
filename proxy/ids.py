"""Identifiers that sort by time: a short prefix and a ULID (https://github.com/ulid/spec), in lower case.

Lower case keeps them easy to read and type; the order of the letters, and so of the ids, is unchanged.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from uuid import UUID

from proxy.errors import InvalidInputError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_RANDOM_BYTES = 10
_LOW_BITS = 30
_HIGH_BITS = 8 * _RANDOM_BYTES - _LOW_BITS
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
        self._high, self._high_text, self._low = 0, "", _LOW_BITS_ALL
        self._time_ms, self._time_text, self._time_digits = -1, "", ""  # requests come many to a millisecond

    def next(self, time_us: int) -> tuple[str, str]:
        """Return a fresh ULID for a time in microseconds since the epoch, and the same 128 bits as a UUID."""
        low = self._low = self._low + 1
        if low > _LOW_BITS_ALL:
            self._high = random.getrandbits(_HIGH_BITS)
            self._high_text = encode_ulid(0, (self._high << _LOW_BITS).to_bytes(_RANDOM_BYTES, "big"))[10:20]
            low = self._low = random.getrandbits(_LOW_BITS - 1)
        tail = _PAIRS[low >> 20] + _PAIRS[low >> 10 & 1023] + _PAIRS[low & 1023]
        if time_us // 1000 != self._time_ms:
            self._time_ms = time_us // 1000
            self._time_text = _encode_time(self._time_ms)
            time_digits = f"{self._time_ms & 0xFFFF_FFFF_FFFF:012x}"
            self._time_digits = f"{time_digits[:8]}-{time_digits[8:]}-"
        digits = "%020x" % (self._high << _LOW_BITS | low)
        uuid = f"{self._time_digits}{digits[:4]}-{digits[4:8]}-{digits[8:]}"
        return self._time_text + self._high_text + tail, uuid


def to_uuid(ulid: str) -> str:
    """Return the 128 bits of a ULID in the spelling of a UUID (RFC 9562), which some backends insist on."""
    value = 0
    for character in ulid:
        value = value << 5 | _ALPHABET.index(character)
    return str(UUID(int=value))


def from_uuid(uuid: str) -> str:
    """Return the ULID of which a UUID is another spelling. Raises `ValueError` for what is none."""
    value = UUID(uuid).int
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def new_id(prefix: str, time_us: int) -> str:
    """Return a fresh id such as `key_01jd…`; prefixes in use are key, rt, log and req."""
    return f"{prefix}_{new_ulid(time_us)}"


def check_id(text: str) -> None:
    """Refuse what cannot be the id of a key or a route, if somebody chooses one."""
    if not _CHOSEN_ID.fullmatch(text):
        raise InvalidInputError(
            f"{text[:60]!r} is not an id", hint="an id is 1 to 50 letters, digits, _ . or -"
        )
