"""Masking: what must not reach the journal is replaced here, before an event is built.

A masked value keeps its authentication scheme (`Bearer [redacted]`), because that much helps to find out
why a request was refused and tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.policy.model import HeaderPairs

MASK = b"[redacted]"
_SCHEME = re.compile(rb"(?:bearer|basic|digest|negotiate) ", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    rb"((?:\A|&)[^=&]*(?:key|token|secret|password|signature|auth)[^=&]*=)[^&]+", re.IGNORECASE
)


def header_names(names: Iterable[str]) -> frozenset[bytes]:
    """Return header names as the hot path compares them: bytes in lower case."""
    return frozenset(name.lower().encode() for name in names)


def redact_headers(headers: HeaderPairs, names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the pairs with the value of every named header masked; order and repetition are kept."""
    return [(name, _mask(value)) if name.lower() in names else (name, value) for name, value in headers]


def redact_query(query: bytes) -> bytes:
    """Return the query with the values of parameters that are named like credentials masked."""
    return _SECRET_PARAMETER.sub(rb"\1" + MASK, query)


def _mask(value: bytes) -> bytes:
    scheme = _SCHEME.match(value)
    return scheme[0] + MASK if scheme else MASK
