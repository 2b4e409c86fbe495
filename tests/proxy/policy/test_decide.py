"""The one decision: in which order it looks, what it refuses, and what it sends on."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.credentials import CREDENTIAL_HEADERS, build_secret, digest_secret
from proxy.policy.decide import Answer, Decision, Forward, KeyEntry, NeedBody, Refuse, Snapshot, decide
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead, Route
from proxy.policy.permissions import compile_permissions
from proxy.policy.routing import build_route_table

NOW_US = 1_700_000_000_000_000
HOST = (b"host", b"gateway.example")


def make_entry(
    secret: str, *, is_active: bool = True, permissions: tuple[str, ...] = (), expires: int | None = None
) -> KeyEntry:
    key = ApiKey(
        key_id=f"key_{secret}",
        digest=digest_secret(secret.encode()),
        permissions=permissions,
        is_active=is_active,
        expires_at_us=expires,
    )
    return KeyEntry(key, compile_permissions(permissions))


LONG = build_secret("fg_", "0123456789abcdefghijABCDEFGHIJ")
ENTRIES = (
    make_entry("good"),
    make_entry(LONG),
    make_entry("disabled", is_active=False),
    make_entry("expired", expires=NOW_US),
    make_entry("lasting", expires=NOW_US + 1),
    make_entry("narrow", permissions=("GET /v1/models", "route:files")),
    make_entry("model", permissions=("model:qwen*",)),
)
QWEN = {"type": "object", "properties": {"model": {"const": "qwen3"}}, "required": ["model"]}
ROUTES = (
    Route("rt_v1", "v1", "/v1/*", "backend:8000"),
    Route(
        "rt_files",
        "files",
        "/files/{name}",
        "files:9000",
        target_path="/data/{name}",
        target_protocol="https",
    ),
    Route("rt_strip", "strip", "/strip/*", "backend:8000", target_path="/base", strip_path_prefix=True),
    Route("rt_user", "user", "/u-{id}", "backend:8000", target_path="/users/{id}/profile"),
    Route("rt_loose", "loose", "/loose**", "backend:8000", target_path="/base", strip_path_prefix=True),
    Route("rt_fixed", "fixed", "/fixed/*", "backend:8000", target_path="/one"),
    Route("rt_qwen", "qwen", "/body/*", "qwen:1", match_body_schema=QWEN, priority=1),
    Route("rt_open", "open", "/body/open", "open:1"),
    Route("rt_edit", "edit", "/edit/*", "edit:1", add_body_fields=(("max_tokens", b"5"),)),
    Route("rt_hub", "hub", "/hub/{name}", "hub:1", target_path="/models/{name}", encoded_slash=True),
    Route("rt_cut", "cut", "/cut-{name}", "hub:1", target_path="/x/{name}/y", encoded_slash=True),
    Route("rt_bare", "bare", "/bare**", "backend:8000", target_path="/{rest}"),
    Route("rt_key", "key", "/key/*", "backend:8000", add_headers=(("Authorization", "Bearer s3cret"),)),
    Route("rt_pass", "pass", "/pass/*", "backend:8000", pass_credential=True),
)
SNAPSHOT = Snapshot(
    1,
    {entry.key.digest: entry for entry in ENTRIES},
    build_route_table(ROUTES, strip_headers=("x-source-path",)),
)


def ask(
    path: bytes = b"/v1/models",
    *,
    key: str | None = "good",
    method: str = "GET",
    query: bytes = b"",
    headers: HeaderPairs = (),
    snapshot: Snapshot = SNAPSHOT,
    body: bytes | None = None,
) -> Decision:
    credential = [] if key is None else [(b"authorization", b"Bearer " + key.encode())]
    head = RequestHead(method, path, query, [HOST, *credential, *headers], peer="192.0.2.7")
    return decide(head, snapshot, NOW_US, "req_1", body)


def forwarded(decision: Decision) -> Forward:
    assert isinstance(decision, Forward), decision
    return decision


def refused(decision: Decision) -> Refuse:
    assert isinstance(decision, Refuse), decision
    return decision


def test_request_with_a_valid_key_is_forwarded_to_its_route() -> None:
    decision = forwarded(ask(b"/v1/chat/completions", method="POST", query=b"a=1"))
    assert decision.key.key_id == "key_good"
    assert decision.compiled.route.route_id == "rt_v1"
    assert decision.target == b"/v1/chat/completions?a=1"
    assert decision.target_url == "http://backend:8000/v1/chat/completions?a=1"
    assert dict(decision.headers)[b"x-request-id"] == b"req_1"


@pytest.mark.parametrize(
    ("path", "url"),
    [
        (b"/files/a%20b", "https://files:9000/data/a%20b"),
        (b"/strip/x/y", "http://backend:8000/base/x/y"),
        (b"/u-7", "http://backend:8000/users/7/profile"),
        (b"/fixed/anything", "http://backend:8000/one"),
    ],
)
@pytest.mark.parametrize("query", [b"", b"q=%2F..%2f&q=&&x"])
def test_target_follows_the_rule_of_the_route_and_the_query_goes_along(
    path: bytes, url: str, query: bytes
) -> None:
    assert forwarded(ask(path, query=query)).target_url == url + ("?" + query.decode() if query else "")


@settings(max_examples=200)
@given(
    rest=st.text("ab/.%2eE5cF;\\~", max_size=12).map(str.encode),
    query=st.binary(max_size=8).filter(lambda query: set(query) <= {*range(0x21, 0x7F)} - {0x23}),
)
def test_what_was_matched_is_what_is_sent(rest: bytes, query: bytes) -> None:
    decision = ask(b"/v1/" + rest, query=query)
    if isinstance(decision, Forward):
        assert decision.target == b"/v1/" + rest + (b"?" + query if query else b"")
    else:
        assert refused(decision).reason == "bad_path"


@pytest.mark.parametrize(
    "path", [b"/u-..", b"/u-.", b"/u-.%2e", b"/u-%2E%2e", b"/loose..", b"/loose../admin", b"/loose.%2e"]
)
def test_no_pattern_can_be_made_to_cut_a_dot_segment_out_of_a_name(path: bytes) -> None:
    decision = refused(ask(path))
    assert (decision.status, decision.code, decision.reason) == (400, "bad_request", "bad_path")
    assert decision.key is not None


@settings(max_examples=300)
@given(
    prefix=st.sampled_from([b"/u-", b"/loose", b"/strip/", b"/files/"]),
    rest=st.text(".%2eE/a", max_size=10).map(str.encode),
)
def test_no_request_sends_a_dot_segment_upstream(prefix: bytes, rest: bytes) -> None:
    decision = ask(prefix + rest)
    if isinstance(decision, Forward):
        segments = decision.target.lower().replace(b"%2e", b".").split(b"/")
        assert not {b".", b".."} & set(segments)


@pytest.mark.parametrize(
    ("key", "status", "code", "reason"),
    [
        (None, 401, "missing_api_key", "missing_api_key"),
        ("", 401, "missing_api_key", "missing_api_key"),
        ("unknown", 401, "invalid_api_key", "unknown_api_key"),
        ("GOOD", 401, "invalid_api_key", "unknown_api_key"),
        ("goo", 401, "invalid_api_key", "unknown_api_key"),
        ("go od", 401, "invalid_api_key", "unknown_api_key"),
        ("g" * 10_240, 401, "invalid_api_key", "unknown_api_key"),
        ("gööd", 401, "invalid_api_key", "unknown_api_key"),
        ("' OR 1=1 --", 401, "invalid_api_key", "unknown_api_key"),
        ("sha256:" + "0" * 64, 401, "invalid_api_key", "unknown_api_key"),
        (digest_secret(b"good"), 401, "invalid_api_key", "unknown_api_key"),
        ("disabled", 401, "invalid_api_key", "disabled_api_key"),
        ("expired", 401, "invalid_api_key", "expired_api_key"),
    ],
)
def test_bad_key_is_refused_with_its_reason(key: str | None, status: int, code: str, reason: str) -> None:
    decision = refused(ask(key=key))
    assert (decision.status, decision.code, decision.reason) == (status, code, reason)


def test_key_expires_at_its_moment_and_not_before() -> None:
    assert isinstance(ask(key="lasting"), Forward)
    assert isinstance(ask(key="expired"), Refuse)


def test_client_is_told_the_same_of_unknown_disabled_expired_and_doubled_keys() -> None:
    answers = {
        (decision.status, decision.code, decision.message)
        for decision in (
            *(refused(ask(key=key)) for key in ("unknown", "disabled", "expired", "' OR 1=1 --")),
            refused(ask(headers=[(b"x-api-key", b"lasting")])),
        )
    }
    assert len(answers) == 1


def test_two_different_keys_are_refused_even_if_both_are_valid_and_neither_is_named() -> None:
    decision = refused(ask(headers=[(b"api-key", b"lasting")]))
    assert (decision.reason, decision.key) == ("two_api_keys", None)


def test_a_rotated_key_is_one_key_with_two_secrets_that_end_apart() -> None:
    new = make_entry("good")
    old = KeyEntry(replace(new.key, digest=digest_secret(b"old"), expires_at_us=NOW_US + 1, is_previous=True))
    snapshot = replace(SNAPSHOT, keys={entry.key.digest: entry for entry in (new, old)})
    for secret, is_previous in (("good", False), ("old", True)):
        key = forwarded(ask(key=secret, snapshot=snapshot)).key
        assert (key.key_id, key.is_previous) == ("key_good", is_previous)
    assert snapshot.count_keys() == 1
    ended = KeyEntry(replace(old.key, expires_at_us=NOW_US))
    refusal = refused(ask(key="old", snapshot=replace(SNAPSHOT, keys={ended.key.digest: ended})))
    assert (refusal.status, refusal.code, refusal.reason) == (401, "invalid_api_key", "expired_api_key")
    assert refusal.key == ended.key


def test_audit_knows_whose_disabled_or_expired_key_it_was() -> None:
    owners = [refused(ask(key=key)).key for key in ("disabled", "expired", "unknown")]
    assert [owner and owner.key_id for owner in owners] == ["key_disabled", "key_expired", None]


@pytest.mark.parametrize("path", [b"/v1/models", b"/nowhere"])
def test_nobody_without_a_valid_key_learns_which_routes_there_are(path: bytes) -> None:
    assert refused(ask(path, key="unknown")).code == "invalid_api_key"


def test_framing_is_looked_at_before_the_key() -> None:
    assert refused(ask(b"/v1/../x", key=None)).reason == "bad_path"


def test_path_without_a_route_is_refused() -> None:
    decision = refused(ask(b"/nowhere"))
    assert (decision.status, decision.code, decision.reason) == (404, "no_route", "no_route")
    assert decision.key is not None


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", b"/v1/models", True),
        ("POST", b"/v1/models", False),
        ("GET", b"/v1/chat", False),
        ("DELETE", b"/files/a", True),
    ],
)
def test_permissions_narrow_a_key(method: str, path: bytes, allowed: bool) -> None:
    decision = ask(path, key="narrow", method=method)
    assert isinstance(decision, Forward) is allowed
    if isinstance(decision, Refuse):
        assert (decision.status, decision.code, decision.reason) == (
            403,
            "permission_denied",
            "permission_denied",
        )
        assert decision.key is not None


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"])
def test_key_never_goes_upstream(name: bytes) -> None:
    value = b"Bearer good" if name == b"authorization" else b"good"
    decision = forwarded(ask(key=None, headers=[(name, value)]))
    assert not any(b"good" in field for _, field in decision.headers)


def test_credential_of_another_scheme_never_goes_upstream_either() -> None:
    decision = forwarded(ask(key=None, headers=[(b"x-api-key", b"good"), (b"authorization", b"Basic Zm9v")]))
    assert b"authorization" not in dict(decision.headers)


FOREIGN = [
    ([(b"authorization", b"Bearer EMPTY")], b""),
    ([(b"authorization", b"Basic Zm9vOmJhcg==")], b""),
    ([(b"x-api-key", b"EMPTY"), (b"x-goog-api-key", b"AIza")], b""),
    ([], b"key=AIza&alt=sse"),
]


@pytest.mark.parametrize(("headers", "query"), FOREIGN)
@pytest.mark.parametrize("place", [(b"api-key", b"good"), (b"x-goog-api-key", b"good")])
def test_a_credential_that_is_no_key_of_the_gateways_is_none_to_it(
    headers: HeaderPairs, query: bytes, place: tuple[bytes, bytes]
) -> None:
    for path, passed in ((b"/v1/x", []), (b"/pass/x", headers)):
        decision = forwarded(ask(path, key=None, query=query, headers=[*headers, place]))
        assert decision.key.key_id == "key_good"
        assert [pair for pair in decision.headers if pair[0] in CREDENTIAL_HEADERS] == passed
        assert decision.target == path + (b"?" + query if query else b"")


def test_a_credential_that_is_no_key_of_the_gateways_is_not_enough() -> None:
    for headers, query in FOREIGN:
        assert refused(ask(key=None, headers=headers, query=query)).status == 401


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (b"key=%b", b""),
        (b"alt=sse&key=%b", b"?alt=sse"),
        (b"key=%b&a=%2F..%2f&&x=", b"?a=%2F..%2f&&x="),
        (b"key=%b&key=AIza", b"?key=AIza"),
    ],
)
def test_a_key_in_the_query_is_taken_and_taken_out(query: bytes, sent: bytes) -> None:
    for key in (b"good", LONG.encode()):
        decision = forwarded(ask(key=None, query=query.replace(b"%b", key)))
        assert decision.target == b"/v1/models" + sent


def test_a_route_swaps_googles_key_for_its_own() -> None:
    route = Route("rt_g", "g", "/*", "b", add_headers=(("x-goog-api-key", "theirs"),), pass_credential=True)
    snapshot = replace(SNAPSHOT, routes=build_route_table([route]))
    for headers, query in (([(b"x-goog-api-key", b"good")], b""), ([], b"key=good")):
        decision = forwarded(ask(key=None, headers=headers, query=query, snapshot=snapshot))
        assert dict(decision.headers)[b"x-goog-api-key"] == b"theirs"
        assert b"good" not in decision.target


ELSEWHERE: list[tuple[list[tuple[bytes, bytes]], bytes]] = [
    ([(b"x-api-key", b"%b")], b""),
    ([(b"authorization", b"%b")], b""),
    ([(b"x-token", b"%b")], b""),
    ([(b"cookie", b"a=1; session=%b")], b""),
    ([(b"referer", b"https://gateway/?key=%b")], b""),
    ([(b"via", b"1.1 %b")], b""),
    ([], b"api_key=%b"),
    ([], b"key=%b&a=1"),
]


@pytest.mark.parametrize(("headers", "query"), ELSEWHERE)
@pytest.mark.parametrize("path", [b"/v1/x", b"/pass/x", b"/key/x", b"/strip/x"])
def test_a_key_that_stands_elsewhere_too_reaches_no_backend(
    path: bytes, headers: HeaderPairs, query: bytes
) -> None:
    key = LONG.encode()
    also = [(name, value.replace(b"%b", key)) for name, value in headers]
    decision = forwarded(
        ask(path, key=LONG, headers=[*also, (b"x-kept", b"1")], query=query.replace(b"%b", key))
    )
    assert key not in decision.target
    assert not [pair for pair in decision.headers if key in pair[1]]
    assert (b"x-kept", b"1") in decision.headers


def test_a_key_in_the_path_is_refused() -> None:
    decision = refused(ask(b"/v1/" + LONG.encode(), key=LONG))
    assert (decision.status, decision.reason) == (400, "bad_path")
    assert LONG not in decision.message


@pytest.mark.parametrize("value", [b"good", LONG.encode(), LONG.encode()[:-1].replace(b"g", b"h", 1)])
def test_a_key_without_bearer_is_refused_with_what_to_write(value: bytes) -> None:
    decision = refused(ask(key=None, headers=[(b"authorization", value)]))
    assert (decision.status, decision.code, decision.reason) == (401, "missing_api_key", "missing_api_key")
    is_key = value in (b"good", LONG.encode())
    assert ("the word 'Bearer'" in decision.message) is is_key
    assert "'Authorization: Bearer KEY'" in decision.message


def test_a_key_of_another_gateway_without_bearer_is_known_by_its_form() -> None:
    decision = ask(key=None, headers=[(b"authorization", LONG.encode())], snapshot=Snapshot())
    assert "the word 'Bearer'" in refused(decision).message


@pytest.mark.parametrize(
    ("method", "has_cors", "names_setting"),
    [("OPTIONS", False, True), ("OPTIONS", True, False), ("GET", False, False)],
)
def test_a_preflight_that_nobody_answers_is_told_of_the_setting(
    method: str, has_cors: bool, names_setting: bool
) -> None:
    asked = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"POST")]
    snapshot = replace(SNAPSHOT, has_cors=has_cors)
    decision = refused(ask(key=None, method=method, headers=asked, snapshot=snapshot))
    assert (decision.status, decision.code) == (401, "missing_api_key")
    assert ("cors.enabled" in decision.message) is names_setting


def test_credentials_of_the_route_go_upstream_and_no_repr_tells_them() -> None:
    decision = forwarded(ask(b"/key/x", query=b"key=s3cret"))
    assert dict(decision.headers)[b"authorization"] == b"Bearer s3cret"
    assert "s3cret" not in repr(decision)


def test_no_repr_holds_a_secret() -> None:
    assert "s3cret" not in repr(SNAPSHOT)
    assert "s3cret" not in repr(ask(key="s3cret"))


def test_refusal_echoes_nothing_of_the_request() -> None:
    for decision in (ask(b"/s3cret"), ask(key="s3cret"), ask(b"/s3cret/.."), ask(query=b"s3cret\n")):
        refusal = refused(decision)
        assert "s3cret" not in refusal.message + refusal.reason + refusal.code


def test_destination_depends_on_the_route_alone() -> None:
    hostile = [
        (b"x-forwarded-host", b"evil"),
        (b"x-original-url", b"http://evil/"),
        (b"forwarded", b"host=evil"),
    ]
    decision = forwarded(ask(query=b"base_url=http://evil", headers=hostile))
    assert decision.compiled.origin == "http://backend:8000"
    assert dict(decision.headers)[b"host"] == b"backend:8000"


def test_decision_is_the_same_every_time_and_changes_nothing_it_was_given() -> None:
    headers = [HOST, (b"x-api-key", b"good"), (b"connection", b"x-a"), (b"x-a", b"1")]
    head = RequestHead("GET", b"/v1/x", b"", headers)
    before = list(headers)
    first = decide(head, SNAPSHOT, NOW_US, "req_1")
    assert decide(head, SNAPSHOT, NOW_US, "req_1") == first
    assert headers == before


def test_empty_snapshot_lets_nobody_in() -> None:
    assert refused(ask(snapshot=Snapshot())).reason == "unknown_api_key"


LENGTH = (b"content-length", b"9")
GZIP = (b"content-encoding", b"gzip")
BROTLI = (b"content-encoding", b"br")
IMAGE = (b"content-type", b"image/png")
FORM = (b"content-type", b"multipart/form-data; boundary=B")


def post(
    path: bytes, body: bytes | None = None, *, key: str = "good", headers: HeaderPairs = (LENGTH,)
) -> Decision:
    return ask(path, key=key, method="POST", headers=headers, body=body)


@pytest.mark.parametrize(
    ("path", "key"),
    [(b"/body/x", "good"), (b"/body/open", "good"), (b"/edit/x", "good"), (b"/v1/x", "model")],
)
@pytest.mark.parametrize("header", [LENGTH, (b"transfer-encoding", b"chunked")])
def test_body_is_asked_for_where_a_rule_needs_it(path: bytes, key: str, header: tuple[bytes, bytes]) -> None:
    decision = post(path, key=key, headers=[header])
    assert isinstance(decision, NeedBody)
    assert decision.key.key_id == f"key_{key}"


@settings(max_examples=100)
@given(
    path=st.sampled_from([b"/body/x", b"/body/open", b"/edit/x", b"/v1/x"]),
    key=st.sampled_from(["good", "model"]),
    body=st.sampled_from([b"", b"{", b"{}", b"[]", b'{"model": "qwen3"}', b"\xff"]) | st.binary(max_size=4),
    headers=st.sampled_from([[LENGTH], [LENGTH, GZIP]]),
)
def test_who_brings_the_body_is_never_asked_for_it(
    path: bytes, key: str, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    assert not isinstance(post(path, body, key=key, headers=headers), NeedBody)


@pytest.mark.parametrize("path", [b"/v1/x", b"/nowhere", b"/fixed/x"])
def test_body_without_a_rule_about_it_is_not_asked_for(path: bytes) -> None:
    decision = post(path)
    assert not isinstance(decision, NeedBody)
    assert isinstance(decision, Refuse) or forwarded(decision).body is None


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
@pytest.mark.parametrize(
    ("path", "route_id"),
    [(b"/body/x", None), (b"/body/open", "rt_open"), (b"/edit/x", "rt_edit"), (b"/v1/x", "rt_v1")],
)
def test_request_without_a_body_is_decided_at_once(
    path: bytes, route_id: str | None, headers: HeaderPairs
) -> None:
    for key in ("good", "model"):
        decision = post(path, key=key, headers=headers)
        if route_id is None:
            assert refused(decision).code == "no_route"
        else:
            assert forwarded(decision).compiled.route.route_id == route_id
            assert forwarded(decision).body is None


def test_nobody_is_made_to_send_a_body_in_vain() -> None:
    assert refused(post(b"/body/x", key="unknown")).status == 401
    assert refused(ask(b"/edit/x", key="narrow", method="POST", headers=[LENGTH])).status == 403


@pytest.mark.parametrize(
    ("path", "body", "route_id"),
    [
        (b"/body/x", b'{"model": "qwen3"}', "rt_qwen"),
        (b"/body/open", b'{"model": "qwen3"}', "rt_qwen"),
        (b"/body/open", b'{"model": "other"}', "rt_open"),
        (b"/body/open", b"not json", "rt_open"),
    ],
)
def test_body_chooses_among_the_routes_and_goes_on_as_it_is(path: bytes, body: bytes, route_id: str) -> None:
    decision = forwarded(post(path, body))
    assert (decision.compiled.route.route_id, decision.body) == (route_id, body)


@pytest.mark.parametrize(
    ("path", "key", "body", "place"),
    [
        (b"/body/x", "good", b'{"a": nope}', "line 1, column 7"),
        (b"/edit/x", "good", b'{\n "a": NaN}', "line 2, column 7"),
        (b"/edit/x", "good", b"[]", "not a JSON object"),
        (b"/v1/x", "model", b"model=qwen3", "line 1, column 1"),
        (b"/v1/x", "model", b'{"model": "qwen3", "model": "gpt"}', "line 1, column 34"),
    ],
)
def test_body_that_is_needed_and_cannot_be_read_is_a_bad_request_naming_the_place(
    path: bytes, key: str, body: bytes, place: str
) -> None:
    decision = refused(post(path, body, key=key))
    assert (decision.status, decision.code, decision.reason) == (400, "bad_request", "bad_body")
    assert place in decision.message
    assert decision.key is not None


@pytest.mark.parametrize(("path", "key"), [(b"/body/x", "good"), (b"/edit/x", "good"), (b"/v1/x", "model")])
def test_what_the_gateway_cannot_decompress_is_refused_where_it_is_needed_without_being_read(
    path: bytes, key: str
) -> None:
    decision = refused(post(path, key=key, headers=[LENGTH, BROTLI]))
    assert (decision.status, decision.reason) == (400, "bad_body")
    assert "compressed" in decision.message


def test_it_is_passed_on_unread_where_another_route_serves_it() -> None:
    decision = forwarded(post(b"/body/open", headers=[LENGTH, BROTLI]))
    assert (decision.compiled.route.route_id, decision.body) == ("rt_open", None)


@pytest.mark.parametrize(("path", "key"), [(b"/v1/x", "model")])
@pytest.mark.parametrize(
    ("encoding", "encode"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"zstd", zstd.compress)]
)
def test_compressed_body_is_judged_decompressed_and_goes_on_as_it_came(
    path: bytes, key: str, encoding: bytes, encode: Callable[[bytes], bytes]
) -> None:
    headers = [LENGTH, (b"content-encoding", encoding)]
    assert isinstance(post(path, key=key, headers=headers), NeedBody)
    body = encode(b'{"model": "qwen3"}')
    decision = forwarded(post(path, body, key=key, headers=headers))
    assert (decision.body, decision.drops_encoding) == (body, False)
    assert dict(decision.headers)[b"content-encoding"] == encoding
    assert decision.compiled.route.route_id != "rt_open"


def test_compressed_body_that_the_route_edits_goes_on_decompressed_and_says_so() -> None:
    decision = forwarded(post(b"/edit/x", gzip.compress(b'{"max_tokens": 99}'), headers=[LENGTH, GZIP]))
    assert (decision.body, decision.drops_encoding) == (b'{"max_tokens": 5}', True)
    assert b"content-encoding" not in dict(decision.headers)


@pytest.mark.parametrize(("path", "key"), [(b"/edit/x", "good"), (b"/v1/x", "model")])
def test_compressed_body_that_is_too_large_decompressed_is_refused_as_such(path: bytes, key: str) -> None:
    snapshot = replace(SNAPSHOT, content_bytes_max=1_000)
    body = gzip.compress(b'{"model": "qwen3", "x": "%s"}' % bytes(1_000))
    headers = [LENGTH, GZIP]
    decision = refused(ask(path, key=key, method="POST", headers=headers, body=body, snapshot=snapshot))
    assert (decision.status, decision.code, decision.reason) == (413, "body_too_large", "body_too_large")
    assert "1,000 bytes" in decision.message
    assert "proxy.inspect_body_size" in decision.message


def test_body_that_fits_no_route_is_no_route() -> None:
    assert refused(post(b"/body/x", b'{"model": "other"}')).code == "no_route"


def test_fields_of_the_route_are_set_and_nothing_else_is_touched() -> None:
    body = b'{ "n": 12345678901234567890.10, "max_tokens" : 99,"\\u00e9":1.0}'
    assert forwarded(post(b"/edit/x", body)).body == body.replace(b"99", b"5")


@pytest.mark.parametrize(("model", "allowed"), [("qwen3", True), ("gpt-4o", False)])
def test_key_with_model_entries_may_use_such_models_only(model: str, allowed: bool) -> None:
    decision = post(b"/v1/x", b'{"model": "%s"}' % model.encode(), key="model")
    assert isinstance(decision, Forward) is allowed
    if isinstance(decision, Refuse):
        assert (decision.status, decision.code) == (403, "permission_denied")
        assert decision.message == "the API key does not permit the model 'gpt-4o'; allowed: qwen*"


def test_nothing_in_a_body_leads_elsewhere() -> None:
    for path in (b"/v1/x", b"/edit/x", b"/body/open"):
        plain = forwarded(post(path, b"{}"))
        fields = ("api_base", "base_url", "model", "url", "host")
        hostile = ("{" + ",".join(f'"{field}": "http://evil/"' for field in fields) + "}").encode()
        decision = forwarded(post(path, hostile))
        assert (decision.target_url, decision.compiled) == (plain.target_url, plain.compiled)
        assert decision.headers == plain.headers


def test_no_repr_holds_the_body() -> None:
    assert "s3cret" not in repr(post(b"/edit/x", b'{"a": "s3cret"}'))


@pytest.mark.parametrize("content_type", [IMAGE, FORM])
def test_body_whose_type_rules_json_out_streams_past_a_route_about_json(
    content_type: tuple[bytes, bytes],
) -> None:
    headers = [(b"content-length", b"20000000"), content_type]
    decision = forwarded(post(b"/body/open", headers=headers))
    assert (decision.compiled.route.route_id, decision.body) == ("rt_open", None)
    assert refused(post(b"/body/x", headers=headers)).code == "no_route"
    edited = refused(post(b"/edit/x", headers=headers))
    assert (edited.status, edited.reason) == (400, "bad_body")
    assert "no JSON" in edited.message


def test_content_type_is_no_way_round_a_permission() -> None:
    decision = refused(post(b"/v1/x", key="model", headers=[LENGTH, IMAGE]))
    assert (decision.status, decision.code) == (403, "permission_denied")
    assert "image/png" in decision.message
    lie = b'{"model": "gpt-4o"}'
    assert isinstance(post(b"/v1/x", lie, key="model", headers=[LENGTH, IMAGE]), Refuse)
    assert isinstance(post(b"/v1/x", lie, key="model", headers=[LENGTH, FORM]), Refuse)
    assert isinstance(post(b"/v1/x", lie, key="model", headers=[LENGTH, IMAGE, FORM]), Refuse)


@pytest.mark.parametrize(("model", "allowed"), [(b"qwen3", True), (b"gpt-4o", False)])
def test_model_of_a_form_is_judged_and_the_form_goes_on_as_it_came(model: bytes, allowed: bool) -> None:
    assert isinstance(post(b"/v1/x", key="model", headers=[LENGTH, FORM]), NeedBody)
    body = b'--B\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n--B--\r\n' % model
    decision = post(b"/v1/x", body, key="model", headers=[LENGTH, FORM])
    if allowed:
        assert forwarded(decision).body == body
    else:
        assert refused(decision).code == "permission_denied"


def test_names_in_another_case_match_no_route_about_them_and_are_a_bad_body_if_no_other_serves_it() -> None:
    body = b'{"model": "qwen3", "Model": "other"}'
    assert forwarded(post(b"/body/open", body)).compiled.route.route_id == "rt_open"
    decision = refused(post(b"/body/x", body))
    assert (decision.status, decision.reason) == (400, "bad_body")
    assert "differs only in case" in decision.message
    assert forwarded(post(b"/edit/x", b'{"Max_Tokens": 99}')).body == b'{"Max_Tokens": 5,"max_tokens":5}'


def test_encoded_slash_is_text_within_a_segment_for_a_route_that_takes_it() -> None:
    assert forwarded(ask(b"/hub/Qwen%2FQwen3-8B")).target == b"/models/Qwen%2FQwen3-8B"


@pytest.mark.parametrize("path", [b"/v1/a%2Fb", b"/nowhere%2Fx", b"/files/a%2fb", b"/hub%2Fa"])
def test_encoded_slash_is_refused_elsewhere_naming_the_place_and_the_option(path: bytes) -> None:
    table = build_route_table([route for route in ROUTES if not route.encoded_slash])
    for snapshot in (SNAPSHOT, replace(SNAPSHOT, routes=table)):
        decision = refused(ask(path, snapshot=snapshot))
        assert (decision.status, decision.reason) == (400, "bad_path")
        position = path.lower().index(b"%2f")
        assert f"at position {position}; a route that allows it says --encoded-slash" in decision.message


@pytest.mark.parametrize(
    "path",
    [
        b"/hub/..%2Fadmin",
        b"/hub/a%2F..",
        b"/hub/%2Fa",
        b"/hub/a%2F%2Fb",
        b"/hub/a%5Cb",
        b"/cut-%2Fa",
        b"/cut-a%2F",
        b"/cut-..%2Fa",
    ],
)
def test_nothing_else_is_let_in_with_an_encoded_slash(path: bytes) -> None:
    assert refused(ask(path)).reason == "bad_path"


def test_route_that_takes_no_encoded_slash_is_not_passed_over_for_one_that_does() -> None:
    later = Route("rt_later", "later", "/v1/*", "other:1", priority=200, encoded_slash=True)
    snapshot = replace(SNAPSHOT, routes=build_route_table([*ROUTES, later]))
    assert refused(ask(b"/v1/a%2Fb", snapshot=snapshot)).reason == "bad_path"


@settings(max_examples=200)
@given(rest=st.text("/ab", max_size=6).map(str.encode))
def test_no_route_makes_an_empty_segment(rest: bytes) -> None:
    decision = ask(b"/bare" + rest)
    if isinstance(decision, Forward):
        assert b"//" not in decision.target
    else:
        assert refused(decision).reason == "bad_path"


def test_path_that_would_begin_like_an_authority_is_refused() -> None:
    decision = refused(ask(b"/bare/evil.example/x"))
    assert (decision.status, decision.reason) == (400, "bad_path")
    assert forwarded(ask(b"/bare-x")).target == b"/-x"


def test_target_that_has_an_empty_segment_itself_is_sent_as_it_is_written() -> None:
    route = Route("rt_1", "odd", "/odd/*", "backend:8000", target_path="/a//b")
    snapshot = replace(SNAPSHOT, routes=build_route_table([route]))
    assert forwarded(ask(b"/odd/x", snapshot=snapshot)).target == b"/a//b"


def test_options_that_may_go_no_further_are_answered_here() -> None:
    used_up = [(b"max-forwards", b"0")]
    decision = ask(method="OPTIONS", headers=used_up)
    assert isinstance(decision, Answer)
    assert (decision.status, decision.key.key_id) == (204, "key_good")
    assert dict(decision.headers)[b"allow"] == b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert refused(ask(method="OPTIONS", key="unknown", headers=used_up)).status == 401
    assert isinstance(ask(method="GET", headers=used_up), Forward)


def test_options_that_may_go_further_are_counted_down() -> None:
    decision = forwarded(ask(method="OPTIONS", headers=[(b"max-forwards", b"3")]))
    assert dict(decision.headers)[b"max-forwards"] == b"2"


def test_list_of_models_is_narrowed_for_a_key_of_some_models() -> None:
    headers = [(b"accept-encoding", b"gzip"), (b"if-none-match", b"x"), (b"range", b"bytes=0-9")]
    decision = forwarded(ask(b"/v1/models", key="model", headers=headers))
    assert decision.narrows is not None
    assert decision.narrows.globs == ("qwen*",)
    sent = dict(decision.headers)
    assert sent[b"accept-encoding"] == b"identity"
    assert not {b"if-none-match", b"range"} & set(sent)


@pytest.mark.parametrize(
    ("path", "key", "method"),
    [(b"/v1/models", "good", "GET"), (b"/v1/models/x", "model", "GET"), (b"/v1/models", "model", "HEAD")],
)
def test_nothing_else_is_narrowed(path: bytes, key: str, method: str) -> None:
    decision = forwarded(ask(path, key=key, method=method, headers=[(b"accept-encoding", b"gzip")]))
    assert decision.narrows is None
    assert dict(decision.headers)[b"accept-encoding"] == b"gzip"
