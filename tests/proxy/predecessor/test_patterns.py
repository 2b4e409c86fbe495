"""Old patterns and ours match the same paths, unless a note says otherwise."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.policy.patterns import compile_pattern
from proxy.predecessor.notes import Notebook
from proxy.predecessor.patterns import convert_pattern, finds_prefix
from tests.proxy.predecessor.old_gateway import matches_path

PIECES = st.lists(
    st.sampled_from(["/", "a", "v1", "*", "**", "{id}", "{x:int}", "{rest}", "{path:path}", ".json"]),
    max_size=7,
)
PATHS = st.lists(st.sampled_from(["/", "a", "v1", "b", ".json", "x"]), max_size=8).map(
    lambda pieces: "/" + "".join(pieces)
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/v1/*", "/v1/*"),
        ("/v1/**", "/v1/**"),
        ("/v1/.*", "/v1/*"),
        ("/v1/.*/tail", "/v1/**/tail"),
        ("/exact", "/exact"),
        ("/user/{id}", "/user/{id}"),
        ("/user/{id}/{id}", "/user/{id}/{p1}"),
        ("/user/{rest}", "/user/{p1}"),
        ("/v2*", "/v2**"),
        ("/file/*.json", "/file/**.json"),
        ("/a/*/b/*", "/a/**/b/*"),
        ("/files/{path:path}", "/files/*"),
        ("*", "/*"),
        ("/v1.*", "/v1.**"),
    ],
)
def test_a_pattern_is_written_in_our_way(old: str, new: str) -> None:
    book = Notebook("route", "r")
    assert convert_pattern(old, book) == new
    assert bool(book.notes) == (old != new)


@pytest.mark.parametrize("pattern", ["/v1*{id}/*", "/a*b*/c"])
def test_a_star_beside_another_wildcard_is_narrower_and_said_to_be(pattern: str) -> None:
    book = Notebook("route", "r")
    assert convert_pattern(pattern, book) == pattern
    assert [note.level for note in book.notes] == ["warning"] * len(book.notes)
    assert book.notes


@given(PIECES.map(lambda pieces: "/" + "".join(pieces)), PATHS)
@example("/a/*", "/a/")
@example("/v1*{id}/*", "/v1xa/b")
def test_both_match_the_same_paths(pattern: str, path: str) -> None:
    book = Notebook("route", "r")
    ours = compile_pattern(convert_pattern(pattern, book))
    matched = ours.match(path.encode()) is not None
    if not any(note.level == "warning" for note in book.notes):
        assert matched == matches_path(pattern, path)
    else:
        # What a warning tells of is narrower, never wider.
        assert not matched or matches_path(pattern, path)


def test_a_star_before_the_first_slash_is_narrower_and_said_to_be() -> None:
    book = Notebook("route", "r")
    assert convert_pattern("*/x", book) == "/**/x"
    assert "warning" in {note.level for note in book.notes}


@pytest.mark.parametrize(
    ("pattern", "works"),
    [("/v1/*", True), ("/v1/.*", True), ("/v1*", True), ("/x", True), ("*", True), ("/a/{id}/*", False)],
)
def test_stripping_worked_for_plain_prefixes_only(pattern: str, works: bool) -> None:
    assert finds_prefix(pattern) is works
