"""What a field may hold: readers that keys and routes share, and when two values are not the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.documents.fields import (
    Reader,
    Reading,
    differs,
    members_of,
    read_any,
    read_choice,
    read_flag,
    read_list,
    read_number,
    read_text,
)
from proxy.documents.tree import Faults, read_tree
from proxy.errors import InvalidInputError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def read(reader: Reader, text: str) -> tuple[Any, list[str]]:
    reading = Reading(Faults(""), datetime(2026, 1, 31, tzinfo=UTC))
    root = read_tree(f"a: {text}".encode(), reading.faults, bytes_max=9999, depth_max=20)
    assert root is not None
    value = reader(root.members[0].value, reading)
    return value, [f"{problem.column}: {problem.message}" for problem in reading.faults.problems]


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (read_text, "no", "no"),
        (read_text, "2026-01-31", "2026-01-31"),
        (read_text, "'1'", "1"),
        (read_flag, "false", False),
        (read_flag, "TRUE", True),
        (read_number(-5, 5), "-5", -5),
        (read_choice("1.1", "2"), "1.1", "1.1"),
        (read_choice("1.1", "2"), "'2'", "2"),
        (read_list(read_text), "[]", []),
        (read_list(read_text), "[a, 'b']", ["a", "b"]),
        (read_any, "{b: [1, no, null]}", {"b": [1, "no", None]}),
    ],
)
def test_a_value_is_read(reader: Reader, text: str, value: Any) -> None:
    assert read(reader, text) == (value, [])


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (read_text, "7", "this must be text; put it in quotes"),
        (read_text, "true", "this must be text; put it in quotes"),
        (read_text, "[a]", "this must be text, not a list"),
        (read_text, "", "this must be text, not nothing"),
        (read_flag, "no", "this must be true or false"),
        (read_flag, "0", "this must be true or false"),
        (read_number(0, 5), "6", "this must be a whole number from 0 to 5"),
        (read_number(0, 5), "'1'", "this must be a whole number from 0 to 5"),
        (read_number(0, 5), "1.0", "this must be a whole number from 0 to 5"),
        (read_number(0, 99), "0o7", "this must be a whole number from 0 to 99"),
        (read_number(0, 99), "1_0", "this must be a whole number from 0 to 99"),
        (read_number(0, 99), "9" * 5000, "this must be a whole number"),
        (read_choice("a", "b", "c"), "d", "this must be a, b or c"),
        (read_choice("a", "b"), "[a]", "this must be a or b"),
        (read_list(read_text), "a", "this must be a list such as [a, b]"),
        (lambda node, _: members_of(node), "[a]", "this must be a mapping such as {name: value}"),
    ],
)
def test_what_it_cannot_be_is_told(reader: Reader, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(reader, text)
    assert caught.value.message.startswith(message)


def test_every_item_that_is_wrong_is_told_at_its_place() -> None:
    value, faults = read(read_list(read_text), "[a, 7, b, [c]]")
    assert value == ["a", "b"]
    assert [fault.partition(":")[0] for fault in faults] == ["8", "14"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), (1, 1.0), ("1", 1), ({"a": 1}, {"a": True}), ([1], [1.0]), ({}, []), (None, 0)],
)
def test_what_python_takes_for_the_same_is_not(one: Any, other: Any) -> None:
    assert differs(one, other)
    assert differs({"x": [one]}, {"x": [other]})


@given(JSON_VALUES)
def test_a_value_is_the_same_as_itself_in_whatever_order_of_names(value: Any) -> None:
    assert not differs(value, value)
    assert not differs({"a": 1, "b": value}, {"b": value, "a": 1})
    assert differs([value], [value, value])
