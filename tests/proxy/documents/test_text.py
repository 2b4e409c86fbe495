"""Values as YAML: whatever the value, every reader reads that value."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from proxy.documents.text import spell_scalar, write_member, write_members
from proxy.documents.tree import Faults, read_json, read_tree

TRAPS = (
    *("no", "Yes", "on", "OFF", "y", "N", "null", "~", "", "true", "=", "<<", "-", "?", "--- x", "...", "%x"),
    *("1e3", "0o7", "0x1F", "007", "1_000", "12:30:45", "2026-01-31", ".inf", ".nan", "+5", "5.", "0b1"),
    *("a: b", "a:", "a #b", "#a", "&a", "*a", "!a", "|", ">", "'", '"', "[a", "{a", "a, b", "@a", "`a"),
    *(" a", "a ", "a\nb", "a\nb\n", "a\nb\n\n", "\na", " a\nb", "a \nb", "a\n\n  b", "a\n\tb", "a\r\nb"),
    *("\t", "\0", "\x85", "\u2028", "\ufeff", "\xa0", "\x7f", "\u202e", "\\n", "é", "日本", "😀", "\uffff"),
    *("${env:TOKEN}", "Bearer ${file:/run/x y}", "/v1/*", "POST /v1/chat/*", "k" * 2000, "'\"" * 600),
)
TEXTS = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = (
    TEXTS
    | st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def load(text: str, version: tuple[int, int]) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(io.StringIO(text))


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to the last type: 1 is not true, 1.0 not 1."""
    return json.dumps(one) == json.dumps(other)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
@example({trap: trap for trap in TRAPS})
@example(
    {"list": list(TRAPS), "lists": [[trap] for trap in TRAPS], "maps": [{trap: [trap]} for trap in TRAPS]}
)
@example({"n": [1e16, 1e-7, -0.0, 1.5e300, 5e-324], "e": [{}, [], [[]], [{}], {"a": {}}]})
def test_every_reader_reads_what_was_written(value: dict[str, Any]) -> None:
    text = "\n".join(write_members(value)) + "\n"
    faults = Faults("f.yaml")
    root = read_tree(text.encode(), faults, bytes_max=1 << 20, depth_max=50)
    assert root is not None
    assert is_same(read_json(root, faults), value)
    assert faults.problems == []
    assert is_same(load(text, (1, 2)), value)
    assert is_same(load(text, (1, 1)), value)


@given(VALUES)
def test_no_line_holds_what_acts_in_a_terminal_or_is_invisible(value: Any) -> None:
    for line in write_member("a", value):
        assert all(character.isprintable() or ord(character) > 0x2FF for character in line), line
        assert line == line.rstrip()


@pytest.mark.parametrize(
    "text", ["ollama", "/v1/*", "/a/{id}", "POST /v1/chat/*", "route:a*", "Bearer ${env:TOKEN}", "GET,POST"]
)
def test_what_people_write_has_no_quotes(text: str) -> None:
    assert spell_scalar(text) == text


def test_the_layout_is_that_of_a_person() -> None:
    value = {
        "description": "two\nlines",
        "codes": [429, 503],
        "names": ["a", "no"],
        "schema": {"type": "object", "any": [{"a": 1, "b": []}, [1, 2], [["x"]]]},
    }
    assert "\n".join(write_members(value, 2)).splitlines() == [
        "  description: |-",
        "    two",
        "    lines",
        "  codes: [429, 503]",
        "  names:",
        "    - a",
        '    - "no"',
        "  schema:",
        "    type: object",
        "    any:",
        "      - a: 1",
        "        b: []",
        "      - [1, 2]",
        "      - - - x",
    ]


def test_a_comment_stands_behind_a_value_of_one_line() -> None:
    assert list(write_member("a", "b", 2, comment="why")) == ["  a: b  # why"]
