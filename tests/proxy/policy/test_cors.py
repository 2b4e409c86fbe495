"""CORS: which origins are let in, and what a browser is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.cors import MAX_AGE_SECONDS, CorsPolicy, list_stripped_headers
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.settings import CorsSettings, Settings

ORIGIN = b"https://app.example"
HOST = (b"host", b"gateway.example")


def policy(**options: Any) -> CorsPolicy:
    made = CorsPolicy.build(CorsSettings(enabled=True, **options))
    assert made is not None
    return made


def head(method: str = "GET", *headers: tuple[bytes, bytes], path: bytes = b"/v1/x") -> RequestHead:
    return RequestHead(method, path, b"", [HOST, *headers])


def preflight(*more: tuple[bytes, bytes], origin: bytes = ORIGIN, path: bytes = b"/v1/x") -> RequestHead:
    asked = (b"access-control-request-method", b"POST")
    return head("OPTIONS", (b"origin", origin), asked, *more, path=path)


def values_of(name: bytes, headers: HeaderPairs) -> list[bytes]:
    return [value for found, value in headers if found == name]


def origins_of(made: CorsPolicy, origin: bytes) -> tuple[bytes | None, bytes | None]:
    """Return what a preflight and a response say is allowed."""
    answer = dict(made.answer_preflight(preflight(origin=origin)) or ())
    response = dict(made.apply(head("GET", (b"origin", origin)), []))
    name = b"access-control-allow-origin"
    return answer.get(name), response.get(name)


def test_there_is_no_policy_unless_it_is_enabled() -> None:
    assert CorsPolicy.build(CorsSettings()) is None


def test_a_preflight_is_told_what_may_be_sent() -> None:
    asked = (b"access-control-request-headers", b"authorization, content-type,x-stainless-os")
    assert policy().answer_preflight(preflight(asked)) == [
        (b"access-control-allow-origin", ORIGIN),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-methods", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        (b"access-control-allow-headers", asked[1]),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]


def test_listed_methods_and_headers_are_what_a_preflight_is_told() -> None:
    made = policy(allow_methods=("get", "POST"), allow_headers=("authorization", "x-a"))
    answer = dict(made.answer_preflight(preflight((b"access-control-request-headers", b"x-b"))) or ())
    assert answer[b"access-control-allow-methods"] == b"GET, POST"
    assert answer[b"access-control-allow-headers"] == b"authorization, x-a"


@pytest.mark.parametrize("asked", [b"", b"a:b", b"x-\xff", b"a" * 5000])
def test_header_names_that_are_none_are_not_echoed(asked: bytes) -> None:
    answer = policy().answer_preflight(preflight((b"access-control-request-headers", asked)))
    assert answer
    assert not values_of(b"access-control-allow-headers", answer)


@pytest.mark.parametrize(
    "request_head",
    [
        head("GET", (b"origin", ORIGIN), (b"access-control-request-method", b"POST")),
        head("OPTIONS"),
        head("OPTIONS", (b"origin", ORIGIN)),
        head("OPTIONS", (b"access-control-request-method", b"POST")),
        preflight((b"origin", ORIGIN)),
        preflight((b"access-control-request-method", b"GET")),
        preflight(path=b"/v1/%2e%2e/x"),
        preflight((b"host", b"another.example")),
        preflight((b"content-length", b"1"), (b"transfer-encoding", b"chunked")),
    ],
)
def test_what_is_no_preflight_or_has_a_fault_gets_no_answer(request_head: RequestHead) -> None:
    assert policy().answer_preflight(request_head) is None


@pytest.mark.parametrize(
    ("allowed", "credentials", "said"),
    [
        (("*",), True, ORIGIN),
        (("*",), False, b"*"),
        (("https://app.example",), False, ORIGIN),
        (("https://App.example/", "https://b.example"), True, ORIGIN),
        (("https://b.example", "*"), True, ORIGIN),
    ],
)
def test_an_origin_that_is_allowed_is_let_in(
    allowed: tuple[str, ...], credentials: bool, said: bytes
) -> None:
    made = policy(allow_origins=allowed, allow_credentials=credentials)
    assert origins_of(made, ORIGIN) == (said, said)


@pytest.mark.parametrize("credentials", [True, False])
@pytest.mark.parametrize(
    "origin",
    [
        b"http://app.example",
        b"https://app.example:8443",
        b"https://app.example.evil",
        b"https://x.app.example",
        b"null",
        b"*",
        b"",
        b"https://app.example/",
        b"HTTPS://APP.EXAMPLE",
    ],
)
def test_an_origin_that_is_not_listed_is_told_nothing(origin: bytes, credentials: bool) -> None:
    made = policy(allow_origins=("https://app.example",), allow_credentials=credentials)
    assert origins_of(made, origin) == (None, None)
    answer = made.answer_preflight(preflight(origin=origin))
    assert answer == [(b"vary", b"Origin, Access-Control-Request-Headers")]


@pytest.mark.parametrize(
    ("allowed", "origins", "others"),
    [
        (
            "https://*.example.com",
            [b"https://a.example.com", b"https://a-1.b.example.com"],
            [
                b"https://example.com",
                b"https://.example.com",
                b"http://a.example.com",
                b"https://a.example.com:8443",
                b"https://aexample.com",
                b"https://a.example.com.evil",
                b"https://evil/a.example.com",
                b"https://a.exampleXcom",
                b"https://u@a.example.com",
            ],
        ),
        ("https://*.example.com:8443", [b"https://a.example.com:8443"], [b"https://a.example.com"]),
        (
            "chrome-extension://*",
            [b"chrome-extension://jfaaddlfjbohmgkelkjbemkjnhbfjflf"],
            [b"moz-extension://a", b"chrome-extension://", b"xchrome-extension://a", b"null"],
        ),
        (
            "https://*",
            [b"https://a", b"https://a.b:1"],
            [b"http://a", b"https://a/b", b"https://a,https://b"],
        ),
        (
            "http://localhost:*",
            [b"http://localhost", b"http://localhost:5173"],
            [b"http://localhost.evil", b"http://localhost:", b"http://localhost:1x"],
        ),
        ("http://[::1]:*", [b"http://[::1]", b"http://[::1]:80"], [b"http://:::1"]),
        ("HTTPS://App.Example:443", [b"https://app.example"], [b"https://app.example:443"]),
        ("http://app.example:80/", [b"http://app.example"], [b"http://app.example:8080"]),
        ("null", [b"null"], [b"https://null"]),
    ],
)
@pytest.mark.parametrize("beside", [(), ("https://other.example", "https://*.other.example")])
def test_an_origin_may_stand_for_several(
    allowed: str, origins: list[bytes], others: list[bytes], beside: tuple[str, ...]
) -> None:
    made = policy(allow_origins=(*beside, allowed))
    for origin in origins:
        assert origins_of(made, origin) == (origin, origin)
    for origin in others:
        assert origins_of(made, origin) == (None, None)


@pytest.mark.parametrize(
    ("asked", "origin", "answered"),
    [(b"true", ORIGIN, [b"true"]), (b"false", ORIGIN, []), (b"true", b"https://other.example", [])],
)
def test_a_page_may_reach_a_private_network_if_it_may_reach_the_gateway(
    asked: bytes, origin: bytes, answered: list[bytes]
) -> None:
    made = policy(allow_origins=(ORIGIN.decode(),))
    answer = made.answer_preflight(
        preflight((b"access-control-request-private-network", asked), origin=origin)
    )
    assert answer is not None
    assert values_of(b"access-control-allow-private-network", answer) == answered


def test_origin_goes_to_no_backend_where_it_is_judged() -> None:
    assert "origin" not in list_stripped_headers(Settings())
    assert "origin" in list_stripped_headers(Settings(cors=CorsSettings(enabled=True)))


@pytest.mark.parametrize(
    "origin", [b"*", b"", b"app.example", b"https://a, https://b", b"https://a/b", b"x\x80"]
)
def test_what_is_no_origin_is_never_echoed(origin: bytes) -> None:
    assert origins_of(policy(), origin) == (None, None)


@pytest.mark.parametrize(
    "origin", [b"null", b"http://127.0.0.1:5173", b"http://[::1]:80", b"chrome-extension://ab"]
)
def test_every_kind_of_origin_is_let_in_by_the_star(origin: bytes) -> None:
    assert origins_of(policy(), origin) == (origin, origin)


def test_what_the_backend_says_is_replaced_and_nothing_else() -> None:
    theirs = [
        (b"access-control-allow-origin", b"*"),
        (b"content-type", b"text/plain"),
        (b"access-control-expose-headers", b"x-theirs"),
        (b"set-cookie", b"a=1"),
    ]
    got = policy().apply(head("GET", (b"origin", ORIGIN)), theirs)
    assert got[:2] == [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1")]
    assert values_of(b"access-control-allow-origin", got) == [ORIGIN]
    assert values_of(b"access-control-allow-credentials", got) == [b"true"]
    (exposed,) = values_of(b"access-control-expose-headers", got)
    assert {b"x-request-id", b"server-timing", b"retry-after"} <= set(exposed.split(b", "))
    assert b"*" not in exposed
    assert policy().apply(head(), theirs) == [theirs[1], theirs[3], (b"vary", b"Origin")]


@pytest.mark.parametrize(
    ("theirs", "merged"),
    [
        ([], [b"Origin"]),
        ([b""], [b"", b"Origin"]),
        ([b"accept-encoding"], [b"accept-encoding, Origin"]),
        ([b"accept", b"cookie"], [b"accept", b"cookie, Origin"]),
        ([b"accept, ORIGIN"], [b"accept, ORIGIN"]),
        ([b"origin", b"accept"], [b"origin", b"accept"]),
        ([b"*"], [b"*"]),
        ([b"x-origin"], [b"x-origin, Origin"]),
    ],
)
def test_vary_is_merged_with_the_backends(theirs: list[bytes], merged: list[bytes]) -> None:
    got = policy().apply(head(), [(b"vary", value) for value in theirs])
    assert values_of(b"vary", got) == merged


def test_a_response_that_is_the_same_for_every_origin_does_not_vary() -> None:
    made = policy(allow_credentials=False)
    assert made.apply(head("GET", (b"origin", ORIGIN)), [(b"vary", b"accept")])[0] == (b"vary", b"accept")
    assert values_of(b"vary", made.apply(head(), [])) == []


def test_a_response_that_depends_on_a_list_of_origins_varies_for_all_of_them() -> None:
    made = policy(allow_origins=("https://b.example", "/"), allow_credentials=False)
    assert made.apply(head(), []) == [(b"vary", b"Origin")]
    assert made.apply(head("GET", (b"origin", b"")), []) == [(b"vary", b"Origin")]


def test_the_answer_to_a_preflight_is_left_as_it_is() -> None:
    answer = policy().answer_preflight(preflight())
    assert answer
    assert policy().apply(preflight(), answer) == answer


@settings(max_examples=200)
@given(
    origin=st.one_of(st.just(ORIGIN), st.binary(max_size=40)),
    listed=st.booleans(),
    credentials=st.booleans(),
)
def test_a_star_never_comes_with_credentials_and_only_an_origin_is_echoed(
    origin: bytes, listed: bool, credentials: bool
) -> None:
    made = policy(allow_origins=("https://app.example",) if listed else ("*",), allow_credentials=credentials)
    for headers in (
        made.apply(head("GET", (b"origin", origin)), []),
        made.answer_preflight(preflight(origin=origin)) or [],
    ):
        said = values_of(b"access-control-allow-origin", headers)
        assert said in ([], [origin], [b"*"])
        with_credentials = bool(values_of(b"access-control-allow-credentials", headers))
        assert with_credentials == (bool(said) and credentials)
        assert not (with_credentials and said == [b"*"] and origin != b"*")
        if listed:
            assert said in ([], [ORIGIN])
