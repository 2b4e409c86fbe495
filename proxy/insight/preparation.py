"""From a route and a request to what would be sent for it: the stages of a trial before anything is sent.

The decision is the gateway's own, over all routes as they are. The route itself is taken as if it were on,
so that it can be tried before it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from proxy.audit.masking.names import header_names, mask_value, redact_query
from proxy.audit.trail import build_audit_policy
from proxy.clock import now_us
from proxy.errors import InvalidInputError
from proxy.gateway.bounds import build_bounds
from proxy.ids import new_ulid, to_uuid
from proxy.insight.disclosure import Disclosure, list_sent_secrets
from proxy.policy.cors import list_stripped_headers
from proxy.policy.credentials import digest_secret, find_credentials
from proxy.policy.decide import Answer, Forward, KeyEntry, NeedBody, Refuse, Snapshot, decide
from proxy.policy.explanation import Candidate, Explanation, explain
from proxy.policy.model import ApiKey, RequestHead, Route
from proxy.policy.own_pages import own_paths
from proxy.policy.routing import RouteTable, build_route_table, compile_route
from proxy.references import examine_references, find_dangling, resolve_headers
from proxy.settings import Settings
from proxy.store.models import Row
from proxy.store.routes import build_route, find_problem
from proxy.upstream.contexts import find_authority_fault

StageName = Literal["config", "match", "transform", "connect", "response"]
STAGES: tuple[StageName, ...] = ("config", "match", "transform", "connect", "response")
_HINTS = {
    "path": "--path takes one that matches {match_path}",
    "method": "--method takes one of {match_method}",
    "headers": "--header 'NAME: VALUE' gives one",
    "body": "--data JSON gives a body that fits",
}
_DANGLING_HINT = "set it in this shell too, or give this user the file: references are resolved here"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a trial. `ok` None: it was not come to. `hint` says what to do about a failure."""

    name: StageName
    ok: bool | None
    detail: str
    hint: str = ""


@dataclass(slots=True)
class Preparation:
    """What came of the first stages. Without `forward` there is nothing to send."""

    stages: list[Stage]
    matched: bool = False
    target_url: str | None = None
    method: str = ""
    head: RequestHead | None = field(default=None, repr=False)
    forward: Forward | None = field(default=None, repr=False)
    disclosure: Disclosure = field(default_factory=lambda: Disclosure(()))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A route that is to be tried: the rows of all routes, and where its references are resolved.

    `example_of` is the pattern that the paths were made up for; empty if a person gave the path.
    """

    row: Row = field(repr=False)
    rows: Sequence[Row] = field(repr=False)
    settings: Settings
    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    example_of: str = ""

    def prepare(self, heads: Sequence[RequestHead], body: bytes) -> Preparation:
        """Return what would be sent for the first of these heads that reaches the route, with this body."""
        route, stage = check_route(self.row, self.environ, self.folder)
        prepared = Preparation([stage])
        if route is None:
            return prepared
        table = self._build_table(route)
        found = [self._explain(head, body, table) for head in heads]
        head, explained = next(
            (pair for pair in zip(heads, found, strict=True) if self._is_reached(*pair)),
            (heads[0], found[0]),
        )
        prepared.head, prepared.method = head, head.method
        prepared.matched = self._is_reached(head, explained)
        prepared.stages.append(self._describe_match(head, body, table, explained))
        if not prepared.stages[-1].ok:
            return prepared
        decision = explained.decision
        if isinstance(decision, Forward):
            secret = self._secret_names(decision)
            prepared.forward = decision
            prepared.disclosure = Disclosure(list_sent_secrets(decision, secret))
            prepared.target_url = describe_url(decision.compiled.origin, decision.target)
            prepared.stages.append(_describe_transform(head, body, decision, secret))
        elif isinstance(decision, Refuse):
            hint = "--data takes a body that the route can use"
            prepared.stages.append(Stage("transform", False, decision.message, hint))
        return prepared

    def _is_reached(self, head: RequestHead, explained: Explanation) -> bool:
        return explained.matched == self.row["route_id"] and not self._is_own_page(head)

    def _is_own_page(self, head: RequestHead) -> bool:
        return head.path in own_paths(self.settings.app.system_prefix)

    def _secret_names(self, decision: Forward) -> frozenset[bytes]:
        added = (name for name, _ in decision.compiled.route.add_headers if name.lower() != "host")
        return build_audit_policy(self.settings.audit).redacted | header_names(added)

    def _build_table(self, route: Route) -> RouteTable:
        """Return the table that the gateway would have, with the route as it is to be tried."""
        strip = list_stripped_headers(self.settings)
        others = [other for row in self.rows if (other := _build_usable(row)) is not None]
        rivals = [other for other in others if other.route_id != route.route_id]
        usable = [rival for rival in rivals if not self._is_left_out(rival)]
        return build_route_table([*usable, route], strip_headers=strip)

    def _is_left_out(self, route: Route) -> bool:
        return any(one.is_certain for one in examine_references(route, self.environ, self.folder))

    def _explain(self, head: RequestHead, body: bytes, table: RouteTable) -> Explanation:
        route = replace(build_route(self.row), is_active=True)
        compiled = [compile_route(route)]
        now = now_us()
        return explain(head, body, _build_snapshot(head, table), compiled, now, to_uuid(new_ulid(now)))

    def _describe_match(
        self, head: RequestHead, body: bytes, table: RouteTable, explained: Explanation
    ) -> Stage:
        asked = f"{head.method} {_show_target(head.path, head.query)}"
        asked += f" (an example for {self.example_of})" if self.example_of else ""
        if self._is_own_page(head):
            hint = "app.system_prefix moves the gateway's own pages"
            return Stage("match", False, f"{asked} is answered by the gateway itself", hint)
        if explained.matched != self.row["route_id"]:
            return self._describe_miss(asked, explained)
        bounds = build_bounds(self.settings.proxy)
        decision = decide(head, _build_snapshot(head, table), now_us(), "")
        bytes_max = bounds.inspected_bytes_max if isinstance(decision, NeedBody) else bounds.body_bytes_max
        if len(body) > bytes_max:
            hint = "proxy.inspect_body_size and proxy.max_body_size set that bound"
            return Stage(
                "match", False, f"the gateway refuses a body of more than {bytes_max} bytes here", hint
            )
        return Stage("match", True, f"{asked} reaches this route")

    def _describe_miss(self, asked: str, explained: Explanation) -> Stage:
        if isinstance(explained.decision, Answer):
            hint = "send it without Max-Forwards"
            return Stage("match", False, f"{asked} is answered by the gateway itself", hint)
        (candidate,) = explained.candidates
        if candidate.failed_on is not None and candidate.failed_on in _HINTS:
            hint = _HINTS[candidate.failed_on].format(**self.row)
            return Stage("match", False, f"{asked} does not reach this route: {candidate.reason}", hint)
        if explained.matched is None and isinstance(explained.decision, Refuse):
            message = explained.decision.message
            return Stage("match", False, f"the gateway refuses {asked}: {message}", "give another --path")
        return self._describe_rival(asked, candidate, explained)

    def _describe_rival(self, asked: str, candidate: Candidate, explained: Explanation) -> Stage:
        rival = next((row for row in self.rows if row["route_id"] == explained.matched), None)
        name = describe_route(rival) if rival else str(explained.matched)
        hint = (
            f"'fastgate routes move {candidate.route_id} --before {explained.matched}' turns that round, "
            "or give another --path"
        )
        return Stage("match", False, f"{asked} is served by another route: {name}", hint)


def check_route(row: Row, environ: Mapping[str, str], folder: Path) -> tuple[Route | None, Stage]:
    """Return the route, its references resolved and itself on; None if the gateway cannot use it."""
    if problem := find_problem(row):
        return None, Stage("config", False, f"the gateway leaves it out: {problem}", "delete it, add it anew")
    route = build_route(row)
    if dangling := find_dangling(route, environ, folder):
        return None, Stage("config", False, "; ".join(dangling), _DANGLING_HINT)
    try:
        ready = replace(resolve_headers(route, environ, folder), is_active=True)
        compile_route(ready)
    except InvalidInputError as error:
        return None, Stage("config", False, f"the gateway leaves it out: {error.message}", error.hint)
    if problem := find_authority_fault(route):
        return None, Stage("config", False, problem, "--tls-ca takes a PEM file with certificates")
    if not route.is_active:
        hint = f"'fastgate routes enable {route.route_id}' switches it on"
        return ready, Stage("config", False, "it is switched off; it is tried as if it were on", hint)
    return ready, Stage("config", True, _describe_config(route))


def describe_route(row: Row) -> str:
    """Return what a person knows a route by: its id, and its name if it has one of its own."""
    name, route_id = row["route_name"], row["route_id"]
    return route_id if name == route_id else f"{name} ({route_id})"


def describe_url(origin: str, target: bytes) -> str:
    """Return the URL that is asked for, without what may be secret in its query."""
    path, _, query = target.partition(b"?")
    return origin + _show_target(path, query)


def _describe_config(route: Route) -> str:
    parts = ["active"]
    if count := sum("${" in value for _, value in route.add_headers):
        parts.append(f"{count} header{'s' if count > 1 else ''} with a reference resolved")
    if route.tls_ca:
        parts.append(f"authorities in {route.tls_ca}")
    return ", ".join(parts)


def _describe_transform(head: RequestHead, body: bytes, decision: Forward, secret: frozenset[bytes]) -> Stage:
    lines = [f"{head.method} {describe_url(decision.compiled.origin, decision.target)}"]
    for name, value in decision.headers:
        shown = mask_value(value) if name in secret else value
        lines.append(f"{name.decode('latin-1')}: {shown.decode('latin-1')}")
    lines.append(_describe_body(decision.body or b"", body))
    return Stage("transform", True, "\n".join(lines))


def _describe_body(sent: bytes, given: bytes) -> str:
    if not sent:
        return "no body"
    return f"a body of {len(sent)} bytes, {'as given' if sent == given else 'changed by the route'}"


def _show_target(path: bytes, query: bytes) -> str:
    shown = redact_query(query)
    return (path + b"?" + shown if shown else path).decode("latin-1")


def _build_usable(row: Row) -> Route | None:
    """Return a route that the gateway would not leave out; what its references stand for has no say."""
    if find_problem(row):
        return None
    route = build_route(row)
    try:
        compile_route(route)
    except InvalidInputError:
        return None
    return route


def _build_snapshot(head: RequestHead, table: RouteTable) -> Snapshot:
    """Return the table with a key that may do everything, which is the first credential of the request."""
    digests = [digest_secret(secret) for secret in find_credentials(head.headers)][:1]
    return Snapshot(0, {digest: KeyEntry(ApiKey("", digest)) for digest in digests}, table)
