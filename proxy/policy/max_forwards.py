"""`Max-Forwards`: how many intermediaries may still pass an `OPTIONS` request on (RFC 9110 section 7.6.2)."""

from __future__ import annotations

import re

from proxy.policy.model import HeaderPairs

_NAME = b"max-forwards"
_COUNT = re.compile(rb"[0-9]{1,10}")


def is_used_up(headers: HeaderPairs) -> bool:
    """Tell whether a request may go no further; a value that is no number says nothing."""
    return any(name == _NAME and _COUNT.fullmatch(value) and not int(value) for name, value in headers)


def count_down(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with one forward less; they are not used up."""
    return [
        (name, b"%d" % (int(value) - 1)) if name == _NAME and _COUNT.fullmatch(value) else (name, value)
        for name, value in headers
    ]
