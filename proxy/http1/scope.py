"""A request's head as the scope of an ASGI application."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from proxy.http1.parser import Head

EMPTY_QUERY_KEY = "fastgate.empty_query"  # in the extensions of a target that ends with its `?`
Address = tuple[str, int]
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]+)(?![^/?])", re.IGNORECASE)
_ASGI = {"version": "3.0", "spec_version": "2.4"}


def build_scope(head: Head, peer: Address | None, local: Address | None) -> dict[str, Any]:
    """Return the scope of a request. Nothing is decoded but `path`; `raw_path` is what the client wrote."""
    target = head.target if head.target[:1] == b"/" else _strip_authority(head)
    path, question, query = target.partition(b"?")
    text = path.decode("latin-1")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": head.version,
        "method": head.method,
        "scheme": "http",
        "path": unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": head.headers,
        "client": peer,
        "server": local,
        "extensions": {EMPTY_QUERY_KEY: True} if question and not query else {},
    }


def _strip_authority(head: Head) -> bytes:
    """Return a target without the host that it repeats (RFC 9112 section 3.2.2); every other one as it is."""
    absolute = _ABSOLUTE_FORM.match(head.target)
    hosts = [value.lower() for name, value in head.headers if name == b"host"]
    if absolute is None or hosts != [absolute[1].lower()]:
        return head.target
    rest = head.target[absolute.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


def read_address(name: Any) -> Address | None:
    """Return host and port of a socket's name; None for a socket that has no such name."""
    return (name[0], name[1]) if isinstance(name, tuple) else None
