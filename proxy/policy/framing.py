"""What an intermediary has to refuse before anything else looks at a request.

Two parties that read one request differently are how requests are smuggled, so everything that could be
read in two ways is refused here: doubled or contradictory framing, a doubtful Host, and paths that some
backend would normalise into another one (RFC 9112 sections 3.2 and 6.3, RFC 3986 section 6.2).
"""

from __future__ import annotations

import re

from proxy.policy.model import METHODS, RequestHead

# Servlet containers cut `;…` off a segment before they resolve dots, so it ends a segment here as well.
_DOTS = rb"/(?:\.|%2[eE]){1,2}(?:[/;]|%3[bB]|\Z)"
_DOT_SEGMENT = re.compile(_DOTS)
_BAD_PATH = re.compile(rb"//|\\|#|%(?:00|0[aAdD]|2[fF]|5[cC])|%(?![0-9A-Fa-f]{2})|" + _DOTS + rb"|[^!-~]")
_BAD_QUERY = re.compile(rb"[^!-~]")
_ABSOLUTE_FORM = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/]*)")
_CONTENT_LENGTH_DIGITS_MAX = 19  # what a signed 64-bit integer can hold
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_CHECKED = frozenset((b"host", b"content-length", b"transfer-encoding"))


def find_fault(head: RequestHead) -> tuple[str, str] | None:
    """Return None, or the reason (for the audit row) and the message (for the client) of a refusal."""
    if head.method not in METHODS:
        return "bad_request", "this method is not supported"
    if not head.path.startswith(b"/"):
        return _find_target_fault(head)
    if _BAD_PATH.search(head.path):
        return "bad_path", "the path is not in its plain form"
    if head.query and _BAD_QUERY.search(head.query):
        return "bad_request", "the query holds a character that no URL can hold"
    return _find_header_fault(head)


def has_dot_segment(path: bytes) -> bool:
    """Tell whether a path names `.` or `..` as a segment, in any spelling that a backend may resolve."""
    return _DOT_SEGMENT.search(path) is not None


def is_host(value: bytes) -> bool:
    """Tell whether a value is a host with or without a port, and nothing besides (RFC 9110 section 7.2)."""
    return _HOST.fullmatch(value) is not None


def _find_target_fault(head: RequestHead) -> tuple[str, str]:
    absolute = _ABSOLUTE_FORM.match(head.path)
    hosts = [value.lower() for name, value in head.headers if name == b"host"]
    if absolute and hosts != [absolute[1].lower()]:
        return "bad_host", "the request target names another host than the Host header"
    return "bad_request", "the request target is not a path"


def _find_header_fault(head: RequestHead) -> tuple[str, str] | None:
    hosts = lengths = encodings = 0
    for name, value in head.headers:
        if name not in _CHECKED:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                return "bad_host", "the Host header is malformed"
        elif name == b"content-length":
            lengths += 1
            if not value.isdigit() or len(value) > _CONTENT_LENGTH_DIGITS_MAX:
                return "bad_framing", "the Content-Length header is malformed"
        elif name == b"transfer-encoding":
            encodings += 1
            if value.lower() != b"chunked":
                return "bad_framing", "the only transfer encoding is chunked"
    if lengths + encodings > 1 or (encodings and head.http_version == "1.0"):
        return "bad_framing", "the request states its length in two ways"
    if hosts > 1 or (hosts == 0 and head.http_version == "1.1"):
        return "bad_host", "exactly one Host header is needed"
    return None
