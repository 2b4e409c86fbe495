"""Redirects of a backend to itself, made to lead a client back to the gateway.

A backend writes `Location`, `Content-Location` and `Refresh` (RFC 9110 sections 10.2.2 and 8.7) with the host
and the path that it was asked for, which are not those that the client knows: followed as they are, they
lead past the gateway, or to nothing. FastAPI does so for each missing slash at the end of a path, LiteLLM for
its `/ui`. What names one of the route's backends names the gateway afterwards, with the prefix that the route
strips put back. A redirect to anywhere else is the backend's to give, and passes untouched, as does a path
that no request through the route could have led to.
"""

from __future__ import annotations

import re
from operator import itemgetter

from proxy.policy.forwarded import Forwarded
from proxy.policy.model import RequestHead
from proxy.policy.routing import CompiledRoute

REDIRECT_HEADERS = frozenset((b"location", b"content-location", b"refresh"))
_ABSOLUTE = re.compile(rb"(?:(https?):)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
# No part gives back what it took: whatever a backend sends gets one pass over it.
_REFRESH = re.compile(
    rb"(\s*+[0-9.]++\s*+[;,]\s*+(?:url\s*+=\s*+)?+([\"']?+))([^\"']*+)(\2\s*+)", re.IGNORECASE | re.DOTALL
)
_PATH_END = re.compile(rb"[?#]|\Z")
_PORT = re.compile(rb":[0-9]+\Z")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_PREFIX = b"x-forwarded-prefix"
_REST = "{rest}"
_name_of = itemgetter(0)


def rewrite_redirects(
    headers: list[tuple[bytes, bytes]],
    head: RequestHead,
    compiled: CompiledRoute,
    forwarded: Forwarded | None = None,
) -> list[tuple[bytes, bytes]]:
    """Return a response's headers, names in lower case, with its redirects to the backend led to the gateway.

    Without one, which is the usual case, that is the same list.
    """
    if REDIRECT_HEADERS.isdisjoint(map(_name_of, headers)) or compiled.route.keep_redirects:
        return headers
    rewriting = _Rewriting(head, compiled, forwarded)
    return [
        (name, rewriting.rewrite(name, value) if name in REDIRECT_HEADERS else value)
        for name, value in headers
    ]


class _Rewriting:
    """What the redirects of one response are read against.

    `scheme` and `host` are the gateway's as the client knows them; `host` is empty if a client of HTTP/1.0
    sends none.
    """

    def __init__(self, head: RequestHead, compiled: CompiledRoute, forwarded: Forwarded | None) -> None:
        self._compiled = compiled
        self._scheme = (forwarded and forwarded.scheme) or head.scheme.encode()
        self._host = (forwarded and forwarded.host) or _find_header(head, b"host")
        self._origins = _list_origins(compiled)
        self._own_prefix = compiled.header_rules.prefix
        self._front_prefix = b"" if forwarded is None else _find_header(head, _PREFIX).rstrip(b"/")

    def rewrite(self, name: bytes, value: bytes) -> bytes:
        """Return the value of one of the three headers as the client is to see it."""
        if name != b"refresh":
            return self._rewrite_reference(value)
        match = _REFRESH.fullmatch(value)
        return value if match is None else match[1] + self._rewrite_reference(match[3]) + match[4]

    def _rewrite_reference(self, value: bytes) -> bytes:
        """Return a reference to the backend as one to the gateway, and any other as it is."""
        absolute = _ABSOLUTE.fullmatch(value)
        if absolute is None:
            is_path = value[:1] == b"/" and value[1:2] != b"\\"  # browsers read that as a second slash
            return (self._restore(value) if is_path else None) or value
        scheme, authority, rest = absolute[1], absolute[2].lower(), absolute[3]
        if not self._is_own((scheme or self._scheme).lower(), authority):
            return value
        target = self._restore(rest if rest[:1] == b"/" else b"/" + rest)
        if target is None:
            return value
        if self._host:
            return (self._scheme + b":" if scheme else b"") + b"//" + self._host + target
        return value if target[1:2] in (b"/", b"\\") else target

    def _is_own(self, scheme: bytes, authority: bytes) -> bool:
        """Tell whether an origin is a backend's.

        One with the backend's port is, whatever its scheme: a backend that hears from `X-Forwarded-Proto`
        that the client speaks https writes `https://backend:8000`. Without a port the other scheme is another
        server, unless it is the client's.
        """
        named = _with_port(scheme, authority)
        return any(
            named == _with_port(own_scheme, own) or (authority == own and scheme == self._scheme)
            for own_scheme, own in self._origins
        )

    def _restore(self, reference: bytes) -> bytes | None:
        """Return path and query as a client has to ask for them, or None if no request leads there."""
        path = _PATH_END.split(reference, maxsplit=1)[0]
        rest = reference[len(path) :]
        if self._front_prefix and path.startswith(self._front_prefix + self._own_prefix + b"/"):
            return reference  # the backend has put both prefixes before it
        if self._own_prefix and path.startswith(self._own_prefix + b"/"):
            path = path[len(self._own_prefix) :]  # it goes by X-Forwarded-Prefix: its own path is the rest
        restored = _restore_path(self._compiled, path)
        return None if restored is None else restored + rest


def _restore_path(compiled: CompiledRoute, path: bytes) -> bytes | None:
    """Return the path that the route makes this one of the backend from, or None.

    Which paths there are for a prefix that does not end in a slash only the route can say: it is tried out.
    """
    if not compiled.route.target_path and not compiled.route.strip_path_prefix:
        return path
    mapping = _find_mapping(compiled)
    if mapping is None:
        return None
    base, prefix = mapping
    stem = base.rstrip(b"/") + b"/"
    if path != base and not path.startswith(stem):
        return None
    rest = path[len(stem) :]
    for candidate in (prefix.rstrip(b"/") + b"/" + rest, prefix + rest):
        match = compiled.pattern.match(candidate)
        if match is not None and compiled.build_path(candidate, match) == path:
            return candidate
    return None


def _find_mapping(compiled: CompiledRoute) -> tuple[bytes, bytes] | None:
    """Return how the backend's paths begin and how the client's do instead, or None if more is changed."""
    route, pattern = compiled.route, compiled.pattern
    prefix = pattern.literal_prefix
    if route.strip_path_prefix:
        return (route.target_path or "/").encode(), prefix.encode()
    base = route.target_path.removesuffix(_REST)
    if base != route.target_path and "{" not in base and pattern.text.rstrip("*") == prefix:
        return base.encode(), prefix.encode()
    return None


def _list_origins(compiled: CompiledRoute) -> list[tuple[bytes, bytes]]:
    """Return scheme and authority of each backend, and of the host that the route asks for by name."""
    route = compiled.route
    origins = [origin.lower().encode() for origin in (compiled.origin, *route.targets)]
    pairs = [(scheme, authority) for scheme, _, authority in (origin.partition(b"://") for origin in origins)]
    return [*pairs, (pairs[0][0], compiled.header_rules.host.lower())]


def _with_port(scheme: bytes, authority: bytes) -> bytes:
    """Return an authority with its port written out."""
    return authority if _PORT.search(authority) else authority.rstrip(b":") + _DEFAULT_PORTS.get(scheme, b"")


def _find_header(head: RequestHead, wanted: bytes) -> bytes:
    return next((value for name, value in head.headers if name == wanted), b"")
