"""The route table: every active route compiled once, found by the literal beginning of its pattern.

Order among the routes that match: smaller priority, then the more specific pattern, then the older route.
A look-up touches the routes whose literal prefix the path has, not the table, so a long table costs no more
than a short one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body
from proxy.policy.body_edits import Fields, compile_edits
from proxy.policy.body_schemas import Validator, collect_names, compile_schema, has_other_spelling
from proxy.policy.headers import HeaderRules, build_header_rules, header_values_match
from proxy.policy.model import RequestHead, Route
from proxy.policy.patterns import Pattern, compile_pattern
from proxy.policy.targets import PathBuilder, compile_target

Condition = Literal["path", "method", "headers", "body"]  # in the order in which they are looked at


@dataclass(frozen=True, slots=True)
class CompiledRoute:
    """A route with everything that does not depend on a request worked out beforehand."""

    route: Route
    pattern: Pattern
    build_path: PathBuilder
    origin: str
    header_rules: HeaderRules
    body_schema: Validator | None = None
    body_names: frozenset[str] = frozenset()  # that the schema looks at
    body_fields: Fields | None = field(default=None, repr=False)
    rank: int = 0

    def match(self, head: RequestHead, body: Body) -> re.Match[bytes] | Condition:
        """Return the match of the path, or the first condition of the route that the request fails.

        A route with a body schema matches no request whose body is absent or not JSON. Raises
        `BodyUnreadError` if that cannot be told yet; of a body whose type says that it is no JSON, it can.
        """
        match = self.pattern.match(head.path)
        if match is None:
            return "path"
        route = self.route
        if route.match_methods and head.method not in route.match_methods:
            return "method"
        if route.match_headers and not header_values_match(route.match_headers, head.headers):
            return "headers"
        if self.body_schema is not None and not self._fits(self.body_schema, body):
            return "body"
        return match

    def _fits(self, schema: Validator, body: Body) -> bool:
        if body.is_absent or body.is_other_than_json:
            return False
        if body.is_encoded:  # HARDENING 20: which backend is asked never depends on what is compressed
            body.fault = body.fault or InvalidInputError("it is compressed, and no route looks into that")
            return False
        try:
            value = body.parse()
        except InvalidInputError:
            return False  # the body remembers why
        if has_other_spelling(value, self.body_names):
            body.fault = body.fault or InvalidInputError(
                "a member's name differs only in case from one that a route looks at, and could be read as it"
            )
            return False
        return schema.is_valid(value)


Trace = list[tuple[CompiledRoute, Condition | None]]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The active routes, by exact path and by the folder that their literal prefix ends in."""

    exact: dict[bytes, list[CompiledRoute]] = field(default_factory=dict)
    by_folder: dict[bytes, list[CompiledRoute]] = field(default_factory=dict)
    size: int = 0
    folder_length_max: int = 0  # a path is not looked up beyond the longest folder there is
    takes_encoded_slash: bool = False  # whether any route does

    def find(
        self, head: RequestHead, body: Body, trace: Trace | None = None
    ) -> tuple[CompiledRoute, re.Match[bytes]] | None:
        """Return the route that serves a request, with its path match, or None.

        `trace` gets each route that was tried, with the condition it failed on. Raises `BodyUnreadError` if
        the answer depends on a body that has not been read yet.
        """
        for compiled in self.candidates(head.path):
            match = compiled.match(head, body)
            failed_on = match if isinstance(match, str) else None
            if trace is not None:
                trace.append((compiled, failed_on))
            if not isinstance(match, str):
                return compiled, match
        return None

    def candidates(self, path: bytes) -> list[CompiledRoute]:
        """Return the routes whose literal prefix a path has, in the order they are tried."""
        found = list(self.exact.get(path, ()))
        for folder in _folders(path, self.folder_length_max):
            if at_folder := self.by_folder.get(folder):
                found += at_folder
        if len(found) > 1:
            found.sort(key=_rank)
        return found


def build_route_table(routes: Iterable[Route], *, strip_headers: Iterable[str] = ()) -> RouteTable:
    """Compile the active routes. Header values are taken as they are: references are resolved before.

    Raises `InvalidInputError` for a route whose pattern, target or headers cannot be compiled.
    """
    strip = tuple(strip_headers)
    table = RouteTable(size=0)
    compiled = order_routes(compile_route(route, strip) for route in routes if route.is_active)
    for ranked in compiled:
        _file_route(table, ranked)
    longest = max(map(len, table.by_folder), default=0)
    encoded_slash = any(ranked.route.encoded_slash for ranked in compiled)
    return RouteTable(table.exact, table.by_folder, len(compiled), longest, encoded_slash)


def compile_route(route: Route, strip_headers: Iterable[str] = ()) -> CompiledRoute:
    """Return one route compiled, or raise `InvalidInputError`."""
    pattern = compile_pattern(route.match_path)
    return CompiledRoute(
        route=route,
        pattern=pattern,
        build_path=compile_target(route.target_path, strip_prefix=route.strip_path_prefix, pattern=pattern),
        origin=f"{route.target_protocol}://{route.target_host}",
        header_rules=build_header_rules(route, strip_headers, prefix=_find_prefix(route, pattern)),
        body_schema=None if route.match_body_schema is None else compile_schema(route.match_body_schema),
        body_names=collect_names(route.match_body_schema or {}),
        body_fields=compile_edits(route.add_body_fields) if route.add_body_fields else None,
    )


def _find_prefix(route: Route, pattern: Pattern) -> bytes:
    """Return what stands before the backend's own paths in those that clients see, or nothing.

    A backend puts this before the paths that it links to. So what the target path has in common with the end
    of what is stripped is left out: `/ai/v1/*` to `/v1` moves the backend below `/ai`.
    """
    if not route.strip_path_prefix:
        return b""
    return pattern.literal_prefix.rstrip("/").removesuffix(route.target_path.rstrip("/")).encode()


def order_routes(compiled: Iterable[CompiledRoute]) -> list[CompiledRoute]:
    """Return routes in the order in which they are tried, each with its rank in it."""
    return [replace(route, rank=rank) for rank, route in enumerate(sorted(compiled, key=_order))]


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
