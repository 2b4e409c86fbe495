"""What `routes lint` finds: routes that nothing reaches, and routes that trust where they should not.

`find_faults` is pure: it looks at the routes alone, resolves nothing, and connects to nothing.
`find_missing` looks at what routes refer to on this machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from fastgate_cli.headers import find_bare_credentials, find_bare_fields
from proxy.policy.coverage import covers
from proxy.policy.framing import find_fault
from proxy.policy.json_text import parse_json
from proxy.policy.model import METHODS, RequestHead
from proxy.policy.routing import CompiledRoute

Rule = Literal["shadowed", "duplicate", "unreachable", "insecure", "unusable", "unresolved"]
Level = Literal["error", "warning"]
_Fault = tuple[Level, Rule, str]
_WILDCARDS = re.compile(r"\{[^{}]*\}|\*+")
_FILLING = "41"  # makes whatever stands around a wildcard a path that can be, `%` included
_PRIVATE_SUFFIXES = ("localhost", "local", "internal", "lan", "test", "home.arpa", "svc")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one route."""

    route_id: str
    level: Level
    rule: Rule
    message: str


def find_faults(routes: Sequence[CompiledRoute], system_paths: frozenset[bytes]) -> Iterator[Finding]:
    """Yield the faults of the routes that are in use, given in the order in which they are tried."""
    active = [compiled for compiled in routes if compiled.route.is_active]
    for position, compiled in enumerate(active):
        if finding := _find_shadow(compiled, active[:position]):
            yield finding
        for level, rule, message in (
            *_find_unreachable(compiled, system_paths),
            *_find_insecure(compiled),
        ):
            yield Finding(compiled.route.route_id, level, rule, message)


def find_missing(
    routes: Iterable[CompiledRoute], environ: Mapping[str, str], folder: Path
) -> Iterator[Finding]:
    """Yield what the routes in use refer to and is not there: variables, files, authorities."""
    from proxy.references import find_dangling

    for compiled in routes:
        route = compiled.route
        if not route.is_active:
            continue
        for problem in find_dangling(route, environ, folder):
            # The gateway may have a variable that this shell lacks; a file is the same for both.
            level: Level = "warning" if problem.startswith("${env:") else "error"
            message = f"{problem} here; without it the gateway leaves the route out"
            yield Finding(route.route_id, level, "unresolved", message)
        if route.tls_ca:
            from proxy.upstream.contexts import find_authority_fault  # loads ssl

            if problem := find_authority_fault(route):
                yield Finding(route.route_id, "error", "unusable", problem)


def _find_shadow(compiled: CompiledRoute, earlier: Iterable[CompiledRoute]) -> Finding | None:
    own = compiled.pattern.literal_prefix
    for other in earlier:
        # The prefixes are compared first: they alone rule out nearly every pair.
        if own.startswith(other.pattern.literal_prefix) and covers(other, compiled):
            route, shade = compiled.route, other.route.route_id
            if covers(compiled, other):
                return Finding(
                    route.route_id, "error", "duplicate", f"it matches just what {shade} matches first"
                )
            return Finding(route.route_id, "error", "shadowed", f"{shade} takes every request before it")
    return None


def _find_unreachable(compiled: CompiledRoute, system_paths: frozenset[bytes]) -> Iterator[_Fault]:
    pattern = compiled.pattern
    sample = _WILDCARDS.sub(_FILLING, pattern.text).encode()
    head = RequestHead("GET", sample, b"", [(b"host", b"x")])
    if fault := find_fault(head, encoded_slash=compiled.route.encoded_slash):
        yield "error", "unreachable", f"no request for {pattern.text} is let in: {fault[1]}"
    if pattern.text.encode() in system_paths:
        yield (
            "error",
            "unreachable",
            f"the gateway's own page is at {pattern.text}; app.system_prefix moves it",
        )
    methods = compiled.route.match_methods
    if methods and not methods & METHODS:
        yield "error", "unreachable", f"the gateway forwards no {', '.join(sorted(methods))}"
    if compiled.route.match_body_schema is False:
        yield "error", "unreachable", "no body fits its schema"


def _find_insecure(compiled: CompiledRoute) -> Iterator[_Fault]:
    route = compiled.route
    for origin in (compiled.origin, *route.targets):
        if origin.startswith("http://") and not _is_private(origin):
            yield "warning", "insecure", f"{origin} is public and the way to it is not encrypted"
    for name in find_bare_credentials(dict(route.add_headers)):
        yield "warning", "insecure", describe_bare(name)
    for name in find_bare_fields({name: parse_json(text) for name, text in route.add_body_fields}):
        yield "warning", "insecure", f"the body field {name} is stored as written, and sent to the backend"
    if not route.tls_verify:
        yield "warning", "insecure", "the certificate of the backend is not checked"
    if _sends_one_path(compiled):
        yield "warning", "insecure", f"every path it matches is sent as {route.target_path}"


def describe_bare(name: str) -> str:
    """Return what is said of a header whose value is a secret as it is."""
    return f"the value of {name} is stored as written; ${{env:NAME}} would keep it out"


def _sends_one_path(compiled: CompiledRoute) -> bool:
    route = compiled.route
    has_wildcard = not compiled.pattern.is_exact
    return (
        has_wildcard
        and bool(route.target_path)
        and not route.strip_path_prefix
        and "{" not in route.target_path
    )


def _is_private(origin: str) -> bool:
    host = (urlsplit(origin).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        is_bare = "." not in host
        return is_bare or any(host == suffix or host.endswith("." + suffix) for suffix in _PRIVATE_SUFFIXES)
