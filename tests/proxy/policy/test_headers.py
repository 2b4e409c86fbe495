"""Header rules: what a request and a response lose and gain on their way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.forwarded import Forwarded
from proxy.policy.headers import (
    HOP_BY_HOP,
    build_header_rules,
    build_request_headers,
    build_response_headers,
    connection_tokens,
    filter_response_headers,
    header_values_match,
)
from proxy.policy.model import HeaderPairs, RequestHead, Route
from proxy.policy.routing import compile_route

STRIPPED = ("host", "x-api-key", "authorization", "x-source-path")
OWN_HOST = b"gateway.example"
OWN = {
    b"x-forwarded-for": b"192.0.2.7",
    b"x-forwarded-host": OWN_HOST,
    b"x-forwarded-proto": b"http",
    b"x-request-id": b"req_1",
    b"via": b"1.1 fastgate",
}
CLAIMED = (
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"forwarded",
    b"x-real-ip",
    b"x-request-id",
    b"authorization",
    b"x-api-key",
    b"api-key",
)


def make_route(
    add: tuple[tuple[str, str], ...] = (), remove: tuple[str, ...] = (), target_host: str = "backend:8000"
) -> Route:
    return Route("rt_1", "one", "/*", target_host, add_headers=add, remove_headers=frozenset(remove))


def send(
    headers: HeaderPairs,
    route: Route | None = None,
    http_version: str = "1.1",
    peer: str = "192.0.2.7",
    host: bytes = b"gateway.example",
) -> list[tuple[bytes, bytes]]:
    pairs = [(b"host", host), *headers] if host else list(headers)
    head = RequestHead("GET", b"/", b"", pairs, peer=peer, http_version=http_version)
    return build_request_headers(head, build_header_rules(route or make_route(), STRIPPED), "req_1")


def values_of(name: bytes, headers: HeaderPairs) -> list[bytes]:
    return [value for found, value in headers if found == name]


def test_ordinary_headers_keep_order_repetition_and_bytes() -> None:
    headers = [(b"b", b"2"), (b"a", b""), (b"b", b"1"), (b"cookie", b"x=\xff"), (b"content-type", b"a/b")]
    assert send(headers)[1 : len(headers) + 1] == headers


def test_backend_is_told_who_asked_and_under_which_id() -> None:
    sent = send([])
    assert sent[0] == (b"host", b"backend:8000")
    assert dict(sent[1:]) == OWN


@settings(max_examples=200)
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([*CLAIMED, *(name.replace(b"-", b"_") for name in CLAIMED)]), st.just(b"forged")
        ),
        max_size=8,
    )
)
def test_nothing_that_a_client_claims_of_itself_goes_upstream(headers: list[tuple[bytes, bytes]]) -> None:
    assert dict(send(headers)) == {b"host": b"backend:8000", **OWN}


@pytest.mark.parametrize(
    "name", [b"x_api_key", b"x_forwarded-for", b"x-request_id", b"x_tenant", b"content_length"]
)
def test_name_with_underscores_that_imitates_ours_is_dropped(name: bytes) -> None:
    assert values_of(name, send([(name, b"forged")], make_route(add=(("X-Tenant", "a"),)))) == []


@pytest.mark.parametrize(
    "name", [b"x-forwarded-user", b"x-forwarded-prefix", b"x_forwarded_port", b"x-forwarded-"]
)
def test_what_only_a_proxy_can_say_is_taken_from_one_that_is_trusted_alone(name: bytes) -> None:
    assert values_of(name, send([(name, b"root")])) == []
    head = RequestHead("GET", b"/", b"", [(name, b"/app")], peer="192.0.2.7")
    sent = build_request_headers(head, build_header_rules(make_route()), "req_1", Forwarded("a", b"a"))
    assert values_of(name, sent) == [b"/app"]


def test_name_with_underscores_that_imitates_nothing_is_kept() -> None:
    assert values_of(b"x_my_header", send([(b"x_my_header", b"1")])) == [b"1"]


def test_dashed_twin_of_an_added_header_with_underscores_is_dropped() -> None:
    sent = send([(b"x-tenant", b"forged"), (b"x_tenant", b"forged")], make_route(add=(("X_Tenant", "a"),)))
    assert [pair for pair in sent if pair[0].startswith((b"x-ten", b"x_ten"))] == [(b"x_tenant", b"a")]


def test_hop_by_hop_and_framing_headers_stay_behind() -> None:
    names = sorted(HOP_BY_HOP | {b"content-length", b"expect"})
    assert {name for name, _ in send([(name, b"x") for name in names])} == {b"host", *OWN}


NAMES = st.sampled_from([b"accept", b"x-a", b"x-b", b"content-type", b"x-tenant", *CLAIMED])
TOKEN_CASE = st.sampled_from([bytes.lower, bytes.upper, bytes.title])


@settings(max_examples=200)
@given(
    headers=st.lists(st.tuples(NAMES, st.just(b"theirs")), max_size=8),
    named=st.lists(st.lists(NAMES, max_size=4), min_size=1, max_size=2),
    spell=TOKEN_CASE,
    place=st.integers(0, 8),
)
def test_no_header_that_connection_names_survives_but_injected_ones_do(
    headers: list[tuple[bytes, bytes]], named: list[list[bytes]], spell: object, place: int
) -> None:
    assert callable(spell)
    connections = [(b"connection", b" , ".join(map(spell, names))) for names in named]
    sent = send([*headers[:place], *connections, *headers[place:]], make_route(add=(("X-Tenant", "ours"),)))
    all_named = {name for names in named for name in names}
    assert not {name for name, value in sent if value == b"theirs"} & all_named
    assert dict(sent).items() >= {**OWN, b"x-tenant": b"ours"}.items()
    expected = [pair for pair in headers if pair[0] not in {*all_named, *CLAIMED, b"x-tenant"}]
    assert [pair for pair in sent if pair[1] == b"theirs"] == expected


def test_connection_tokens_are_in_lower_case_and_trimmed() -> None:
    assert connection_tokens(b"Keep-Alive,\tX-A , ") == {b"keep-alive", b"x-a", b""}


def test_added_header_replaces_the_clients() -> None:
    sent = send([(b"x-tenant", b"theirs"), (b"x-other", b"1")], make_route(add=(("X-Tenant", "ours"),)))
    assert values_of(b"x-tenant", sent) == [b"ours"]
    assert values_of(b"x-other", sent) == [b"1"]


def test_route_may_give_the_backend_a_credential_of_its_own() -> None:
    sent = send([(b"authorization", b"Bearer theirs")], make_route(add=(("Authorization", "Bearer ours"),)))
    assert values_of(b"authorization", sent) == [b"Bearer ours"]


def test_route_may_state_the_host() -> None:
    sent = send([], make_route(add=(("Host", "api.example.com"),)))
    assert values_of(b"host", sent) == [b"api.example.com"]
    assert values_of(b"x-forwarded-host", sent) == [b"gateway.example"]


def test_removed_and_stripped_headers_are_gone_whatever_their_case() -> None:
    sent = send([(b"cookie", b"a"), (b"x-source-path", b"b")], make_route(remove=("Cookie",)))
    assert {name for name, _ in sent} == {b"host", *OWN}


def test_route_may_keep_back_what_the_gateway_would_say_but_never_the_host() -> None:
    sent = send([(b"x-forwarded-for", b"forged")], make_route(remove=("X-Forwarded-For", "via", "host")))
    assert [name for name, _ in sent] == [b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-request-id"]


@pytest.mark.parametrize(
    ("forwarded", "chain", "host", "scheme"),
    [
        (Forwarded("203.0.113.9", b"203.0.113.9, 192.0.2.7"), b"203.0.113.9, 192.0.2.7", OWN_HOST, b"http"),
        (Forwarded("a", b"a, b", b"public.example", b"https"), b"a, b", b"public.example", b"https"),
    ],
)
def test_what_a_trusted_proxy_said_goes_on_in_place_of_what_the_client_wrote(
    forwarded: Forwarded, chain: bytes, host: bytes, scheme: bytes
) -> None:
    headers = [(b"host", OWN_HOST), *((name, b"forged") for name in CLAIMED)]
    head = RequestHead("GET", b"/", b"", headers, peer="192.0.2.7")
    sent = build_request_headers(head, build_header_rules(make_route(), STRIPPED), "req_1", forwarded)
    said = {b"x-forwarded-for": chain, b"x-forwarded-host": host, b"x-forwarded-proto": scheme}
    assert dict(sent) == {b"host": b"backend:8000", **OWN, **said}
    assert len(sent) == len(dict(sent))


@pytest.mark.parametrize(
    ("peer", "host", "unknown"),
    [
        ("", b"gateway.example", {b"x-forwarded-for"}),
        ("192.0.2.7", b"", {b"x-forwarded-host"}),
        ("", b"", {b"x-forwarded-for", b"x-forwarded-host"}),
    ],
)
def test_what_is_not_known_is_not_stated(peer: str, host: bytes, unknown: set[bytes]) -> None:
    names = {name for name, _ in send([], http_version="1.0", peer=peer, host=host)}
    assert names == {b"host", *OWN} - unknown


def test_via_is_appended_to_in_order_with_the_version_of_the_request() -> None:
    sent = send([(b"via", b"1.1 one"), (b"via", b"1.0 two, 1.1 three")], http_version="1.0")
    assert values_of(b"via", sent) == [b"1.1 one, 1.0 two, 1.1 three, 1.0 fastgate"]


def test_an_empty_via_is_no_element_of_the_list() -> None:
    assert values_of(b"via", send([(b"via", b""), (b"via", b"1.1 one")])) == [b"1.1 one, 1.1 fastgate"]


def test_values_go_out_as_latin_1() -> None:
    assert values_of(b"x-name", send([], make_route(add=(("X-Name", "é"),)))) == [b"\xe9"]


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "x-forwarded-for",
        "X-Request-Id",
        "via",
        "x y",
        "",
        "x:",
        "x\n",
        "\ud800",
    ],
)
def test_route_cannot_add_framing_nor_a_name_that_is_none(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot set the header"):
        build_header_rules(make_route(add=((name, "1"),)))


@pytest.mark.parametrize(
    "value", ["s3cret\r\nx: y", "s3cret\n", "s3cret\x00", "s3cret€", "s3cret\ud800", "s3cret\x7f"]
)
def test_route_cannot_add_a_value_that_no_header_can_hold_and_the_error_does_not_tell_it(value: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build_header_rules(make_route(add=(("X-Key", value),)))
    assert "X-Key" in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_repr_of_the_rules_holds_no_value() -> None:
    rules = build_header_rules(make_route(add=(("Authorization", "Bearer s3cret"), ("host", "s3cret"))))
    assert "s3cret" not in repr(rules)
    assert "authorization" in repr(rules)


def test_response_keeps_everything_but_hop_by_hop_and_our_own() -> None:
    kept = [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-length", b"5"),
    ]
    dropped = [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"timeout=5")]
    ours = [(b"Server-Timing", b"db;dur=1")]
    assert filter_response_headers([*kept[:2], *dropped, *ours, *kept[2:]]) == kept


def test_a_request_id_of_the_backends_own_goes_by_another_name() -> None:
    headers = [(b"X-Request-Id", b"theirs"), (b"a", b"1")]
    assert filter_response_headers(headers) == [(b"x-upstream-request-id", b"theirs"), (b"a", b"1")]
    assert build_response_headers(headers, sent_id=b"theirs") == [(b"a", b"1")]
    assert build_response_headers(headers, sent_id=b"ours")[0] == (b"x-upstream-request-id", b"theirs")


DATE = b"Sat, 31 Jan 2026 00:00:00 GMT"
ADDED = (b"date", DATE)
UNBUFFERED = (b"x-accel-buffering", b"no")
STREAM = (b"content-type", b"Text/Event-Stream; charset=utf-8")


@pytest.mark.parametrize(
    ("headers", "added"),
    [
        ([], [ADDED]),
        ([(b"date", b"theirs")], []),
        ([(b"date", b"theirs"), (b"connection", b"Date")], [ADDED]),
        ([STREAM], [ADDED, UNBUFFERED]),
        ([STREAM, (b"date", b"theirs")], [UNBUFFERED]),
        ([STREAM, (b"x-accel-buffering", b"yes"), (b"date", b"theirs")], []),
        ([(b"x-accel-buffering", b"yes"), STREAM, (b"date", b"theirs")], []),
        ([(b"content-type", b"application/json"), (b"date", b"theirs")], []),
    ],
)
def test_what_a_backend_leaves_out_is_added(headers: HeaderPairs, added: HeaderPairs) -> None:
    kept = filter_response_headers(headers)
    assert build_response_headers(headers, date=DATE) == [*kept, *added]


def test_a_credential_of_another_goes_on_only_if_the_route_says_so() -> None:
    credentials = [(b"authorization", b"Bearer a"), (b"x-api-key", b"b"), (b"x-goog-api-key", b"c")]
    assert {name for name, _ in send(credentials)} == {b"host", *OWN}
    passing = replace(make_route(add=(("X-Api-Key", "ours"),)), pass_credential=True)
    sent = [pair for pair in send(credentials, passing) if pair[0] in dict(credentials)]
    assert sent == [credentials[0], credentials[2], (b"x-api-key", b"ours")]
    removing = replace(make_route(remove=("authorization",)), pass_credential=True)
    assert values_of(b"authorization", send(credentials, removing)) == []


@pytest.mark.parametrize(
    ("pattern", "target_path", "strips", "prefix"),
    [
        ("/llm/*", "", True, b"/llm"),
        ("/llm/*", "/", True, b"/llm"),
        ("/llm/*", "/base", True, b"/llm"),
        ("/ai/v1/*", "/v1", True, b"/ai"),
        ("/v1/*", "/v1/", True, None),
        ("/*", "/base", True, None),
        ("/llm/*", "", False, None),
    ],
)
def test_a_backend_is_told_of_the_prefix_that_is_stripped(
    pattern: str, target_path: str, strips: bool, prefix: bytes | None
) -> None:
    route = Route("rt", "r", pattern, "b", target_path=target_path, strip_path_prefix=strips)
    rules = compile_route(route).header_rules
    head = RequestHead("GET", b"/", b"", [(b"host", b"a"), (b"x-forwarded-prefix", b"/app/")], peer="::1")
    sent = values_of(b"x-forwarded-prefix", build_request_headers(head, rules, "req_1"))
    assert sent == ([] if prefix is None else [prefix])
    behind = build_request_headers(head, rules, "req_1", Forwarded("::1", b"::1"))
    assert values_of(b"x-forwarded-prefix", behind) == [b"/app/" if prefix is None else b"/app" + prefix]


@pytest.mark.parametrize(
    ("route", "stated"),
    [
        (make_route(add=(("X-Forwarded-Prefix", "/mine"),)), [b"/mine"]),
        (make_route(remove=("X-Forwarded-Prefix",)), []),
    ],
)
def test_a_route_may_state_the_prefix_itself_or_keep_it_back(route: Route, stated: list[bytes]) -> None:
    rules = build_header_rules(route, prefix=b"/llm")
    head = RequestHead("GET", b"/", b"", [(b"host", b"a"), (b"x-forwarded-prefix", b"/app")], peer="::1")
    assert values_of(b"x-forwarded-prefix", build_request_headers(head, rules, "req_1")) == stated


def test_a_client_with_a_limit_is_told_of_no_other() -> None:
    own = [(b"X-RateLimit-Limit-Requests", b"9"), (b"x-ratelimit-reset-requests", b"1s")]
    tokens = (b"x-ratelimit-limit-tokens", b"5")
    assert filter_response_headers([*own, tokens], is_limited=True) == [tokens]
    assert len(filter_response_headers([*own, tokens])) == 3


def test_response_names_are_in_lower_case_and_values_untouched() -> None:
    assert filter_response_headers([(b"ETag", b'W/"A"'), (b"X-Empty", b"")]) == [
        (b"etag", b'W/"A"'),
        (b"x-empty", b""),
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_response_header_that_connection_names_is_gone_wherever_it_stands(place: int) -> None:
    headers = [(b"X-Hop", b"1"), (b"X-Stays", b"2")]
    headers.insert(place, (b"CONNECTION", b"x-HOP, close"))
    assert filter_response_headers(headers) == [(b"x-stays", b"2")]


@pytest.mark.parametrize(
    ("wanted", "headers", "matches"),
    [
        ((), [], True),
        ((("X-A", None),), [(b"x-a", b"")], True),
        ((("X-A", None),), [(b"x-b", b"1")], False),
        ((("x-a", "1"),), [(b"x-a", b"1")], True),
        ((("x-a", "1"),), [(b"x-a", b"2")], False),
        ((("x-a", "1"),), [(b"x-a", b"2"), (b"x-a", b"1")], True),
        ((("x-a", "a*c"),), [(b"x-a", b"abc")], True),
        ((("x-a", "a*c"),), [(b"x-a", b"abcd")], False),
        ((("x-a", "ABC"),), [(b"x-a", b"abc")], False),
        ((("x-a", "a?c"),), [(b"x-a", b"abc")], False),
        ((("x-a", "a?c"),), [(b"x-a", b"a?c")], True),
        ((("x-a", "[ab]*"),), [(b"x-a", b"a1")], False),
        ((("x-a", "[ab]*"),), [(b"x-a", b"[ab]1")], True),
        ((("x-a", "1"), ("x-b", "2")), [(b"x-a", b"1")], False),
        ((("x-a", "1"), ("x-b", "2")), [(b"x-b", b"2"), (b"x-a", b"1")], True),
    ],
)
def test_route_asks_for_headers_with_values_where_only_the_star_is_special(
    wanted: tuple[tuple[str, str | None], ...], headers: list[tuple[bytes, bytes]], matches: bool
) -> None:
    assert header_values_match(wanted, headers) is matches
