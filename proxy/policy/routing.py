"""The route table: every active route compiled once, found by the literal beginning of its pattern.

Order among the routes that match: smaller priority, then the more specific pattern, then the older route.
A look-up touches the routes whose literal prefix the path has, not the table, so a long table costs no more
than a short one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proxy.policy.headers import HeaderRules, build_header_rules, header_values_match
from proxy.policy.model import RequestHead, Route
from proxy.policy.patterns import Pattern, compile_pattern
from proxy.policy.targets import PathBuilder, compile_target


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route with everything that does not depend on a request worked out beforehand."""

    route: Route
    pattern: Pattern
    build_path: PathBuilder
    origin: str
    header_rules: HeaderRules
    rank: int = 0


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The active routes, by exact path and by the folder that their literal prefix ends in."""

    exact: dict[bytes, list[CompiledRoute]] = field(default_factory=dict)
    by_folder: dict[bytes, list[CompiledRoute]] = field(default_factory=dict)
    size: int = 0
    folder_length_max: int = 0  # a path is not looked up beyond the longest folder there is

    def find(self, head: RequestHead) -> tuple[CompiledRoute, re.Match[bytes]] | None:
        """Return the route that serves a request, with its path match, or None."""
        for compiled in self.candidates(head.path):
            methods = compiled.route.match_methods
            if methods and head.method not in methods:
                continue
            match = compiled.pattern.match(head.path)
            if match and header_values_match(compiled.route.match_headers, head.headers):
                return compiled, match
        return None

    def candidates(self, path: bytes) -> list[CompiledRoute]:
        """Return the routes whose literal prefix a path has, in the order they are tried."""
        found = list(self.exact.get(path, ()))
        for folder in _folders(path, self.folder_length_max):
            if at_folder := self.by_folder.get(folder):
                found += at_folder
        found.sort(key=_rank)
        return found


def build_route_table(routes: Iterable[Route], *, strip_headers: Iterable[str] = ()) -> RouteTable:
    """Compile the active routes. Header values are taken as they are: references are resolved before.

    Raises `InvalidInputError` for a route whose pattern, target or headers cannot be compiled.
    """
    strip = tuple(strip_headers)
    table = RouteTable(size=0)
    compiled = sorted((compile_route(route, strip) for route in routes if route.is_active), key=_order)
    for rank, unranked in enumerate(compiled):
        _file_route(table, CompiledRoute(*_fields(unranked), rank=rank))
    longest = max(map(len, table.by_folder), default=0)
    return RouteTable(table.exact, table.by_folder, len(compiled), longest)


def compile_route(route: Route, strip_headers: Iterable[str] = ()) -> CompiledRoute:
    """Return one route compiled, or raise `InvalidInputError`."""
    pattern = compile_pattern(route.match_path)
    return CompiledRoute(
        route=route,
        pattern=pattern,
        build_path=compile_target(route.target_path, strip_prefix=route.strip_path_prefix, pattern=pattern),
        origin=f"{route.target_protocol}://{route.target_host}",
        header_rules=build_header_rules(route, strip_headers),
    )


def _fields(compiled: CompiledRoute) -> tuple[Route, Pattern, PathBuilder, str, HeaderRules]:
    return compiled.route, compiled.pattern, compiled.build_path, compiled.origin, compiled.header_rules


def _order(compiled: CompiledRoute) -> tuple[int, tuple[int, int, int], int, str]:
    route = compiled.route
    return route.priority, compiled.pattern.specificity, route.created_at_us, route.route_id


def _rank(compiled: CompiledRoute) -> int:
    return compiled.rank


def _file_route(table: RouteTable, compiled: CompiledRoute) -> None:
    prefix = compiled.pattern.literal_prefix.encode()
    if compiled.pattern.is_exact:
        table.exact.setdefault(prefix, []).append(compiled)
    else:
        table.by_folder.setdefault(prefix[: prefix.rindex(b"/") + 1], []).append(compiled)


def _folders(path: bytes, length_max: int) -> Iterator[bytes]:
    slash = path.find(b"/", 0, length_max)
    while slash >= 0:
        yield path[: slash + 1]
        slash = path.find(b"/", slash + 1, length_max)
