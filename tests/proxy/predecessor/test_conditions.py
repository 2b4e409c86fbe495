"""Old conditions on methods, headers and bodies, and ours."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.body_schemas import build_schema, compile_schema
from proxy.policy.headers import header_values_match
from proxy.predecessor.conditions import (
    convert_expression,
    convert_header_match,
    convert_methods,
    convert_schema,
    expand_schema,
)
from proxy.predecessor.notes import Notebook
from tests.proxy.predecessor.old_database import ROUTE
from tests.proxy.predecessor.old_gateway import SCHEMA_WORDS, matches_body

VALUES = st.none() | st.text(max_size=5) | st.integers(-3, 3)
FIELDS = st.text(min_size=1, max_size=5).filter(lambda name: name not in SCHEMA_WORDS)


def make_book() -> Notebook:
    return Notebook("route", "r")


def levels(book: Notebook) -> list[str]:
    return [note.level for note in book.notes]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ANY", "ANY", []),
        ("any", "ANY", []),
        (None, "ANY", []),
        ("POST,GET", "POST,GET", []),
        ("post , get,POST", "POST,GET", []),
        ("GET,ANY", "GET", ["changed"]),  # there ANY was everything only if it stood alone
        ("TRACE", "ANY", ["refused"]),
    ],
)
def test_methods(old: str | None, new: str, expected: list[str]) -> None:
    book = make_book()
    assert convert_methods({**ROUTE, "match_method": old}, book) == new
    assert levels(book) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {}, []),
        ('{"X-N": "17"}', {"X-N": "17"}, []),
        ('{"X-Env": "prod"}', {"X-Env": "prod"}, ["warning"]),
        ('{"X-N": "1*"}', {"X-N": "1*"}, ["warning"]),
        ('{"X-N": "regex:^17"}', {"X-N": "17*"}, ["changed"]),
        ('{"X-N": "regex:(1|2)"}', {}, ["refused"]),
        ('{"X-N": 17}', {}, ["refused"]),
        ("[]", {}, ["refused"]),
        ("{", {}, ["refused"]),
    ],
)
def test_header_conditions(old: str | None, new: dict[str, str], expected: list[str]) -> None:
    book = make_book()
    assert convert_header_match({**ROUTE, "match_headers": old}, book) == new
    assert levels(book) == expected


@pytest.mark.parametrize(
    ("expression", "glob"),
    [
        ("prod", "*prod*"),
        ("^prod", "prod*"),
        ("prod$", "*prod"),
        ("^a.*b$", "a*b"),
        (r"^1\.2", "1.2*"),
        ("", "*"),
        (r"\d", None),
        ("a+", None),
        (r"a\*", None),
        ("a.", None),
        ("(a)", None),
        ("a\\", None),
    ],
)
def test_a_regular_expression_becomes_a_glob_where_one_says_the_same(
    expression: str, glob: str | None
) -> None:
    assert convert_expression(expression) == glob


@given(st.text("ab.^$*\\1|[", max_size=7), st.text("ab.1", max_size=6))
def test_such_a_glob_matches_what_the_expression_found(expression: str, value: str) -> None:
    glob = convert_expression(expression)
    if glob is not None:
        found = re.search(expression, value) is not None
        assert header_values_match((("x", glob),), [(b"x", value.encode())]) == found


def test_the_short_form_is_what_our_option_makes() -> None:
    book = make_book()
    schema = convert_schema({**ROUTE, "match_body_schema": '{"model": "qwen/3"}'}, book)
    assert schema == build_schema(["model=qwen/3"])
    assert levels(book) == ["changed"]


@given(st.dictionaries(FIELDS, VALUES, min_size=1, max_size=3), st.dictionaries(FIELDS, VALUES, max_size=3))
def test_the_short_form_fits_the_same_bodies(wanted: dict[str, Any], other: dict[str, Any]) -> None:
    validator = compile_schema(expand_schema(wanted))
    for body in (wanted, other, {**other, **wanted}, {**wanted, **other}):
        assert validator.is_valid(body) == matches_body(wanted, body)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]}, ""),
        ({"type": "object", "properties": {"model": {"const": "bge"}}}, "const"),
        ({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}, "minimum, type integer"),
        ({"required": ["a"], "additionalProperties": False}, "additionalProperties"),
    ],
)
def test_what_had_no_effect_in_a_schema_is_told(schema: dict[str, Any], words: str) -> None:
    book = make_book()
    assert convert_schema({**ROUTE, "match_body_schema": json.dumps(schema)}, book) == schema
    assert [note.message for note in book.notes] == (
        [f"{words} had no effect before, and is checked now"] if words else []
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("{}", []), ("null", []), ("[1]", ["refused"]), ("{", ["refused"])]
)
def test_no_schema_and_no_json(text: str, expected: list[str]) -> None:
    book = make_book()
    assert convert_schema({**ROUTE, "match_body_schema": text}, book) is None
    assert levels(book) == expected
