"""Masking: what must not reach the journal is replaced here, before an event is built.

A masked value keeps its authentication scheme (`Bearer [redacted]`), because that much helps to find out
why a request was refused and tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

MASK = b"[redacted]"
_SCHEME = re.compile(rb"(?:bearer|basic|digest|negotiate) ", re.IGNORECASE)
# Not in words of every day, among them what clients of models send: `keyword`, `author`, `max_tokens`.
_WORDS = (
    rb"(?:key(?!word|board)|token(?!s)|(?<!max_)(?<!min_)(?<!max_new_)(?<!min_new_)tokens|secret|passw"
    rb"|passphrase|pass(?![a-z])|pwd|signature|auth(?!or(?!i[sz]))|credential|cookie|jwt)"
)
# Atomic: a name is looked through once, or one that repeats a word would cost the square of its length.
_SECRET_PARAMETER = re.compile(rb"((?:\A|&)(?:sig|(?>[^=&]*?" + _WORDS + rb")[^=&]*+)=)[^&]+", re.IGNORECASE)
_SECRET_NAME = re.compile(rb"\Asig\Z|" + _WORDS, re.IGNORECASE)


def header_names(names: Iterable[str]) -> frozenset[bytes]:
    """Return header names as the hot path compares them: bytes in lower case, `-` also written as `_`."""
    lower = {name.lower().encode() for name in names}
    return frozenset(lower | {name.replace(b"-", b"_") for name in lower})


def redact_query(query: bytes) -> bytes:
    """Return the query with the values of parameters that are named like credentials masked."""
    if b"%" in query:
        query = b"&".join([_mask_encoded(parameter) for parameter in query.split(b"&")])
    return _SECRET_PARAMETER.sub(rb"\1" + MASK, query)


def names_secret(name: str) -> bool:
    """Tell whether a parameter, a header or a field is named like a credential."""
    return _SECRET_NAME.search(name.encode()) is not None


def find_parameters(query: bytes) -> list[bytes]:
    """Return the values that `redact_query` would mask, as they are written and decoded."""
    found: set[bytes] = set()
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        if value and _SECRET_NAME.search(unquote_to_bytes(name)):
            found |= {value, unquote_to_bytes(value)}
    return sorted(found)


def _mask_encoded(parameter: bytes) -> bytes:
    """Return a parameter, masked if its name is a credential's once it has been decoded."""
    name, equals, value = parameter.partition(b"=")
    if not value or b"%" not in name or not _SECRET_NAME.search(unquote_to_bytes(name)):
        return parameter
    return name + equals + MASK


def mask_value(value: bytes) -> bytes:
    """Return what is shown of a credential: its scheme."""
    scheme = _SCHEME.match(value)
    return scheme[0] + MASK if scheme else MASK
