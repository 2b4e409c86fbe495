"""Media types of request bodies (RFC 9110 section 8.3.1): which of them rule JSON out, and a form's boundary.

Many clients send JSON under another name: `curl -d` calls it a form, some say `text/plain`, or nothing. So
what may be JSON is looked at as JSON; only a type that no such client uses says that it is something else.
"""

from __future__ import annotations

import re

_FORM = b"multipart/form-data"
_OTHER_KINDS = (b"multipart/", b"image/", b"audio/", b"video/", b"font/", b"application/grpc")
_OTHER_TYPES = frozenset(
    (
        b"application/octet-stream",
        b"application/pdf",
        b"application/zip",
        b"application/gzip",
        b"application/x-tar",
        b"application/protobuf",
        b"application/x-protobuf",
    )
)
_JSON_SUFFIX = b"+json"
_ESSENCE = re.compile(
    rb"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100})[ \t]*(?:;|\Z)"
)
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"([^\"\\]*)\"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))"
)
# RFC 2046 section 5.1.1, without the blanks and the few characters that servers disagree on.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,70}")


def read_type(values: list[bytes]) -> bytes:
    """Return type and subtype in lower case; empty unless exactly one is stated, and well-formed."""
    match = _ESSENCE.match(values[0]) if len(values) == 1 else None
    return match[1].lower() if match else b""


def rules_out_json(media_type: bytes) -> bool:
    """Tell whether a body of this type is no JSON, and not meant to be taken for it."""
    if media_type.endswith(_JSON_SUFFIX):
        return False
    return media_type in _OTHER_TYPES or media_type.startswith(_OTHER_KINDS)


def is_form(media_type: bytes) -> bool:
    """Tell whether a body of this type is a form with parts (RFC 7578)."""
    return media_type == _FORM


def read_boundary(value: bytes) -> bytes | None:
    """Return the boundary in the `Content-Type` of a form; None unless there is one, plainly written."""
    found = []
    position = value.find(b";")
    while 0 <= position < len(value):
        match = _PARAMETER.match(value, position)
        if match is None:
            return None
        if match[1].lower() == b"boundary":
            found.append(match[2] if match[2] is not None else match[3])
        position = match.end()
        if not value[position:].strip(b" \t"):
            break
    return found[0] if len(found) == 1 and _BOUNDARY.fullmatch(found[0]) else None
