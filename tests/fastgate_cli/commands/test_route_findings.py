"""What lint finds in a table of routes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastgate_cli.commands.route_findings import find_faults, find_missing
from proxy.policy.model import Route
from proxy.policy.own_pages import own_paths
from proxy.policy.routing import compile_route, order_routes

PAGES = own_paths("")


def make(route_id: str, match_path: str = "/v1/*", host: str = "127.0.0.1:8000", **fields: object) -> Route:
    return Route(route_id, route_id, match_path, host, **fields)  # type: ignore[arg-type]


def lint(*routes: Route) -> list[tuple[str, str]]:
    compiled = order_routes(map(compile_route, routes))
    return [(finding.route_id, finding.rule) for finding in find_faults(compiled, PAGES)]


def test_a_sound_table_has_no_findings() -> None:
    assert (
        lint(
            make("chat", "/v1/chat/*", match_methods=frozenset({"POST"})),
            make("models", "/v1/models", "api.example.com", target_protocol="https"),
            make("v1", add_headers=(("Authorization", "Bearer ${env:TOKEN}"), ("X-Team", "a"))),
            make("user", "/user/{id}", target_path="/users/{id}"),
            make("strip", "/strip/*", target_path="/base", strip_path_prefix=True),
            make("fixed", "/fixed", target_path="/one"),
            make("body", "/body", add_body_fields=(("max_tokens", b"7"), ("model", b'"m"'))),
        )
        == []
    )


def test_a_route_behind_a_wider_one_is_shadowed() -> None:
    assert lint(make("wide", "/*", priority=1), make("narrow")) == [("narrow", "shadowed")]
    assert lint(make("wide", "/*"), make("narrow")) == []
    assert lint(make("wide", "/*", priority=1, match_methods=frozenset({"GET"})), make("narrow")) == []


def test_a_route_that_says_the_same_again_is_a_duplicate() -> None:
    assert lint(make("a", "/u/{id}"), make("b", "/u/{name}")) == [("b", "duplicate")]


def test_a_disabled_route_shadows_nothing_and_is_not_looked_at() -> None:
    off = make("off", "/*", "example.com", priority=1, is_active=False)
    assert lint(off, make("on")) == []


@pytest.mark.parametrize(
    "route",
    [
        make("r", "/a//b"),
        make("r", "/a/../b"),
        make("r", "/a%2fb/*"),
        make("r", "/health"),
        make("r", "/"),
        make("r", match_body_schema=False),
        make("r", match_methods=frozenset({"TRACE", "BREW"})),
    ],
)
def test_a_route_that_no_request_can_reach_is_named(route: Route) -> None:
    assert lint(route) == [("r", "unreachable")]


@pytest.mark.parametrize("path", ["/a%{x}", "/a.{x}", "/health/*", "/%41/*"])
def test_a_route_that_some_request_can_reach_is_not(path: str) -> None:
    assert lint(make("r", path)) == []


@pytest.mark.parametrize(
    "route",
    [
        make("r", host="api.example.com"),
        make("r", host="8.8.8.8:80"),
        make("r", targets=("http://api.example.com",)),
        make("r", add_headers=(("X-Api-Key", "a-literal"),)),
        make("r", target_protocol="https", tls_verify=False),
        make("r", target_path="/one"),
        make("r", add_body_fields=(("api_key", b'"a-literal"'),)),
    ],
)
def test_what_is_insecure_is_a_warning(route: Route) -> None:
    assert lint(route) == [("r", "insecure")]


@pytest.mark.parametrize(
    "host",
    ["localhost", "gpu", "10.0.0.1:80", "[::1]:80", "[fd00::1]", "a.internal", "b.local", "192.168.0.9"],
)
def test_a_private_host_needs_no_encryption(host: str) -> None:
    assert lint(make("r", host=host)) == []


def test_no_finding_quotes_a_secret() -> None:
    fields = (("token", b'"hunter2"'),)
    compiled = [compile_route(make("r", add_headers=(("X-Api-Key", "hunter2"),), add_body_fields=fields))]
    findings = list(find_faults(compiled, PAGES))
    assert len(findings) == 2
    assert "hunter2" not in repr(findings)


def test_what_is_missing_is_looked_for_in_the_routes_in_use_only(tmp_path: Path) -> None:
    headers = (("a", "${env:GONE}"), ("b", "${env:SET}"))
    routes = [make("on", add_headers=headers), make("off", add_headers=headers, is_active=False)]
    compiled = list(map(compile_route, routes))
    found = list(find_missing(compiled, {"SET": "x"}, tmp_path))
    assert [(finding.route_id, finding.level, finding.rule) for finding in found] == [
        ("on", "warning", "unresolved")
    ]
