"""An explanation says what the decision does, and accounts for every route."""

from __future__ import annotations

import random

import pytest

from proxy.policy.credentials import digest_secret
from proxy.policy.decide import Forward, KeyEntry, Refuse, Snapshot, decide
from proxy.policy.explanation import Explanation, explain
from proxy.policy.headers import header_values_match
from proxy.policy.model import ApiKey, RequestHead, Route
from proxy.policy.patterns import compile_pattern
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import CompiledRoute, build_route_table, compile_route, order_routes

NOW_US = 1_700_000_000_000_000
QWEN = {"type": "object", "properties": {"model": {"const": "qwen3"}}, "required": ["model"]}
TABLES, REQUESTS = 250, 40  # 10,000 in all
PATTERNS = ("/*", "/a/*", "/a/b", "/a/{x}", "/{x}/b", "/a/**/c", "/b**", "/a/*.j")
PATHS = (b"/", b"/a", b"/a/b", b"/a/x/c", b"/b", b"/a/x.j", b"/c/b", b"/a/..", b"/bb/c")
BODIES = (b"", b"", b'{"model":"qwen3"}', b'{"model":"other"}', b"{", b"[]")
HEADERS = ((), ((b"x-a", b"1"),), ((b"x-a", b"2"), (b"content-encoding", b"gzip")))
SECRETS = ("good", "narrow", "model", "off", "unknown")


def make_keys() -> dict[str, KeyEntry]:
    entries = {}
    for name, permissions in (
        ("good", ()),
        ("narrow", ("GET /a/*",)),
        ("model", ("model:qwen*",)),
        ("off", ()),
    ):
        digest = digest_secret(name.encode())
        key = ApiKey(f"key_{name}", digest, permissions=permissions, is_active=name != "off")
        entries[digest] = KeyEntry(key, compile_permissions(permissions))
    return entries


def make_routes(choose: random.Random) -> list[Route]:
    return [
        Route(
            f"rt_{number}",
            f"rt_{number}",
            choose.choice(PATTERNS),
            "h:1",
            match_methods=choose.choice((frozenset(), frozenset(), frozenset({"POST"}))),
            match_headers=choose.choice(((), (), (("X-A", "1"),))),
            match_body_schema=choose.choice((None, None, QWEN)),
            add_body_fields=choose.choice(((), (("n", b"1"),))),
            is_active=choose.random() < 0.85,
            priority=choose.choice((10, 100)),
        )
        for number in range(choose.randrange(7))
    ]


def make_head(choose: random.Random, body: bytes) -> RequestHead:
    credential = (b"x-api-key", choose.choice(SECRETS).encode())
    framing = [(b"content-length", str(len(body)).encode())] if body else []
    return RequestHead(
        choose.choice(("GET", "POST", "TRACE")) if choose.random() < 0.9 else "PUT",
        choose.choice(PATHS),
        b"",
        [(b"host", b"x"), credential, *choose.choice(HEADERS), *framing],
    )


def expected_failure(route: Route, head: RequestHead, body: bytes) -> str | None:
    """Tell what a route fails on, by looking at its conditions one after another."""
    if not route.is_active:
        return "disabled"
    if not compile_pattern(route.match_path).match(head.path):
        return "path"
    if route.match_methods and head.method not in route.match_methods:
        return "method"
    if not header_values_match(route.match_headers, head.headers):
        return "headers"
    has_gzip = (b"content-encoding", b"gzip") in head.headers
    if route.match_body_schema and (has_gzip or body != b'{"model":"qwen3"}'):
        return "body"
    return None


def explain_request(
    compiled: list[CompiledRoute], snapshot: Snapshot, head: RequestHead, body: bytes
) -> Explanation:
    return explain(head, body, snapshot, compiled, NOW_US, "req_1")


def test_a_route_that_is_left_out_is_told_with_its_reason_and_the_next_one_serves() -> None:
    routes = [Route(name, name, "/a/*", "h:1", priority=rank) for rank, name in enumerate(("gone", "next"))]
    snapshot = Snapshot(1, make_keys(), build_route_table(routes[1:]))
    head = RequestHead("GET", b"/a/b", b"", [(b"host", b"x"), (b"x-api-key", b"good")])
    compiled = order_routes(map(compile_route, routes))
    explained = explain(head, b"", snapshot, compiled, NOW_US, "req_1", {"gone": "it refers to nothing"})
    assert explained.matched == "next"
    gone, following = explained.candidates
    assert (gone.matched, gone.failed_on) == (False, "disabled")
    assert gone.reason == "left out: it refers to nothing"
    assert following.matched


def test_explanation_and_decision_agree_on_ten_thousand_requests() -> None:
    choose = random.Random(19)
    keys = make_keys()
    outcomes = set()
    for _ in range(TABLES):
        routes = make_routes(choose)
        compiled = order_routes(map(compile_route, routes))
        snapshot = Snapshot(1, keys, build_route_table(routes))
        for _ in range(REQUESTS):
            body = choose.choice(BODIES)
            head = make_head(choose, body)
            explained = explain_request(compiled, snapshot, head, body)
            decision = decide(head, snapshot, NOW_US, "req_1", body)
            assert explained.decision == decision
            check_candidates(explained, compiled, head, body)
            outcomes.add(decision.reason if isinstance(decision, Refuse) else type(decision).__name__)
    assert outcomes >= {"Forward", "no_route", "permission_denied", "bad_body", "bad_path", "bad_request"}


def check_candidates(
    explained: Explanation, compiled: list[CompiledRoute], head: RequestHead, body: bytes
) -> None:
    candidates = explained.candidates
    assert [candidate.route_id for candidate in candidates] == [one.route.route_id for one in compiled]
    failures = {one.route.route_id: expected_failure(one.route, head, body) for one in compiled}
    assert {candidate.route_id: candidate.failed_on for candidate in candidates} == failures
    assert [candidate.route_id for candidate in candidates if candidate.matched] == (
        [explained.matched] if explained.matched else []
    )
    decision = explained.decision
    if isinstance(decision, Forward):
        assert explained.matched == decision.compiled.route.route_id
    elif isinstance(decision, Refuse) and decision.reason == "no_route":
        assert explained.matched is None
    if explained.matched:
        first = next(candidate for candidate in candidates if candidate.failed_on is None)
        assert first.route_id == explained.matched
    assert all(candidate.reason for candidate in candidates)


def reasons_of(routes: list[Route], body: bytes = b"", secret: bytes = b"good") -> dict[str, str]:
    head = RequestHead("POST", b"/a/b", b"", [(b"host", b"x"), (b"x-api-key", secret), (b"x-a", b"2")])
    compiled = order_routes(map(compile_route, routes))
    explained = explain_request(compiled, Snapshot(1, make_keys(), build_route_table(routes)), head, body)
    return {candidate.route_id: candidate.reason for candidate in explained.candidates}


def make(route_id: str, match_path: str = "/a/*", **fields: object) -> Route:
    return Route(route_id, route_id, match_path, "h:1", **fields)  # type: ignore[arg-type]


def test_every_failure_says_what_was_wanted() -> None:
    routes = [
        make("off", is_active=False),
        make("path", "/c/*"),
        make("method", match_methods=frozenset({"PUT", "GET"})),
        make("headers", match_headers=(("X-A", "*"), ("X-B", "1"))),
        make("body", match_body_schema=QWEN),
        make("first", priority=200),
        make("later", priority=300),
    ]
    assert reasons_of(routes, b'{"model":"other"}') == {
        "off": "the route is switched off",
        "path": "the path does not match /c/*",
        "method": "it serves GET, PUT only",
        "headers": "the header X-B is missing or has another value",
        "body": 'model: "qwen3" was expected',
        "first": "it is the first that matches",
        "later": "first is tried first",
    }


@pytest.mark.parametrize(("body", "reason"), [(b"", "the request has no body"), (b"{", "line 1, column 2")])
def test_a_body_that_cannot_fit_says_why(body: bytes, reason: str) -> None:
    assert reason in reasons_of([make("body", match_body_schema=QWEN)], body)["body"]


def test_nothing_is_tried_for_a_key_that_is_refused() -> None:
    reasons = reasons_of([make("open")], secret=b"unknown")
    assert reasons == {"open": "the request is refused before any route is tried"}
