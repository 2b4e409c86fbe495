"""A document as a tree: values with places, JSON's values alone, and all faults of structure at once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.documents.tree import Faults, Node, read_json, read_tree
from proxy.errors import ConfigurationError, InvalidInputError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=200), inner, max_size=4),
    max_leaves=10,
)


def read(text: str) -> tuple[Node | None, list[str]]:
    faults = Faults("f.yaml")
    root = read_tree(text.encode(), faults, bytes_max=1 << 20, depth_max=200)
    if root is not None:
        read_json(root, faults)
    return root, [str(problem) for problem in faults.problems]


def value_of(text: str) -> Any:
    faults = Faults("f.yaml")
    root = read_tree(text.encode(), faults, bytes_max=1 << 20, depth_max=200)
    assert root is not None
    value = read_json(root, faults)
    assert faults.problems == []
    return value


def test_everything_has_its_place() -> None:
    root, faults = read("a:\n  b: [x, 7]\n")
    assert root is not None
    outer = root.members[0]
    inner = outer.value.members[0]
    assert (outer.name, outer.line, outer.column) == ("a", 1, 1)
    assert (inner.name, inner.line, inner.column) == ("b", 2, 3)
    assert [(item.text, item.kind, item.line, item.column) for item in inner.value.items] == [
        ("x", "str", 2, 7),
        ("7", "int", 2, 10),
    ]
    assert faults == []


def test_what_is_empty_is_placed_at_its_name() -> None:
    root, _ = read("a:\n  b:\n\n# more\nc: 1\n")
    assert root is not None
    empty = root.members[0].value.members[0].value
    assert (empty.kind, empty.line, empty.column) == ("null", 2, 3)


def test_an_empty_document_is_none() -> None:
    assert read("# nothing\n") == (None, [])


def test_a_text_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(read("a: hunter2")[0])


@given(JSON_VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    assert json.dumps(value_of(json.dumps(value, ensure_ascii=True))) == json.dumps(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("2026-01-31", "2026-01-31"),
        ("1e3", 1000.0),
        ("TRUE", True),
        ("~", None),
        ("'7'", "7"),
        ("12:30:45", "12:30:45"),
        (str(10**40), 10**40),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: Any) -> None:
    assert value_of(f"a: {text}") == {"a": value}
    assert type(value_of(f"a: {text}")["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 0o7", "1:4: this is no number as JSON writes it"),
        ("a: [1, 1_000]", "1:8: this is no number as JSON writes it"),
        ("a: .inf", "1:4: this is no number as JSON writes it"),
        ("a: 1e999", "1:4: this is no number as JSON writes it"),
        ("a: &x 1", "1:4: anchors and aliases are not used here"),
        ("a: !x 1", "1:4: tags are not used here"),
        ("a: 1\nb: 2\na: 3", "3:1: 'a' is given twice, first in line 1"),
        ("1: a", "1:1: a name must be text"),
        ("[a]: b", "1:1: a name must be text"),
        ("true: a", "1:1: a name must be text"),
        ('a: "\\ud800"', "1:4: this text has half of a surrogate pair"),
        ('"\\udc00": a', "1:1: this text has half of a surrogate pair"),
    ],
)
def test_what_is_not_accepted_is_told_with_its_place(text: str, fault: str) -> None:
    faults = read(text)[1]
    assert len(faults) == 1
    assert faults[0].startswith(f"f.yaml:{fault}")


def test_every_fault_is_told_at_once() -> None:
    assert len(read("a: !x 1\nb: [&y 2, 0o7]\nb: 3\n1: x\n")[1]) == 5


def test_an_alias_bomb_costs_nothing() -> None:
    bomb = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 30))
    started = time.process_time()
    assert "anchors" in read("x0: &x0 [a]\n" + bomb)[1][0]
    assert time.process_time() - started < 5


def test_json_as_deep_as_any_that_is_accepted_can_be_read() -> None:
    assert value_of('{"a":' * 127 + "1" + "}" * 127)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        read("[" * 10_000)


def test_a_refusal_says_how_to_write_it() -> None:
    faults = Faults("f.yaml")
    faults.add_error(InvalidInputError("wrong", hint="write it right"), Node("str", 3, 4))
    assert str(faults.problems[0]) == "f.yaml:3:4: wrong (write it right)"
