"""Body conditions: what a schema may say, what FIELD=VALUE is short for, and that no schema causes I/O."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.body_schemas import (
    SCHEMA_BYTES_MAX,
    build_schema,
    collect_names,
    compile_schema,
    explain_misfit,
    has_other_spelling,
)


def fits(schema: Any, value: Any) -> bool:
    return compile_schema(schema).is_valid(value)


def test_schema_tells_what_fits() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}, "required": ["n"]}
    assert fits(schema, {"n": 2})
    assert not fits(schema, {"n": 1})
    assert not fits(schema, {})
    assert fits(True, 1)
    assert not fits(False, 1)


def test_integers_of_any_size_are_compared_exactly() -> None:
    schema = {"enum": [10**30]}
    assert fits(schema, 10**30)
    assert not fits(schema, 10**30 + 1)
    assert not fits({"type": "number", "maximum": 5}, 10**4_000)


def test_formats_are_not_checked() -> None:
    assert fits({"format": "email"}, "no address")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "nonsense"}, "/type"),
        ({"properties": {"a": {"minimum": "x"}}}, "/properties/a/minimum"),
        ({"pattern": "("}, "/pattern"),
        ({"pattern": "(?=a)"}, "/pattern"),
        ({"pattern": "(a{1000}){1000}"}, "/pattern"),
        ([], "/"),
        (1, "/"),
    ],
)
def test_invalid_schema_is_refused_naming_the_place(schema: Any, place: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f"at {place}: ")):
        compile_schema(schema)


def test_size_and_depth_of_a_schema_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"not": deep}
    for schema in (deep, {"description": "x" * SCHEMA_BYTES_MAX}):
        with pytest.raises(InvalidInputError):
            compile_schema(schema)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$schema", "$id"])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_reference_to_elsewhere_is_refused_and_nothing_is_fetched(
    listener: socket.socket, keyword: str, scheme: str, tmp_path: Any
) -> None:
    (tmp_path / "schema.json").write_text("{}")
    url = (
        f"http://127.0.0.1:{listener.getsockname()[1]}/s"
        if scheme == "http"
        else f"file://{tmp_path}/schema.json"
    )
    schema: dict[str, Any] = {keyword: url, "properties": {"a": {"$ref": "other.json"}}}
    with pytest.raises(InvalidInputError):
        compile_schema(schema)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_reference_to_a_part_of_itself_is_followed() -> None:
    schema = {"$ref": "#/$defs/name", "$defs": {"name": {"type": "string"}}}
    assert fits(schema, "x")
    assert not fits(schema, 1)
    tree = {"properties": {"child": {"$ref": "#"}}, "required": ["name"]}
    assert fits(tree, {"name": "a", "child": {"name": "b"}})
    assert not fits(tree, {"name": "a", "child": {}})


def test_hostile_text_does_not_stall_a_pattern() -> None:
    assert not fits({"pattern": "^(a+)+$"}, "a" * 100_000 + "!")


def test_misfit_names_the_field() -> None:
    validator = compile_schema(build_schema(["options.mode=fast"]))
    assert explain_misfit(validator, {"options": {"mode": "slow"}}).startswith('options.mode: "slow" is not')
    assert len(explain_misfit(validator, {"options": {"mode": "x" * 10_000}})) < 300


@pytest.mark.parametrize(
    ("texts", "body", "expected"),
    [
        (["model=qwen3"], {"model": "qwen3"}, True),
        (["model=qwen3"], {"model": "qwen30"}, False),
        (["model=qwen3"], {}, False),
        (["model=qwen3"], "qwen3", False),
        (["stream=true"], {"stream": True}, True),
        (["stream=true"], {"stream": "true"}, True),
        (["stream=true"], {"stream": 1}, False),
        (["n=1"], {"n": 1}, True),
        (["n=1"], {"n": "1"}, True),
        (["n=1"], {"n": True}, False),
        (["user=null"], {"user": None}, True),
        (["a="], {"a": ""}, True),
        (["a=b=c"], {"a": "b=c"}, True),
        (["options.mode=fast"], {"options": {"mode": "fast"}}, True),
        (["options.mode=fast"], {"options": {}}, False),
        (["options.mode=fast"], {"options": "fast"}, False),
        (
            ["model=a", "options.mode=fast", "options.n=1"],
            {"model": "a", "options": {"mode": "fast", "n": 1}},
            True,
        ),
        (["model=a", "options.mode=fast", "options.n=1"], {"model": "a", "options": {"mode": "fast"}}, False),
    ],
)
def test_shorthand_says_what_it_reads_like(texts: list[str], body: Any, expected: bool) -> None:
    assert fits(build_schema(texts), body) is expected


@settings(max_examples=100)
@given(
    path=st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=4),
    value=st.text('a1.="t', max_size=4),
)
def test_shorthand_matches_the_body_it_describes(path: list[str], value: str) -> None:
    body: Any = value
    for name in reversed(path):
        body = {name: body}
    schema = build_schema([".".join(path) + "=" + value])
    assert fits(schema, {**body, "other": 1})
    assert not fits(schema, {})


@pytest.mark.parametrize(
    "texts", [["model"], ["=x"], ["a..b=1"], [".=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=2", "a=1"]]
)
def test_condition_that_means_nothing_or_contradicts_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        build_schema(texts)


def test_a_reference_elsewhere_is_refused_in_our_own_words() -> None:
    with pytest.raises(InvalidInputError) as caught:
        compile_schema({"$ref": "http://127.0.0.1:1/"})
    assert caught.value.message == "the body schema is not valid at /: a schema refers to its own parts only"


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        (build_schema(["model=x", "options.seed=1"]), {"model", "options", "seed"}),
        ({"anyOf": [{"required": ["a"]}, {"not": {"properties": {"b": True}}}]}, {"a", "b"}),
        ({"$defs": {"x": {"required": ["y", 5]}}, "dependentRequired": {"p": ["q"]}}, {"y", "p"}),
        ({"properties": {"required": {"const": ["z"]}}}, {"required"}),
        (True, set()),
    ],
)
def test_names_that_a_schema_looks_at_are_collected(schema: Any, names: set[str]) -> None:
    assert collect_names(schema) == names


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"model": 1, "x": {"Model": 1}}, False),
        ({"model": 1, "Model": 2}, True),
        ({"MODEL": 2}, True),
        ({"options": {"Seed": 1}}, True),
        ({"options": [[{"Seed": 1}]]}, True),
        ([{"Model": 1}], True),
        ({"models": 1, "x": "Model"}, False),
        ("Model", False),
    ],
)
def test_other_spelling_is_found_where_the_names_lead_to(value: Any, found: bool) -> None:
    assert has_other_spelling(value, frozenset(("model", "options", "seed"))) is found
