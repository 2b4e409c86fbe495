"""What an intermediary has to refuse before anything else looks at a request.

Two parties that read one request differently are how requests are smuggled, so everything that could be
read in two ways is refused here: doubled or contradictory framing, a doubtful Host, and paths that some
backend would normalise into another one (RFC 9112 sections 3.2 and 6.3, RFC 3986 section 6.2).
"""

from __future__ import annotations

import re

from proxy.policy.model import METHODS, RequestHead

# A slash that is escaped is one to a backend that decodes before it splits.
_SLASH = rb"(?:/|%2[fF])"
# Servlet containers cut `;…` off a segment before they resolve dots, so it ends a segment here as well.
_DOTS = _SLASH + rb"(?P<dots>(?:\.|%2[eE]){1,2})(?:[/;]|%3[bB]|%2[fF]|\Z)"
_DOT_SEGMENT = re.compile(_DOTS)
_BAD_ANYWHERE = rb"|\\|#|%(?:00|0[aAdD]|5[cC])|%(?![0-9A-Fa-f]{2})|" + _DOTS + rb"|[^!-~]"
_BAD_PATH = re.compile(rb"//|%2[fF]" + _BAD_ANYWHERE)
# For a route that takes `%2F`: it may stand within a segment, and make no empty one.
_BAD_PATH_BUT_SLASHES = re.compile(_SLASH + rb"{2}" + _BAD_ANYWHERE)
_ENCODED_SLASH = re.compile(rb"%2[fF]")
_EMPTY_SEGMENT = re.compile(_SLASH + rb"{2}")
_BAD_QUERY = re.compile(rb"[^!-~]|#")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ ]+ HTTP/1\.[01]")
_ABSOLUTE_FORM = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/]*)")
_CONTENT_LENGTH_DIGITS_MAX = 19  # what a signed 64-bit integer can hold
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_CHECKED = frozenset((b"host", b"content-length", b"transfer-encoding"))


def find_fault(head: RequestHead, *, encoded_slash: bool = False) -> tuple[str, str] | None:
    """Return None, or the reason (for the audit row) and the message (for the client) of a refusal.

    With `encoded_slash`, `%2F` within a segment is none yet: whether it is depends on the route.
    """
    if head.method not in METHODS:
        return "bad_request", "this method is not supported"
    if not head.path.startswith(b"/"):
        return _find_target_fault(head)
    if bad := (_BAD_PATH_BUT_SLASHES if encoded_slash else _BAD_PATH).search(head.path):
        return "bad_path", _describe_path_fault(bad)
    if head.query and (bad := _BAD_QUERY.search(head.query)):
        what = _describe_character(bad[0])
        return "bad_request", f"the query has {what} at position {bad.start()}, which no URL can hold"
    return _find_header_fault(head)


def find_encoded_slash(path: bytes) -> tuple[str, str] | None:
    """Return the fault of a path that has `%2F` where the route does not take it, or None if it has none."""
    bad = _ENCODED_SLASH.search(path)
    return ("bad_path", _describe_path_fault(bad)) if bad else None


def _describe_path_fault(bad: re.Match[bytes]) -> str:
    """Say what was found and where, in our words: what a client sent is not repeated, but for escapes."""
    found, position = bad[0], bad.start()
    if _ENCODED_SLASH.fullmatch(found):
        hint = "a route that allows it says --encoded-slash"
        return f"the path has {found.decode()} at position {position}; {hint}"
    if "dots" in bad.re.groupindex and bad["dots"] is not None:
        return f"the path has a segment '.' or '..' at position {bad.start('dots')}"
    if len(found) == 1:
        what = _describe_character(found)
    elif found.startswith((b"/", b"%2")):
        what = "an empty segment"
    else:
        what = found.decode()
    return f"the path has {what} at position {position}"


def _describe_character(character: bytes) -> str:
    if character == b"%":
        return "a '%' without two hexadecimal digits"
    if character in (b"#", b"\\"):
        return f"a '{character.decode()}'"
    return "a space" if character == b" " else f"the byte 0x{character[0]:02x}"


def is_request_line(line: bytes) -> bool:
    """Tell whether a line, without its end, asks in HTTP/1.0 or 1.1 (RFC 9112 section 3).

    llhttp takes `GET /x RTSP/1.1` too, and tells the version alone.
    """
    return _REQUEST_LINE.fullmatch(line) is not None


def has_dot_segment(path: bytes) -> bool:
    """Tell whether a path names `.` or `..` as a segment, in any spelling that a backend may resolve."""
    return _DOT_SEGMENT.search(path) is not None


def has_empty_segment(path: bytes) -> bool:
    """Tell whether two slashes of a path follow each other, escaped ones included."""
    return _EMPTY_SEGMENT.search(path) is not None


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
