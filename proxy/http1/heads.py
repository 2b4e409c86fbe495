"""Heads as bytes: those of responses, and what can be told of a request whose head is broken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from proxy.http1.faults import Fault

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_REQUEST_LINE = re.compile(rb"(?:\r\n)*([!-~]{1,100}) ([^ \r\n\0]{1,8192}) HTTP/1\.[01]\r\n")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]+)(?![^/?])", re.IGNORECASE)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def build_head(status: int, headers: Iterable[tuple[bytes, bytes]], framing: bytes) -> bytes:
    """Return the head of a response; `framing` is whole lines that the connection adds.

    Raises `ValueError` for a header with a line break in it: no application shall split a response.
    """
    lines = [b"%b: %b\r\n" % pair for pair in headers]
    head = b"".join((status_line(status), *lines, framing, b"\r\n"))
    if head.count(b"\n") != len(lines) + 2 + framing.count(b"\n"):
        raise ValueError("a header of the response holds a line break")
    return head


def status_line(status: int) -> bytes:
    """Return the first line of a response; a status without a name has none."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def build_refusal(status: int, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b"") -> bytes:
    """Return a whole response, after which the connection is closed."""
    return build_head(status, headers, b"content-length: %d\r\nconnection: close\r\n" % len(body)) + body


def read_target(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a target without the host that it repeats (RFC 9112 section 3.2.2); every other one as it is."""
    if target[:1] == b"/":
        return target
    absolute = _ABSOLUTE_FORM.match(target)
    hosts = [value.lower() for name, value in headers if name == b"host"]
    if absolute is None or hosts != [absolute[1].lower()]:
        return target
    rest = target[absolute.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


def write_plain_refusal(fault: Fault) -> bytes:
    """Return the response to what no application will see, where none has words of its own for it."""
    return build_refusal(fault.status)


def recover_request_line(data: bytes) -> tuple[str, bytes] | None:
    """Return method and target from the beginning of a broken head, for the record alone, or None."""
    match = _REQUEST_LINE.match(data)
    return (match[1].decode("ascii"), match[2]) if match else None
