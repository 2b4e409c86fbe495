"""Targets: which backend, and which path of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.patterns import compile_pattern
from proxy.policy.targets import Target, compile_target, parse_target

ANY = compile_pattern("/*")
SEGMENT = st.text("ab1.-_~%2", min_size=1, max_size=5)


def build(pattern_text: str, target_path: str, path: bytes, *, strip_prefix: bool = False) -> bytes:
    pattern = compile_pattern(pattern_text)
    match = pattern.match(path)
    assert match is not None
    return compile_target(target_path, strip_prefix=strip_prefix, pattern=pattern)(path, match)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8000", Target("http", "127.0.0.1:8000")),
        ("http://127.0.0.1:8000/", Target("http", "127.0.0.1:8000")),
        ("https://api.example.com", Target("https", "api.example.com")),
        ("HTTPS://API.Example.com/Base", Target("https", "api.example.com", "/Base")),
        ("http://backend/v1/{rest}", Target("http", "backend", "/v1/{rest}")),
        ("http://my_service.local:1", Target("http", "my_service.local:1")),
        ("http://[::1]:8000/x", Target("http", "[::1]:8000", "/x")),
        ("http://[2001:DB8::1]", Target("http", "[2001:db8::1]")),
        ("http://host/@scope/x", Target("http", "host", "/@scope/x")),
    ],
)
def test_url_is_read(url: str, target: Target) -> None:
    assert parse_target(url, pattern=ANY) == target


def test_origin_is_the_url_without_its_path() -> None:
    assert parse_target("http://host:81/x", pattern=ANY).origin == "http://host:81"


def test_target_path_may_be_given_on_its_own() -> None:
    assert parse_target("http://host", target_path="/x", pattern=ANY) == Target("http", "host", "/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:8000",
        "//host",
        "/path",
        "ftp://host",
        "ws://host",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:0",
        "http://host:65536",
        "http://host:-1",
        "http://host:",
        "http://host:8000:9000",
        "http://-host",
        "http://ho st",
        "http://host\n.example",
        " http://host",
        "http://ünï.example",
        "http://a..b",
        "http://" + "a" * 64,
        "http://" + ".".join(["a" * 60] * 5),
        "http://::1",
        "http://[::1",
        "http://[::g]",
        "http://[v1.x]",
        "http://host?x=1",
        "http://host/x?",
        "http://host/x#y",
        "http://user@host",
        "http://user:pass@host",
        "http://:@host",
        "http://host/a b",
        "http://host/a\\b",
        "http://host/ü",
        "http://host/{id}",
        "http://host/{",
        "http://host/a/../b",
        "http://host/%2e%2E/b",
        "http://host/.",
    ],
)
def test_malformed_url_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_target(url, pattern=ANY)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@host",
        "http://user:s3cret@host:99999",
        "http://user:s3?cret@host",
        "http://user:s3#cret@host",
        "http://user:s3/cret@host",
        "ftp://user:s3cret@host",
        "user:s3cret@host",
        "http://user:s3cret@ho st",
        "http://user:s3cret@[::g]",
        "http://user:s3cret@host\uff0f",
        "http://host?key=s3cret",
        "http://ho st?key=s3cret",
        "http://host:0?key=s3cret",
        "http://host/#s3cret",
    ],
)
def test_error_tells_no_credential_of_a_url(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_target(url, pattern=ANY)
    told = caught.value.message + caught.value.hint
    assert not any(part in told for part in ("s3", "cret"))


def test_path_is_given_once() -> None:
    with pytest.raises(InvalidInputError, match="already has a path"):
        parse_target("http://host/x", target_path="/y", pattern=ANY)


@pytest.mark.parametrize(
    "path", ["x", "x/y", "/x y", "/x?y", "/x#y", "/\n", "/ü", "/../x", "/x/%2e", "/..;/x"]
)
def test_malformed_target_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidInputError):
        compile_target(path, strip_prefix=False, pattern=ANY)


@pytest.mark.parametrize("path", ["/{other}", "/{}", "/{id}/{other}", "/{id", "/id}", "/{{id}}"])
def test_placeholder_that_the_pattern_lacks_is_refused_and_its_own_are_named(path: str) -> None:
    with pytest.raises(InvalidInputError, match="placeholder") as caught:
        compile_target(path, strip_prefix=False, pattern=compile_pattern("/user/{id}/*"))
    assert caught.value.hint == "placeholders: {id}, {rest}"


def test_placeholders_and_a_stripped_prefix_exclude_each_other() -> None:
    with pytest.raises(InvalidInputError, match="stripped"):
        parse_target("http://host/x/{id}", strip_prefix=True, pattern=compile_pattern("/user/{id}"))


@settings(max_examples=50)
@given(segments=st.lists(SEGMENT, max_size=5))
def test_without_a_target_path_the_very_same_path_is_sent(segments: list[str]) -> None:
    path = ("/" + "/".join(segments)).encode()
    assert build("/*", "", path) is path


@pytest.mark.parametrize(
    ("pattern", "target_path", "path", "sent"),
    [
        ("/api/*", "", b"/api/v1/x", b"/v1/x"),
        ("/api/*", "", b"/api/", b"/"),
        ("/api/*", "/base", b"/api/v1/x", b"/base/v1/x"),
        ("/api/*", "/base/", b"/api/v1/x", b"/base/v1/x"),
        ("/api/*", "/base", b"/api/", b"/base"),
        ("/api/*", "/base/", b"/api/", b"/base/"),
        ("/api/*", "/", b"/api/x/", b"/x/"),
        ("/api/*", "/base", b"/api/%E4%BD%A0", b"/base/%E4%BD%A0"),
        ("/api/v1/**", "/base", b"/api/v1/a/b", b"/base/a/b"),
        ("/user/{id}", "/base", b"/user/42", b"/base/42"),
        ("/file/*.json", "/base", b"/file/x.json", b"/base/x.json"),
        ("/exact", "/base", b"/exact", b"/base"),
        ("/exact", "", b"/exact", b"/"),
        ("/v1**", "/base", b"/v1/x", b"/base/x"),
    ],
)
def test_what_follows_the_stripped_prefix_is_appended(
    pattern: str, target_path: str, path: bytes, sent: bytes
) -> None:
    assert build(pattern, target_path, path, strip_prefix=True) == sent


@settings(max_examples=100)
@given(base=st.sampled_from(["", "/", "/b", "/b/"]), segments=st.lists(SEGMENT, min_size=1, max_size=5))
def test_stripping_changes_nothing_but_the_prefix(base: str, segments: list[str]) -> None:
    rest = "/".join(segments).encode()
    sent = build("/api/*", base, b"/api/" + rest, strip_prefix=True)
    assert sent == base.rstrip("/").encode() + b"/" + rest


@settings(max_examples=100)
@given(
    template=st.lists(st.sampled_from(["/x", "-", "{a}", "{b}", "{rest}", "/"]), max_size=6).map("".join),
    values=st.tuples(SEGMENT, SEGMENT, st.lists(SEGMENT, max_size=3).map("/".join)),
)
def test_placeholders_are_filled_with_what_the_pattern_matched(
    template: str, values: tuple[str, str, str]
) -> None:
    a, b, rest = values
    expected = ("/to" + template).replace("{a}", a).replace("{b}", b).replace("{rest}", rest)
    assert build("/{a}/{b}/*", "/to" + template, f"/{a}/{b}/{rest}".encode()) == expected.encode()


def test_what_a_placeholder_holds_is_not_filled_again() -> None:
    assert build("/{a}/{b}", "/{a}/{b}", b"/{b}/x") == b"/{b}/x"


@pytest.mark.parametrize("path", [b"/v1/a", b"/v1/b/c"])
def test_path_without_placeholders_is_sent_for_every_request(path: bytes) -> None:
    assert build("/v1/*", "/fixed", path) == b"/fixed"
