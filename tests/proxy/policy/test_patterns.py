"""Path patterns: the five kinds of the contract, and a second matcher to compare with."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.patterns import LENGTH_MAX, compile_pattern

PIECES = st.sampled_from(["/", "a", "b", ".json", "-", "*", "**", "{x}", "{y}", "{z}"])
PATTERNS = st.lists(PIECES, max_size=9).map(lambda pieces: "/" + "".join(pieces))
PATHS = st.text("ab.-/", max_size=14).map(lambda text: "/" + text)


def reads_as_pattern(text: str) -> bool:
    repeated = any(text.count(name) > 1 for name in ("{x}", "{y}", "{z}", "**"))
    crowded = any("**" in part and set(part.replace("**", "", 1)) & set("*{") for part in text.split("/"))
    return not repeated and not crowded and "***" not in text


def split_pattern(text: str) -> tuple[str, ...]:
    """One token a character, wildcard or placeholder; a `*` that is the whole last segment is a `**`."""
    text = text + "*" if text.endswith("/*") else text
    tokens = []
    while text:
        length = 2 if text.startswith("**") else text.index("}") + 1 if text[0] == "{" else 1
        tokens.append(text[:length])
        text = text[length:]
    return tuple(tokens)


def matches_slowly(text: str, path: str) -> bool:
    """Match by trying everything: short enough to be believed, too slow for a gateway."""

    @cache
    def matches(tokens: tuple[str, ...], rest: str) -> bool:
        if not tokens:
            return rest == ""
        first, others = tokens[0], tokens[1:]
        if first == "**":
            return any(matches(others, rest[taken:]) for taken in range(len(rest) + 1))
        if first == "*" or first[0] == "{":
            least = 0 if first == "*" else 1
            most = len(rest.partition("/")[0])
            return any(matches(others, rest[taken:]) for taken in range(least, most + 1))
        return rest.startswith(first) and matches(others, rest[len(first) :])

    return matches(split_pattern(text), path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/v1/*", "/v1/models"),
        ("/v1/*", "/v1/chat/completions"),
        ("/v1/*", "/v1/"),
        ("/*", "/"),
        ("/*", "/any/thing"),
        ("/api/v2/**", "/api/v2/a/b/c"),
        ("/**/end", "/a/b/end"),
        ("/exact/path", "/exact/path"),
        ("/user/{id}", "/user/42"),
        ("/user/{id}/posts/{post}", "/user/42/posts/7"),
        ("/file/*.json", "/file/report.json"),
        ("/file/*.json", "/file/a.json.json"),
        ("/a/*/c", "/a/b/c"),
        ("/v1/*", "/v1/%E4%BD%A0"),
        ("/v1/*", "/v1/a\nb"),
        ("/a.b", "/a.b"),
        ("/a(b)+", "/a(b)+"),
    ],
)
def test_pattern_matches(text: str, path: str) -> None:
    assert compile_pattern(text).match(path.encode())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/v1/*", "/v1"),
        ("/v1/*", "/v10/models"),
        ("/v1/*", "/V1/models"),
        ("/v1/*", "/x/v1/models"),
        ("/exact/path", "/exact/path/"),
        ("/exact/path", "/exact/path/more"),
        ("/exact/path", "/exact/path\n"),
        ("/user/{id}", "/user/"),
        ("/user/{id}", "/user/42/posts"),
        ("/file/*.json", "/file/report.jsonl"),
        ("/file/*.json", "/file/sub/report.json"),
        ("/file/*.json", "/file/reportXjson"),
        ("/a/*/c", "/a/b/b/c"),
        ("/v1/models", "/v1/%6Dodels"),
        ("/a.b", "/axb"),
    ],
)
def test_pattern_does_not_match(text: str, path: str) -> None:
    assert compile_pattern(text).match(path.encode()) is None


@settings(max_examples=250)
@given(text=PATTERNS.filter(reads_as_pattern), path=PATHS)
def test_any_path_matches_just_when_the_slow_matcher_says_so(text: str, path: str) -> None:
    assert bool(compile_pattern(text).match(path.encode())) == matches_slowly(text, path)


@settings(max_examples=150)
@given(text=PATTERNS.filter(reads_as_pattern), data=st.data())
def test_a_path_made_after_the_pattern_matches_just_when_the_slow_matcher_says_so(
    text: str, data: st.DataObject
) -> None:
    path = "".join(
        token if len(token) == 1 and token != "*" else data.draw(st.text("ab.-", max_size=3), label=token)
        for token in split_pattern(text)
    )
    assert bool(compile_pattern(text).match(path.encode())) == matches_slowly(text, path)


@settings(max_examples=150)
@given(
    pieces=st.lists(st.sampled_from(["/", "a", "-", ".", "{x}", "{y}", "{z}"]), max_size=8), data=st.data()
)
def test_what_the_placeholders_hold_makes_up_the_path_again(pieces: list[str], data: st.DataObject) -> None:
    text = "/" + "".join(pieces)
    assume(reads_as_pattern(text))
    path = text
    for name in ("{x}", "{y}", "{z}"):
        path = path.replace(name, data.draw(st.text("a-.", min_size=1, max_size=3)))
    match = compile_pattern(text).match(path.encode())
    assert match is not None
    rebuilt = text
    for name, value in match.groupdict().items():
        rebuilt = rebuilt.replace("{" + name + "}", value.decode())
    assert rebuilt == path


@pytest.mark.parametrize(
    ("text", "path", "groups"),
    [
        ("/user/{id}", b"/user/42", {"id": b"42"}),
        ("/v1/*", b"/v1/chat/completions", {"rest": b"chat/completions"}),
        ("/v1/*", b"/v1/", {"rest": b""}),
        ("/a/**/z", b"/a/b/c/z", {"rest": b"b/c"}),
        ("/user/{id}", b"/user/%E4%BD%A0", {"id": b"%E4%BD%A0"}),
        ("/{name}.{kind}", b"/a.tar.gz", {"name": b"a", "kind": b"tar.gz"}),
        ("/file/*.json", b"/file/x.json", {}),
    ],
)
def test_placeholders_hold_the_raw_bytes(text: str, path: bytes, groups: dict[str, bytes]) -> None:
    pattern = compile_pattern(text)
    match = pattern.match(path)
    assert match is not None
    assert match.groupdict() == groups
    assert pattern.placeholders == set(groups)


@pytest.mark.parametrize(
    ("text", "prefix", "is_exact"),
    [
        ("/v1/models", "/v1/models", True),
        ("/v1/*", "/v1/", False),
        ("/v1*", "/v1", False),
        ("/user/{id}/x", "/user/", False),
        ("/**", "/", False),
    ],
)
def test_literal_prefix_ends_at_the_first_wildcard(text: str, prefix: str, is_exact: bool) -> None:
    pattern = compile_pattern(text)
    assert pattern.literal_prefix == prefix
    assert pattern.is_exact is is_exact


@pytest.mark.parametrize(
    ("specific", "general"),
    [
        ("/v1/models", "/v1/{id}"),
        ("/v1/{id}", "/v1/*"),
        ("/v1/chat/*", "/v1/*"),
        ("/v1/*", "/*"),
        ("/file/report.json", "/file/*.json"),
        ("/file/*.json", "/file/{name}"),
        ("/a", "/a*"),
        ("/v1/{id}/x", "/v1/{id}/{x}"),
    ],
)
def test_more_specific_pattern_sorts_first(specific: str, general: str) -> None:
    assert compile_pattern(specific).specificity < compile_pattern(general).specificity


def test_both_spellings_of_any_depth_are_equally_specific() -> None:
    assert compile_pattern("/v1/*").specificity == compile_pattern("/v1/**").specificity


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1/*",
        "*",
        "http://host/v1",
        "/v1/*?x=1",
        "/v1#top",
        "/v1 /x",
        "/v1\\x",
        "/v1/\n",
        "/ünï",
        "/a/***",
        "/**/b/**",
        "/user/{}",
        "/user/{1d}",
        "/user/{a b}",
        "/user/{a-b}",
        "/user/{id}/{id}",
        "/user/{rest}",
        "/user/{id",
        "/user/id}",
        "/user/{a{b}}",
        "/" + "a" * LENGTH_MAX,
        *("/f/**{x}.json", "/**-{id}.json", "/{x}**", "/*a**", "/a/{x}-**/b", "/**a*"),
    ],
)
def test_bad_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        compile_pattern(text)
    assert caught.value.message.startswith(("the pattern", "{"))


def test_longest_pattern_is_accepted() -> None:
    assert compile_pattern("/" + "a" * (LENGTH_MAX - 1)).is_exact


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/{a}{b}{c}{d}/x", b"/" + b"a" * 16_000),
        ("/{a}-{b}-{c}-{d}/x", b"/" + b"a-" * 8_000),
        ("/*a*a*a*a*b", b"/" + b"a" * 16_000),
        ("/**/*a*b", b"/a" * 8_000),
        ("/f/**.json/{x}", b"/f/" + b".json" * 3_000),
        ("/**/{x}-{y}.json", b"/" + b"a-" * 8_000),
    ],
)
def test_long_path_cannot_make_a_match_slow(text: str, path: bytes) -> None:
    # With backtracking these take from a second to years; the bound leaves room for a busy machine.
    started = time.process_time()
    assert compile_pattern(text).match(path) is None
    assert time.process_time() - started < 0.5
