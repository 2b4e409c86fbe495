"""The route table: what it finds, in which order, against a plain scan of all routes."""

from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError
from proxy.policy.headers import header_values_match
from proxy.policy.model import HeaderPairs, RequestHead, Route
from proxy.policy.patterns import compile_pattern
from proxy.policy.routing import CompiledRoute, RouteTable, Trace, build_route_table, compile_route

PATTERNS = (
    "/",
    "/*",
    "/**",
    "/a",
    "/a*",
    "/a/*",
    "/a/b",
    "/a/b/*",
    "/a/{x}",
    "/{x}/b",
    "/a/**/c",
    "/a/*.j",
    "/{x}",
    "/b**",
)
SEGMENTS = st.lists(st.sampled_from(["a", "b", "c", "x.j", "ab", ""]), max_size=4)
PATHS = SEGMENTS.map(lambda segments: ("/" + "/".join(segments)).encode())
ROUTES = st.builds(
    Route,
    route_id=st.integers(0, 99).map("rt_{:02}".format),
    route_name=st.just("n"),
    match_path=st.sampled_from(PATTERNS),
    target_host=st.just("backend:8000"),
    match_methods=st.sampled_from([frozenset(), frozenset({"GET"}), frozenset({"POST", "GET"})]),
    match_headers=st.sampled_from([(), (("X-A", None),), (("X-A", "1"),)]),
    is_active=st.sampled_from([True, True, False]),
    priority=st.sampled_from([10, 100]),
    created_at_us=st.integers(0, 2),
)
HEADS = st.builds(
    RequestHead,
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=PATHS,
    query=st.just(b""),
    headers=st.sampled_from([(), ((b"x-a", b"1"),), ((b"x-a", b"2"),)]),
)


def make_route(route_id: str, match_path: str, **fields: object) -> Route:
    return Route(route_id, route_id, match_path, "backend:8000", **fields)  # type: ignore[arg-type]


def find(table: RouteTable, head: RequestHead, body: bytes = b"") -> tuple[CompiledRoute, object] | None:
    return table.find(head, Body(head, body))


def find_id(routes: list[Route], path: bytes, method: str = "GET", headers: HeaderPairs = ()) -> str | None:
    found = find(build_route_table(routes), RequestHead(method, path, b"", headers))
    return found[0].route.route_id if found else None


def scan(routes: list[Route], head: RequestHead) -> str | None:
    """Try every active route in the stated order: priority, then the more specific, then the older."""

    def order(route: Route) -> tuple[object, ...]:
        return (
            route.priority,
            compile_pattern(route.match_path).specificity,
            route.created_at_us,
            route.route_id,
        )

    for route in sorted(routes, key=order):
        has_method = not route.match_methods or head.method in route.match_methods
        has_headers = header_values_match(route.match_headers, head.headers)
        if (
            route.is_active
            and has_method
            and has_headers
            and compile_pattern(route.match_path).match(head.path)
        ):
            return route.route_id
    return None


@settings(max_examples=150)
@given(routes=st.lists(ROUTES, max_size=6, unique_by=lambda route: route.route_id), head=HEADS)
def test_table_finds_just_what_a_scan_finds_in_whatever_order_it_was_built(
    routes: list[Route], head: RequestHead
) -> None:
    for given_order in (routes, routes[::-1]):
        found = find(build_route_table(given_order), head)
        assert (found[0].route.route_id if found else None) == scan(routes, head)


def test_smaller_priority_goes_before_the_more_specific() -> None:
    routes = [make_route("exact", "/v1/models"), make_route("all", "/*", priority=1)]
    assert find_id(routes, b"/v1/models") == "all"


def test_more_specific_goes_before_the_older() -> None:
    routes = [make_route("old", "/v1/*", created_at_us=1), make_route("new", "/v1/models", created_at_us=2)]
    assert find_id(routes, b"/v1/models") == "new"


def test_older_goes_first_among_equals() -> None:
    routes = [make_route("a", "/v1/*", created_at_us=2), make_route("b", "/v1/**", created_at_us=1)]
    assert find_id(routes, b"/v1/models") == "b"


def test_route_that_lacks_the_method_or_a_header_lets_the_next_one_serve() -> None:
    routes = [
        make_route("post", "/v1/models", match_methods=frozenset({"POST", "PUT"})),
        make_route("beta", "/v1/models", match_headers=(("X-Beta", None),), priority=101),
        make_route("rest", "/v1/*", priority=102),
    ]
    assert find_id(routes, b"/v1/models", "PUT") == "post"
    assert find_id(routes, b"/v1/models", "GET", [(b"x-beta", b"1")]) == "beta"
    assert find_id(routes, b"/v1/models") == "rest"


def test_inactive_route_serves_nothing_and_is_not_counted() -> None:
    table = build_route_table([make_route("off", "/*", is_active=False), make_route("on", "/on")])
    assert table.size == 1
    assert find(table, RequestHead("GET", b"/x", b"", ())) is None


def test_empty_table_finds_nothing() -> None:
    assert find_id([], b"/") is None


def test_match_holds_what_the_placeholders_stand_for() -> None:
    head = RequestHead("GET", b"/user/7", b"", ())
    found = build_route_table([make_route("r", "/user/{id}")]).find(head, Body(head))
    assert found is not None
    assert found[1]["id"] == b"7"


QWEN = {"type": "object", "properties": {"model": {"const": "qwen3"}}, "required": ["model"]}
BY_BODY = [
    make_route("qwen", "/v1/*", match_body_schema=QWEN, priority=1),
    make_route("rest", "/v1/*"),
]


@pytest.mark.parametrize(
    ("body", "headers", "served_by"),
    [
        (b'{"model": "qwen3"}', (), "qwen"),
        (b'{"model": "other"}', (), "rest"),
        (b"[]", (), "rest"),
        (b"{", (), "rest"),
        (b"", (), "rest"),
        (b'{"model": "qwen3"}', [(b"content-encoding", b"identity")], "qwen"),
        (b'{"model": "qwen3"}', [(b"content-encoding", b"gzip")], "rest"),
        (gzip.compress(b'{"model": "qwen3"}', mtime=0), [(b"content-encoding", b"gzip")], "rest"),
        (b'{"model": "qwen3"}', [(b"content-encoding", b"br")], "rest"),
        (b'{"model": "qwen3"}', [(b"content-type", b"application/x-www-form-urlencoded")], "qwen"),
        (b'{"model": "qwen3"}', [(b"content-type", b"image/png")], "rest"),
        (b'{"model": "qwen3", "Model": "other"}', [], "rest"),
        (b'{"model": "qwen3", "MODEL": "qwen3"}', [], "rest"),
        (b'{"model": "qwen3", "x": {"Model": "other"}}', [], "qwen"),
    ],
)
def test_route_with_a_body_schema_serves_only_a_body_that_fits(
    body: bytes, headers: HeaderPairs, served_by: str
) -> None:
    found = find(build_route_table(BY_BODY), RequestHead("POST", b"/v1/chat", b"", headers), body)
    assert found is not None
    assert found[0].route.route_id == served_by


def test_body_is_asked_for_only_where_the_answer_depends_on_it() -> None:
    table = build_route_table([*BY_BODY, make_route("first", "/v1/first", priority=0)])
    announced = [(b"content-length", b"5")]
    asking = RequestHead("POST", b"/v1/chat", b"", announced)
    with pytest.raises(BodyUnreadError):
        table.find(asking, Body(asking))
    for path, headers in (
        (b"/v1/first", announced),
        (b"/v1/chat", [(b"content-length", b"0")]),
        (b"/x", announced),
    ):
        head = RequestHead("POST", path, b"", headers)
        table.find(head, Body(head))


def test_trace_tells_what_was_tried_and_what_it_failed_on() -> None:
    table = build_route_table(
        [
            make_route("path", "/v1/{x}/y", priority=1),
            make_route("method", "/v1/*", priority=2, match_methods=frozenset({"GET"})),
            make_route("headers", "/v1/*", priority=3, match_headers=(("X-A", None),)),
            make_route("body", "/v1/*", priority=4, match_body_schema=QWEN),
            make_route("served", "/v1/*", priority=5),
            make_route("later", "/v1/*", priority=6),
        ]
    )
    trace: Trace = []
    head = RequestHead("POST", b"/v1/chat", b"", ())
    table.find(head, Body(head, b"{}"), trace)
    assert [(compiled.route.route_id, failed_on) for compiled, failed_on in trace] == [
        ("path", "path"),
        ("method", "method"),
        ("headers", "headers"),
        ("body", "body"),
        ("served", None),
    ]


def test_candidates_are_the_routes_whose_literal_prefix_the_path_has_in_order() -> None:
    routes = [
        make_route("all", "/*"),
        make_route("v1", "/v1/*"),
        make_route("exact", "/v1/models"),
        make_route("other", "/v2/*"),
        make_route("deep", "/v1/models/x/*"),
    ]
    found = build_route_table(routes).candidates(b"/v1/models")
    assert [compiled.route.route_id for compiled in found] == ["exact", "v1", "all"]


def test_compiled_route_knows_its_origin_and_its_path() -> None:
    compiled = compile_route(make_route("r", "/a/{x}", target_path="/b/{x}", target_protocol="https"))
    match = compiled.pattern.match(b"/a/1")
    assert match is not None
    assert compiled.origin == "https://backend:8000"
    assert compiled.build_path(b"/a/1", match) == b"/b/1"


def test_headers_named_in_the_configuration_are_stripped() -> None:
    table = build_route_table([make_route("r", "/*")], strip_headers=iter(["X-Source-Path"]))
    found = find(table, RequestHead("GET", b"/", b"", ()))
    assert found is not None
    assert b"x-source-path" in found[0].header_rules.dropped


@pytest.mark.parametrize(
    "fields",
    [
        {"match_path": "v1"},
        {"match_path": "/v1", "target_path": "/{id}"},
        {"match_path": "/v1", "add_headers": (("Content-Length", "5"),)},
        {"match_path": "/v1", "match_body_schema": {"type": "nonsense"}},
        {"match_path": "/v1", "add_body_fields": (("a", b"{"),)},
    ],
)
def test_route_that_cannot_be_compiled_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        compile_route(make_route("r", **fields))  # type: ignore[arg-type]


def test_repr_of_a_compiled_route_holds_no_header_value() -> None:
    compiled = compile_route(make_route("r", "/*", add_headers=(("Authorization", "Bearer s3cret"),)))
    assert "s3cret" not in repr(compiled)
    assert "s3cret" not in repr(build_route_table([compiled.route]))


def test_long_path_of_many_folders_costs_no_more_than_the_table_is_deep() -> None:
    table = build_route_table([make_route("v1", "/v1/*"), make_route("all", "/*")])
    head = RequestHead("GET", b"/a" * 8_000, b"", ())
    started = time.process_time()
    for _ in range(20):
        assert find(table, head) is not None
    # Looking up each of its 8,000 folders took thirty times as long as this.
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize("content_type", [b"image/png", b"multipart/form-data; boundary=B", b"audio/wav"])
def test_body_whose_type_rules_json_out_is_not_asked_for(content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"2000000")]
    head = RequestHead("POST", b"/v1/chat", b"", headers)
    body = Body(head)
    found = build_route_table(BY_BODY).find(head, body)
    assert found is not None
    assert found[0].route.route_id == "rest"
    assert body.fault is None


def test_table_knows_whether_any_route_takes_an_encoded_slash() -> None:
    plain, taking = make_route("a", "/a"), make_route("b", "/b", encoded_slash=True)
    assert not build_route_table([plain]).takes_encoded_slash
    assert build_route_table([plain, taking]).takes_encoded_slash
