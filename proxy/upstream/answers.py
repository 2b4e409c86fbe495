"""Which heads of answers are taken: those that everybody reads in the same way. Pure; all backs ask here.

A head that breaks a rule must never reach a client, nor may its connection be used again. Where a body ends
is said once and in one way (RFC 9112 section 6.3): what is sent on states it anew, from the number returned
here, and never in the backend's spelling. The bytes of HTTP/1.1 are the parser's business: its status line,
obsolete folding, chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.fields import is_field_name, is_field_value
from proxy.upstream.faults import InvalidAnswerError

HEAD_BYTES_MAX = 64 * 1024  # and of all that is no body, such as chunk extensions, between two pieces of one
HEADERS_MAX = 200
CHUNKED = -1
UNTIL_END = -2  # of the connection or, in HTTP/2, of the stream
_VERSIONS = frozenset(("1.1", "1.0", "2"))
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_LENGTH_DIGITS_MAX = 18  # one more may not fit into a signed 64-bit integer
_FIELD_OVERHEAD = 4  # a colon, a space and a line's end
_KNOWN_NAMES_MAX = 128
# RFC 9113 section 8.2.2: a message of HTTP/2 with one of these is malformed.
_OF_CONNECTIONS = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)


class KnownAnswer:
    """The head of an answer that has come before: its headers without the length of the body, which each has.

    `prepared` is for whoever makes something of it.
    """

    __slots__ = ("headers", "idle_seconds_max", "prepared", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], idle_seconds_max: float) -> None:
        self.status = status
        self.headers = [pair for pair in headers if pair[0].lower() != _LENGTH]
        self.idle_seconds_max = idle_seconds_max
        self.prepared: dict[bool, Any] = {}


class _Names(NamedTuple):
    """What the names of a head say: which field states how long the body is, if any, and the names' bytes."""

    framing: int | None
    is_coding: bool
    size: int


def check_answer(status: int, headers: Sequence[tuple[bytes, bytes]], *, version: str) -> int:
    """Return how long the body is that a final answer states, in bytes, or `CHUNKED`, or `UNTIL_END`.

    What a HEAD, a 204 or a 304 has of a body is for the caller to know. `version` is "1.0", "1.1" or "2".
    Raises `InvalidAnswerError` for a head that is not taken.
    """
    if not 200 <= status <= 599:  # RFC 9110 section 15: nothing else is a final status
        raise InvalidAnswerError("bad status")
    if version not in _VERSIONS:
        raise InvalidAnswerError("bad version")
    if not headers:
        return UNTIL_END
    if len(headers) > HEADERS_MAX:
        raise InvalidAnswerError("too many headers")
    names, values = zip(*headers, strict=False)
    framing, is_coding, size = _read_names(names, version)
    joined = b"".join(values)  # to ask for each value would cost more than all the rest
    if size + len(joined) > HEAD_BYTES_MAX:
        raise InvalidAnswerError("head too large")
    if not is_field_value(joined):
        raise InvalidAnswerError("bad header value")
    if framing is None:
        return UNTIL_END
    return _read_coding(values[framing]) if is_coding else _read_length(values[framing])


@lru_cache(maxsize=_KNOWN_NAMES_MAX)  # a backend sends the same names again and again
def _read_names(names: tuple[bytes, ...], version: str) -> _Names:
    joined = b"".join(names)
    size = len(joined) + _FIELD_OVERHEAD * len(names)
    if size > HEAD_BYTES_MAX:
        raise InvalidAnswerError("head too large")
    if not all(names) or not is_field_name(joined):
        raise InvalidAnswerError("bad header name")
    if version == "2":
        _check_http2_names(names)
    lowered = [name.lower() for name in names]
    framing = [place for place, name in enumerate(lowered) if name in (_LENGTH, _CODING)]
    # RFC 9112 section 6.3 lets equal lengths pass; who joins them, and who takes one, reads differently.
    if len(framing) > 1:
        raise InvalidAnswerError("length stated twice")
    is_coding = _CODING in lowered
    # RFC 9112 section 6.1: a coding in HTTP/1.0 may not be understood.
    if is_coding and version == "1.0":
        raise InvalidAnswerError("bad transfer coding")
    return _Names(framing[0] if framing else None, is_coding, size)


def _check_http2_names(names: Sequence[bytes]) -> None:
    for name in names:
        if name != name.lower():  # RFC 9113 section 8.2.1
            raise InvalidAnswerError("bad header name")
        if name in _OF_CONNECTIONS:
            raise InvalidAnswerError("header of HTTP/1.1")


def _read_length(value: bytes) -> int:
    digits = value.strip(b" \t")
    if not digits.isdigit() or len(digits) > _LENGTH_DIGITS_MAX:
        raise InvalidAnswerError("bad length")
    return int(digits)


def _read_coding(value: bytes) -> int:
    # RFC 9112 section 6.1: a coding besides `chunked`, and `chunked` twice, are read differently by others.
    if value.strip(b" \t").lower() != b"chunked":
        raise InvalidAnswerError("bad transfer coding")
    return CHUNKED
