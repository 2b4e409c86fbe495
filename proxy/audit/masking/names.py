"""Masking by name: headers and parameters that are named like credentials.

A masked value keeps its authentication scheme (`Bearer [redacted]`), because that much helps to find out
why a request was refused and tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

MASK = b"[redacted]"
_SCHEME = re.compile(rb"(?:bearer|basic|digest|negotiate) ", re.IGNORECASE)
# Not in words of every day, among them what clients of models send: `keyword`, `author`, `max_tokens`.
_WORDS = (
    rb"(?:key(?!word|board)|token(?!s)|(?<!max_)(?<!min_)(?<!max_new_)(?<!min_new_)tokens|secret|passw"
    rb"|passphrase|pass(?![a-z])|pwd|signature|auth(?!or(?!i[sz]))|credential|cookie|jwt)"
)
# Atomic: a name is looked through once, or one that repeats a word would cost the square of its length.
# A value ends at `&` alone: what reads `;` as an end as well finds it in a value that is masked then.
_SECRET_PARAMETER = re.compile(
    rb"((?:\A|[&;])(?:sig|(?>[^=&;]*?" + _WORDS + rb")[^=&;]*+)=)[^&]+", re.IGNORECASE
)
_URL_PARAMETERS = re.compile(rb"([?#])")
_USER_INFO = re.compile(rb"(//)[^/?#\s]*@")
# Headers that name a page: its query may hold what the request's own query may.
URL_HEADERS = frozenset(
    {
        *(b"referer", b"location", b"content-location", b"refresh", b"destination"),
        *(b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-forwarded-uri", b"x-forwarded-url"),
    }
)
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


def redact_url(url: bytes) -> bytes:
    """Return a URL, or a path, without credentials: its user, and in its query and fragment as of a query."""
    if b"@" in url:
        url = _USER_INFO.sub(rb"\1" + MASK + b"@", url)
    if b"=" not in url:
        return url
    address, *parts = _URL_PARAMETERS.split(url)
    return b"".join([address, *map(redact_query, parts)])


def names_secret(name: str) -> bool:
    """Tell whether a parameter, a header or a field is named like a credential."""
    return _SECRET_NAME.search(name.encode()) is not None


def find_parameters(query: bytes) -> list[bytes]:
    """Return the values that `redact_query` would mask, as they are written and decoded."""
    found: set[bytes] = set()
    for parameter in query.split(b"&"):
        places = list(_find_values(parameter))
        values = {parameter[place:].partition(b";")[0] for place in places}
        # One that reaches to the end of the parameter, as `redact_query` has it.
        values |= {parameter[place:] for place in places[:1]}
        found |= {form for value in values if value for form in (value, unquote_to_bytes(value))}
    return sorted(found)


def find_url_parameters(url: bytes) -> list[bytes]:
    """Return the values in a URL that `redact_url` would mask, as they are written and decoded."""
    if b"=" not in url:
        return []
    return [value for part in _URL_PARAMETERS.split(url)[1:] for value in find_parameters(part)]


def _mask_encoded(parameter: bytes) -> bytes:
    """Return a parameter, masked from where a name is a credential's once it has been decoded."""
    if b"%" not in parameter:
        return parameter
    place = next(_find_values(parameter), len(parameter))
    return parameter[:place] + MASK if place < len(parameter) else parameter


def _find_values(parameter: bytes) -> Iterator[int]:
    """Yield where values begin, in what stands between two `&`, whose decoded names are credentials'."""
    start = 0
    for piece in parameter.split(b";"):
        name, equals, _ = piece.partition(b"=")
        if equals and _SECRET_NAME.search(unquote_to_bytes(name)):
            yield start + len(name) + 1
        start += len(piece) + 1


def mask_value(value: bytes) -> bytes:
    """Return what is shown of a credential: its scheme."""
    scheme = _SCHEME.match(value)
    return scheme[0] + MASK if scheme else MASK
