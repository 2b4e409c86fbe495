"""Heads of messages that come again and again, remembered by their exact bytes but for the digits of
Content-Length.

What is known of a head is kept under its bytes and nothing else, so that one which differs in a single byte
is another head. One is remembered when it comes for the second time: heads that are all different, as tracing
makes them, neither cost anything nor push the others out. When there are too many, all are forgotten.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

HEADS_MAX = 4096
BYTES_MAX = 16 * 1024 * 1024
HEAD_BYTES_MAX = 8 * 1024  # of one that is remembered
SEEN_MAX = 16_384  # heads that have come once
_COPIES = 4  # of a head's bytes that an entry holds in one form or another
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(0|[1-9][0-9]{0,17})(?=\r\n)")

T = TypeVar("T")
HeadKey = tuple[str, bytes] | tuple[str, bytes, bytes]


class Recognised(Generic[T]):
    """What is known of heads. `context` is whatever else what is known depends on, such as who has
    sent it.
    """

    def __init__(self, *, heads_max: int = HEADS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._heads_max = heads_max
        self._bytes_max = bytes_max
        self._known: dict[HeadKey, T] = {}
        self._size = 0
        self._seen: set[int] = set()

    def find(self, context: str, data: bytes, end: int) -> tuple[T, int] | None:
        """Return what is known of a head, the first bytes of `data` up to `end`, and its body's length."""
        match = LENGTH.search(data, 0, end + 2)
        if match is None:
            known, length = self._known.get((context, data[:end])), 0
        else:
            start, stop = match.span(1)
            known, length = self._known.get((context, data[:start], data[stop:end])), int(match[1])
        return None if known is None else (known, length)

    def wants(self, context: str, data: bytes, end: int, *, has_length: bool) -> HeadKey | None:
        """Return under what a head is to be remembered, or None if it is not, or not yet."""
        match = LENGTH.search(data, 0, end + 2) if end <= HEAD_BYTES_MAX else None
        if end > HEAD_BYTES_MAX or has_length != (match is not None):
            return None  # its length is written in another way than the one that is looked for
        if match is None:
            key: HeadKey = (context, data[:end])
        else:
            start, stop = match.span(1)
            key = (context, data[:start], data[stop:end])
        number = hash(key)
        if number in self._seen:
            return key
        if len(self._seen) >= SEEN_MAX:
            self._seen.clear()
        self._seen.add(number)
        return None

    def remember(self, key: HeadKey, known: T) -> None:
        """Remember a head."""
        size = _COPIES * sum(map(len, key))
        if len(self._known) >= self._heads_max or self._size + size > self._bytes_max:
            self.clear()
        if key not in self._known:
            self._size += size
        self._known[key] = known

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._size = 0
