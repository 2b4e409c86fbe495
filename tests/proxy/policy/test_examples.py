"""Example paths: each matches its pattern, and is one that a gateway lets in."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.examples import example_paths
from proxy.policy.framing import find_fault
from proxy.policy.model import RequestHead
from proxy.policy.patterns import Pattern, compile_pattern

PIECES = st.sampled_from(["/", "v1", "a", "-", ".json", "*", "**", "{id}", "{name}", "{x}", "%41", "chat"])


def compile_or_skip(text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except InvalidInputError:
        assume(False)
        raise


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("/v1/*", "/v1/models"),
        ("/openai/v1/**", "/openai/v1/models"),
        ("/v1/chat/*", "/v1/chat/completions"),
        ("/exact/path", "/exact/path"),
        ("/user/{id}", "/user/1"),
        ("/user/{user_id}/photo", "/user/1/photo"),
        ("/team/{name}", "/team/example"),
        ("/file/*.json", "/file/example.json"),
        ("/*", "/example"),
        ("/a%{x}", "/a%example"),
    ],
)
def test_the_first_example_is_the_one_a_person_would_think_of(pattern: str, first: str) -> None:
    assert next(example_paths(compile_pattern(pattern))) == first


@given(st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)))
def test_every_example_matches_and_none_comes_twice(text: str) -> None:
    pattern = compile_or_skip(text)
    paths = list(example_paths(pattern))
    assert len(set(paths)) == len(paths)
    assert all(pattern.match(path.encode()) for path in paths)


@given(st.lists(st.sampled_from(["a", "{id}", "{name}", "*.json", "x-*"]), min_size=1, max_size=5))
def test_a_usual_pattern_has_an_example_that_is_let_in(segments: list[str]) -> None:
    pattern = compile_or_skip("/" + "/".join(segments))
    path = next(example_paths(pattern))
    assert find_fault(RequestHead("GET", path.encode(), b"", [(b"host", b"x")])) is None
