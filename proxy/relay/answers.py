"""Which heads of answers are taken: those that everybody reads in the same way, and that have an end.

The rules on plain data, besides those that the parser has itself; connection.py asks. A head that breaks one
must never reach a client, nor may its connection be used again.
"""

from __future__ import annotations

import httpx

from proxy.policy.model import HeaderPairs

HEAD_BYTES_MAX = 64 * 1024  # and of all that is no body, such as chunk extensions, between two pieces of one
HEADERS_MAX = 200
_VERSIONS = ("1.1", "1.0")
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
_LENGTH_SIZE, _CODING_SIZE = len(_LENGTH), len(_CODING)


class InvalidAnswerError(httpx.RemoteProtocolError):
    """What came is no HTTP/1.1: the backend did not break off, it said something that nobody can trust."""


def check_size(headers: HeaderPairs, received_bytes: int) -> None:
    """Raise for a head that is too long; `received_bytes`, what has come so far, spares the counting."""
    if len(headers) > HEADERS_MAX or (
        received_bytes > HEAD_BYTES_MAX
        and sum(len(name) + len(value) + 4 for name, value in headers) > HEAD_BYTES_MAX
    ):
        raise httpx.RemoteProtocolError("the head of the answer is too long")


def is_framed(headers: HeaderPairs, version: str) -> bool:
    """Tell whether a head says where its body ends; raise if it says so in a way that can be misread.

    RFC 9112 sections 6.1 and 6.3: a coding besides `chunked`, `chunked` twice, or any coding in HTTP/1.0 is
    read differently by others. A parser refuses a length that is malformed or doubled.
    """
    if version not in _VERSIONS:
        raise httpx.RemoteProtocolError("the answer is not HTTP/1.1")
    has_length = has_coding = False
    for name, value in headers:
        # Comparing sizes spares making the lower case of nearly every name.
        size = len(name)
        if size == _LENGTH_SIZE and name.lower() == _LENGTH:
            has_length = True
        elif size == _CODING_SIZE and name.lower() == _CODING:
            if has_coding or version == "1.0" or value.strip(b" \t").lower() != b"chunked":
                raise httpx.RemoteProtocolError("the answer is framed in a way that can be misread")
            has_coding = True
    if has_length and has_coding:
        raise httpx.RemoteProtocolError("the answer is framed twice")
    return has_length or has_coding
