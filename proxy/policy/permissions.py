"""Permissions: which routes a key may use.

An empty list allows every route. Otherwise one entry has to allow the request: `*`, a path pattern with or
without a method before it (`POST /v1/chat/*`), or `route:GLOB` on a route's id or name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from proxy.errors import InvalidInputError
from proxy.policy.model import RequestHead, Route
from proxy.policy.patterns import compile_pattern

Permission = Callable[[RequestHead, Route], bool]
_ROUTE = "route:"
_HINT = "write it as '/v1/*', 'POST /v1/chat/*', 'route:NAME' or '*'"


def compile_permissions(entries: Sequence[str]) -> tuple[Permission, ...]:
    """Return one predicate an entry; `InvalidInputError` for an entry that means nothing."""
    return tuple(_compile(entry) for entry in entries)


def is_permitted(permissions: Sequence[Permission], head: RequestHead, route: Route) -> bool:
    """Tell whether a key with these permissions may send this request to this route."""
    return not permissions or any(permits(head, route) for permits in permissions)


def _compile(entry: str) -> Permission:
    if entry == "*":
        return lambda _head, _route: True
    if entry.startswith(_ROUTE) and len(entry) > len(_ROUTE):
        return _route_permission(entry.removeprefix(_ROUTE))
    method, _, path = entry.rpartition(" ")
    if not path.startswith("/") or not (method == "" or method.strip().isalpha()):
        raise InvalidInputError(f"{entry!r} is not a permission", hint=_HINT)
    return _path_permission(method.strip().upper(), path)


def _route_permission(glob: str) -> Permission:
    return lambda _head, route: fnmatchcase(route.route_id, glob) or fnmatchcase(route.route_name, glob)


def _path_permission(method: str, path: str) -> Permission:
    match = compile_pattern(path).match
    return lambda head, _route: (method in ("", "ANY", head.method)) and match(head.path) is not None
