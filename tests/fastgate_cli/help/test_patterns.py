"""What the page says of patterns is what the gateway's matcher does."""

from __future__ import annotations

import pytest

from fastgate_cli.help.patterns import ORDER, PATTERNS, REFUSED, PatternExample, build_page
from proxy.errors import InvalidInputError
from proxy.policy.model import Route
from proxy.policy.patterns import REST, compile_pattern
from proxy.policy.routing import compile_route, order_routes


@pytest.mark.parametrize("example", PATTERNS, ids=lambda example: example.pattern)
def test_an_example_matches_what_it_says_and_nothing_that_it_excludes(example: PatternExample) -> None:
    match = compile_pattern(example.pattern).match
    assert [path for path in example.matches if not match(path.encode())] == []
    assert [path for path in example.misses if match(path.encode())] == []


def test_the_order_is_that_of_the_route_table() -> None:
    routes = [
        Route(f"rt_{place}", text, text, "a:1", created_at_us=place)
        for place, text in enumerate(reversed(ORDER))
    ]
    assert [one.route.match_path for one in order_routes(map(compile_route, routes))] == list(ORDER)
    assert all(compile_pattern(text).match(b"/v1/chat/completions") for text in ORDER)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_said_to_be_refused_is(text: str) -> None:
    with pytest.raises(InvalidInputError):
        compile_pattern(text)


@pytest.mark.parametrize(("pattern", "rest"), [("/v1/*", b"a/b"), ("/x/**/models", b"a/b")])
def test_rest_is_what_reaches_any_depth(pattern: str, rest: bytes) -> None:
    match = compile_pattern(pattern).match(pattern.replace("**", "a/b").replace("*", "a/b").encode())
    assert match
    assert match[REST] == rest


def test_the_page_shows_every_example() -> None:
    rows = dict(row for block in build_page().blocks for row in getattr(block, "rows", ()))
    assert rows == {example.pattern: example.describe() for example in PATTERNS}
    assert rows["/user/{id}"].splitlines()[1:] == ["+ /user/42", "- /user/  /user/42/posts"]
