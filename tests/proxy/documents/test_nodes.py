"""YAML text as nodes: what cannot be read is told with its place, and floods nobody."""

from __future__ import annotations

import pytest

from proxy.documents.nodes import (
    PROBLEMS_SHOWN_MAX,
    compose,
    core_type,
    decode,
    find_foreign,
    is_unwritten,
    place_of,
    refuse,
)
from proxy.errors import ConfigurationError, Problem


def test_a_node_has_its_place_and_type() -> None:
    name, value = compose("\na:   0x1f\n", "f.yaml", 8).value[0]
    assert (place_of(name), core_type(name)) == ((2, 1), "str")
    assert (place_of(value), core_type(value)) == ((2, 6), "int")
    assert find_foreign(value) == ""


def test_what_is_not_written_has_the_place_of_its_name() -> None:
    name, value = compose("a:\n\n# c\nb: 1\n", "f.yaml", 8).value[0]
    assert is_unwritten(value)
    assert place_of(value, name) == (1, 1)
    for text in ("~", "''", "!!null", "{}", "1"):
        name, value = compose(f"a: {text}\n", "f.yaml", 8).value[0]
        assert not is_unwritten(value)
        assert place_of(value, name) == (1, 4)


def test_nothing_is_no_node() -> None:
    assert compose("# only a comment\n", "f.yaml", 8) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a: 1\nb: [", "f.yaml:2:5: invalid YAML"),
        (b"a: *x", "f.yaml:1:4: anchors and aliases are not used here"),
        (b"a: 1\n---\nb: 1", "f.yaml:2:1: a second document begins here"),
        (b"[[[[[[[[[[", "nested too deeply"),
        (b"%YAML 1.1\n---\na: 1", "f.yaml:1:1: directives are not used here"),
        (b"a: \xff", "f.yaml:1:4: the file is not UTF-8 text"),
        (b"a: \x00", "f.yaml:1:4: the character U+0000 is not allowed"),
        (b"#" * 5000, "f.yaml: the file is larger than 4 KB"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(content: bytes, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(decode(content, "f.yaml", 4096), "f.yaml", 8)
    assert fault in str(caught.value)


@pytest.mark.parametrize(("text", "word"), [("&a 1", "anchors"), ("!x 1", "tags"), ("!!binary x", "tags")])
def test_anchors_and_tags_are_foreign(text: str, word: str) -> None:
    assert word in find_foreign(compose(f"a: {text}", "f.yaml", 8).value[0][1])


def test_a_text_of_nothing_but_faults_floods_nobody() -> None:
    error = refuse([Problem(f"fault {n}", "f.yaml", n, 1) for n in range(1, 200)], "mend it")
    assert len(error.problems) == PROBLEMS_SHOWN_MAX + 1
    assert str(error.problems[-1]) == "and 99 more problems"
    assert error.hint == "mend it"
