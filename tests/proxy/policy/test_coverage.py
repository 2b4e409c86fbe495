"""One route in the shadow of another: a yes is always right, and the plain cases are found."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.coverage import covers, covers_pattern
from proxy.policy.model import Route
from proxy.policy.patterns import compile_pattern
from proxy.policy.routing import CompiledRoute, compile_route

SEGMENTS = st.sampled_from(["a", "b", "*", "{x}", "{y}", "a*", "*b", "**", "a**", ""])
PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))


def make(match_path: str = "/v1/*", **fields: object) -> CompiledRoute:
    return compile_route(Route("rt", "rt", match_path, "h", **fields))  # type: ignore[arg-type]


@settings(max_examples=200)
@given(wide=PATTERNS, narrow=PATTERNS, paths=st.lists(st.text("ab/", max_size=6), min_size=1, max_size=20))
def test_what_is_said_to_be_covered_is_covered(wide: str, narrow: str, paths: list[str]) -> None:
    try:
        first, second = compile_pattern(wide), compile_pattern(narrow)
    except InvalidInputError:
        assume(False)
    if covers_pattern(first, second):
        for path in paths:
            raw = b"/" + path.encode()
            assert first.match(raw) or not second.match(raw)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("/*", "/v1/*"),
        ("/v1/*", "/v1/**"),
        ("/v1/**", "/v1/*"),
        ("/v1/*", "/v1/chat/{id}/x"),
        ("/v1/*", "/v1/models"),
        ("/user/{id}", "/user/{name}"),
        ("/user/{id}", "/user/a*"),
        ("/{a}/x/*", "/v1/x/y/z"),
        ("/{a}/x/*", "/{b}/x/{c}/d"),
        ("/*", "/"),
    ],
)
def test_plain_cases_are_found(wide: str, narrow: str) -> None:
    assert covers_pattern(compile_pattern(wide), compile_pattern(narrow))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("/v1/*", "/v1"),
        ("/v1/*", "/*"),
        ("/v1/*", "/v2/*"),
        ("/a/{x}", "/a/*"),
        ("/a/*/c", "/a/**"),
        ("/a*", "/b*"),
        ("/{x}/b", "/*/b"),
    ],
)
def test_what_is_not_covered_is_not_said_to_be(wide: str, narrow: str) -> None:
    assert not covers_pattern(compile_pattern(wide), compile_pattern(narrow))


GET, BOTH = frozenset({"GET"}), frozenset({"GET", "POST"})


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {}, True),
        ({}, {"match_methods": GET, "match_headers": (("X-A", "1"),), "match_body_schema": True}, True),
        ({"match_methods": BOTH}, {"match_methods": GET}, True),
        ({"match_methods": GET}, {"match_methods": BOTH}, False),
        ({"match_methods": GET}, {}, False),
        ({"match_headers": (("X-A", None),)}, {"match_headers": (("x-a", "1"),)}, True),
        ({"match_headers": (("X-A", "1"),)}, {"match_headers": (("x-a", "1"), ("x-b", None))}, True),
        ({"match_headers": (("X-A", "1"),)}, {"match_headers": (("X-A", None),)}, False),
        ({"match_body_schema": {"required": ["a"]}}, {"match_body_schema": {"required": ["a"]}}, True),
        ({"match_body_schema": {"required": ["a"]}}, {}, False),
    ],
)
def test_every_condition_counts(wide: dict[str, object], narrow: dict[str, object], expected: bool) -> None:
    assert covers(make(**wide), make(**narrow)) is expected  # type: ignore[arg-type]
