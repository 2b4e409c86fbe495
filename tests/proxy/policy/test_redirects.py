"""Redirects of a backend to itself lead back to the gateway; all others pass as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.policy.bodies import Body
from proxy.policy.forwarded import Forwarded
from proxy.policy.model import RequestHead, Route
from proxy.policy.redirects import REDIRECT_HEADERS, rewrite_redirects
from proxy.policy.routing import CompiledRoute, build_route_table, compile_route

PLAIN = Route("rt", "r", "/v1/*", "backend:8000")
STRIP = Route("rt", "r", "/llm/*", "backend:8000", strip_path_prefix=True)
BASE = replace(STRIP, target_path="/base/v1")
AI = Route("rt", "r", "/ai/v1/*", "backend:8000", target_path="/v1", strip_path_prefix=True)
LOOSE = Route("rt", "r", "/loose**", "backend:8000", target_path="/base", strip_path_prefix=True)
PIECE = Route("rt", "r", "/api{v}/*", "backend:8000", strip_path_prefix=True)
REST = Route("rt", "r", "/old/*", "backend:8000", target_path="/new/{rest}")
FILLED = Route("rt", "r", "/user/{id}", "backend:8000", target_path="/people/{id}/card")
FIXED = Route("rt", "r", "/chat", "backend:8000", target_path="/v1/chat/completions")
TLS = Route("rt", "r", "/*", "api.example.com", target_protocol="https")
GATEWAY = b"http://gateway.example:8514"
HOST = (b"host", b"gateway.example:8514")


def rewrite(
    value: bytes,
    route: Route = PLAIN,
    *,
    name: bytes = b"location",
    headers: list[tuple[bytes, bytes]] | None = None,
    forwarded: Forwarded | None = None,
    scheme: str = "http",
) -> bytes:
    head = RequestHead("GET", b"/v1/x", b"", [HOST] if headers is None else headers, scheme=scheme)
    other = (b"x-other", value)
    rewritten = rewrite_redirects([other, (name, value)], head, compile_route(route), forwarded)
    assert rewritten[0] == other
    assert rewritten[1][0] == name
    return rewritten[1][1]


@pytest.mark.parametrize(
    ("route", "path", "public"),
    [
        (PLAIN, b"/v1/x/", b"/v1/x/"),
        (PLAIN, b"/login?next=%2Fv1", b"/login?next=%2Fv1"),
        (PLAIN, b"", b"/"),
        (PLAIN, b"?a=/b", b"/?a=/b"),
        (PLAIN, b"#top", b"/#top"),
        (STRIP, b"/v1/x/", b"/llm/v1/x/"),
        (STRIP, b"/", b"/llm/"),
        (STRIP, b"/a?b=/c#/d", b"/llm/a?b=/c#/d"),
        (STRIP, b"/llm/a", b"/llm/a"),
        (BASE, b"/base/v1/a", b"/llm/a"),
        (BASE, b"/base/v1", b"/llm/"),
        (BASE, b"/llm/base/v1/a", b"/llm/a"),
        (AI, b"/v1/a", b"/ai/v1/a"),
        (AI, b"/ai/v1/a", b"/ai/v1/a"),
        (LOOSE, b"/base/a", b"/loose/a"),
        (PIECE, b"/2/a", b"/api2/a"),
        (REST, b"/new/a/b", b"/old/a/b"),
    ],
)
def test_a_redirect_to_the_backend_leads_to_the_gateway(route: Route, path: bytes, public: bytes) -> None:
    assert rewrite(b"http://backend:8000" + path, route) == GATEWAY + public
    assert rewrite(b"HTTP://Backend:8000" + path, route) == GATEWAY + public
    assert rewrite(b"//backend:8000" + path, route) == b"//gateway.example:8514" + public
    if path[:1] == b"/":
        assert rewrite(path, route) == public


@pytest.mark.parametrize(
    ("route", "path"),
    [
        (BASE, b"/elsewhere"),
        (BASE, b"/base/v1x"),
        (BASE, b"/base/v1/"),
        (BASE, b"/base/v1//evil"),
        (AI, b"/admin"),
        (REST, b"/a"),
        (FILLED, b"/people/7/card"),
        (FIXED, b"/v1/chat/completions/"),
    ],
)
def test_a_path_that_no_request_leads_to_is_left_alone(route: Route, path: bytes) -> None:
    for value in (path, b"http://backend:8000" + path, b"//backend:8000" + path):
        assert rewrite(value, route) == value


@pytest.mark.parametrize(
    "value",
    [
        b"https://accounts.example.com/login?back=http://backend:8000/",
        b"http://backend:8001/x",
        b"http://backend/x",
        b"http://backend:8000@evil/x",
        b"http://user@backend:8000/x",
        b"http://backend:8000.evil/x",
        b"http://xbackend:8000/x",
        b"ftp://backend:8000/x",
        b"http:/backend:8000/x",
        b"http:backend:8000",
        b"///backend:8000/x",
        b"/\\backend:8000/x",
        b"x/",
        b"../x",
        b"?a=1",
        b"",
        b"mailto:a@b",
        b"backend:8000/x",
    ],
)
@pytest.mark.parametrize("route", [PLAIN, STRIP])
def test_a_redirect_elsewhere_passes_untouched(value: bytes, route: Route) -> None:
    assert rewrite(value, route) == value


@pytest.mark.parametrize(
    ("route", "origin", "scheme", "is_own"),
    [
        (TLS, b"https://api.example.com", "http", True),
        (TLS, b"https://api.example.com:443", "http", True),
        (TLS, b"https://api.example.com:", "http", True),
        (TLS, b"http://api.example.com", "https", False),
        (TLS, b"http://api.example.com", "http", True),
        (PLAIN, b"https://backend:8000", "https", True),
        (PLAIN, b"https://backend:8000", "http", True),
        (replace(PLAIN, target_host="backend"), b"http://backend:80", "http", True),
        (replace(PLAIN, target_host="backend"), b"https://backend", "http", False),
        (replace(PLAIN, target_host="backend"), b"https://backend", "https", True),
        (replace(PLAIN, targets=("https://second", "http://third:1")), b"https://second", "http", True),
        (replace(PLAIN, targets=("https://second", "http://third:1")), b"http://third:1", "http", True),
        (replace(PLAIN, targets=("https://second", "http://third:1")), b"http://fourth:1", "http", False),
        (replace(PLAIN, target_host="[::1]:8000"), b"http://[::1]:8000", "http", True),
        (replace(PLAIN, target_host="[::1]"), b"http://[::1]:80", "http", True),
        (replace(PLAIN, add_headers=(("Host", "Named.example"),)), b"http://named.example", "http", True),
    ],
)
def test_a_backend_is_known_by_each_of_its_names(
    route: Route, origin: bytes, scheme: str, is_own: bool
) -> None:
    expected = scheme.encode() + b"://gateway.example:8514/v1/x" if is_own else origin + b"/v1/x"
    assert rewrite(origin + b"/v1/x", route, scheme=scheme) == expected


@pytest.mark.parametrize(
    ("forwarded", "origin"),
    [
        (Forwarded("::1", b"::1"), GATEWAY),
        (Forwarded("::1", b"::1", host=b"public.example", scheme=b"https"), b"https://public.example"),
        (Forwarded("::1", b"::1", scheme=b"https"), b"https://gateway.example:8514"),
    ],
)
def test_the_gateway_goes_by_the_name_that_a_trusted_proxy_says(forwarded: Forwarded, origin: bytes) -> None:
    assert rewrite(b"http://backend:8000/a", STRIP, forwarded=forwarded) == origin + b"/llm/a"


def test_what_a_client_says_of_itself_is_not_believed() -> None:
    claims = [
        HOST,
        (b"x-forwarded-host", b"evil"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-prefix", b"/e"),
    ]
    assert rewrite(b"http://backend:8000/e/llm/a", STRIP, headers=claims) == GATEWAY + b"/llm/e/llm/a"


def test_the_prefix_of_a_proxy_in_front_is_not_put_there_twice() -> None:
    headers = [HOST, (b"x-forwarded-prefix", b"/app/")]
    forwarded = Forwarded("::1", b"::1")
    assert rewrite(b"/app/llm/a", STRIP, headers=headers, forwarded=forwarded) == b"/app/llm/a"
    assert rewrite(b"/a", STRIP, headers=headers, forwarded=forwarded) == b"/llm/a"


def test_a_client_that_sends_no_host_gets_the_path_alone() -> None:
    assert rewrite(b"http://backend:8000/a?b", STRIP, headers=[]) == b"/llm/a?b"
    assert rewrite(b"http://backend:8000//evil/", headers=[]) == b"http://backend:8000//evil/"
    assert rewrite(b"http://backend:8000//evil/") == GATEWAY + b"//evil/"


@pytest.mark.parametrize(
    ("value", "rewritten"),
    [
        (b"5; url=http://backend:8000/a", b"5; url=" + GATEWAY + b"/llm/a"),
        (b"0;URL='http://backend:8000/a'", b"0;URL='" + GATEWAY + b"/llm/a'"),
        (b'0, url="/a" ', b'0, url="/llm/a" '),
        (b"3; /a", b"3; /llm/a"),
        (b"3; url=https://else.example/", b"3; url=https://else.example/"),
        (b"5", b"5"),
        (b"0; url='/a", b"0; url='/a"),
        (b"0;" + b" " * 65_536 + b"'x", b"0;" + b" " * 65_536 + b"'x"),
        (b"nonsense", b"nonsense"),
    ],
)
def test_the_address_in_refresh_is_rewritten(value: bytes, rewritten: bytes) -> None:
    assert rewrite(value, STRIP, name=b"refresh") == rewritten


def test_each_of_the_three_headers_is_rewritten_and_in_its_place() -> None:
    head = RequestHead("GET", b"/llm/x", b"", [HOST])
    headers = [(name, b"0;/a" if name == b"refresh" else b"/a") for name in sorted(REDIRECT_HEADERS)]
    expected = [(name, value.replace(b"/a", b"/llm/a")) for name, value in headers]
    assert rewrite_redirects([*headers, (b"z", b"/a")], head, compile_route(STRIP)) == [
        *expected,
        (b"z", b"/a"),
    ]


def test_a_route_may_keep_them_and_a_response_without_one_is_not_copied() -> None:
    head = RequestHead("GET", b"/llm/x", b"", [HOST])
    usual = [(b"content-type", b"a/b"), (b"link", b"</a>")]
    assert rewrite_redirects(usual, head, compile_route(STRIP)) is usual
    kept = [(b"location", b"http://backend:8000/a")]
    assert rewrite_redirects(kept, head, compile_route(replace(STRIP, keep_redirects=True))) is kept


def sent_for(compiled: CompiledRoute, path: bytes) -> bytes | None:
    """Return the path that the backend is asked for when a client asks the gateway for this one."""
    head = RequestHead("GET", path, b"", [HOST])
    found = build_route_table([compiled.route]).find(head, Body(head, b""))
    return None if found is None else compiled.build_path(path, found[1])


@settings(max_examples=300)
@given(
    route=st.sampled_from([STRIP, BASE, AI, LOOSE, PIECE, REST]),
    rest=st.text("ab/1%.", max_size=8).map(str.encode),
    begins=st.sampled_from([b"/", b"/base/", b"/base/v1/", b"/v1/", b"/new/"]),
)
def test_who_follows_a_redirect_reaches_what_the_backend_named(
    route: Route, rest: bytes, begins: bytes
) -> None:
    compiled = compile_route(route)
    path = begins + rest
    assume(not path.startswith(b"//"))
    followed = rewrite(b"http://backend:8000" + path, route)
    if followed.startswith(GATEWAY):
        assert sent_for(compiled, followed.removeprefix(GATEWAY)) == path
    else:
        assert followed == b"http://backend:8000" + path
