"""Why a request goes where it goes: the same decision, and what became of every route.

The decision comes from `decide`, with a trace of what it tried. The routes that it never touched are looked
at with the same `match` that it uses, so that an explanation cannot drift from behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body
from proxy.policy.body_schemas import explain_misfit, has_other_spelling
from proxy.policy.decide import Decision, Snapshot, decide
from proxy.policy.headers import header_values_match
from proxy.policy.model import RequestHead
from proxy.policy.routing import CompiledRoute, Condition, Trace

Failure = Literal["disabled"] | Condition


class Candidate(msgspec.Struct, frozen=True):
    """What became of one route. `failed_on` None and not matched: an earlier route serves the request."""

    route_id: str
    matched: bool
    failed_on: Failure | None
    reason: str


class Explanation(msgspec.Struct, frozen=True):
    """The decision, the route that matched (the request may be refused all the same), and every route."""

    decision: Decision
    matched: str | None
    candidates: tuple[Candidate, ...]


def explain(
    head: RequestHead,
    body: bytes,
    snapshot: Snapshot,
    routes: Sequence[CompiledRoute],
    now_us: int,
    request_id: str,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Explanation:
    """Explain the decision on a request with its whole body (empty: none).

    `routes` are all there are, the disabled too, as `order_routes` returns them; the snapshot has the rest.
    `left_out` says of routes that are switched on, and not in the snapshot, why the gateway cannot use them.
    """
    trace: Trace = []
    decision = decide(head, snapshot, now_us, request_id, body, trace)
    tried = {compiled.route.route_id: failed_on for compiled, failed_on in trace}
    matched = next((route_id for route_id, failed_on in tried.items() if failed_on is None), None)
    view = Body(head, body)
    candidates = []
    for compiled in routes:
        route_id = compiled.route.route_id
        if route_id in left_out:
            candidates.append(Candidate(route_id, False, "disabled", f"left out: {left_out[route_id]}"))
            continue
        failed_on = tried[route_id] if route_id in tried else _find_failure(compiled, head, view)
        reason = _describe(compiled, failed_on, head, view, matched)
        candidates.append(Candidate(route_id, route_id == matched, failed_on, reason))
    return Explanation(decision, matched, tuple(candidates))


def _find_failure(compiled: CompiledRoute, head: RequestHead, body: Body) -> Failure | None:
    if not compiled.route.is_active:
        return "disabled"
    match = compiled.match(head, body)
    return match if isinstance(match, str) else None


def _describe(
    compiled: CompiledRoute, failed_on: Failure | None, head: RequestHead, body: Body, matched: str | None
) -> str:
    route = compiled.route
    match failed_on:
        case "disabled":
            return "the route is switched off"
        case "path":
            return f"the path does not match {route.match_path}"
        case "method":
            return f"it serves {', '.join(sorted(route.match_methods))} only"
        case "headers":
            missed = (name for name, glob in route.match_headers if not _has(head, name, glob))
            return f"the header {next(missed)} is missing or has another value"
        case "body":
            return _describe_body(compiled, body)
    if route.route_id == matched:
        return "it is the first that matches"
    return f"{matched} is tried first" if matched else "the request is refused before any route is tried"


def _describe_body(compiled: CompiledRoute, body: Body) -> str:
    assert compiled.body_schema is not None
    if body.is_absent:
        return "the request has no body"
    try:
        value = body.parse()
    except InvalidInputError as fault:
        return f"the body cannot be used: {fault.message}"
    if has_other_spelling(value, compiled.body_names):
        return "a member's name differs only in case from one that the route looks at"
    return explain_misfit(compiled.body_schema, value)


def _has(head: RequestHead, name: str, glob: str | None) -> bool:
    return header_values_match(((name, glob),), head.headers)
