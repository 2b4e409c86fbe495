"""A value as it is spelled in a text of somebody else's: read back as itself, in the quotes of before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.documents.nodes import compose, core_type
from proxy.documents.spelling import Plain, spell, spell_inline

TRAPS = [
    "",
    "no",
    "Yes",
    "1",
    "1e3",
    "0o7",
    "~",
    "a: b",
    "a #b",
    "[a",
    "a, b",
    "12:30",
    "'",
    '"',
    "\n",
    "é",
    "*a",
]
TEXTS = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(text: str) -> list[tuple[str, str]]:
    return [(core_type(item), item.value) for item in compose(text, "f.yaml", 8).value]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_list_is_read_as_it_was_meant(texts: list[str]) -> None:
    assert read(spell_inline([Plain(text) for text in texts])) == [("str", text) for text in texts]


@given(TEXTS, st.sampled_from([None, "'", '"']))
def test_a_text_is_read_as_itself_in_whatever_quotes(text: str, style: str | None) -> None:
    assert read(f"[{spell(Plain(text), style)}]") == [("str", text)]
    assert read(f"- {spell(Plain(text), style)}") == [("str", text)]
    ((name, value),) = compose(f"{{a: {spell(Plain(text), style)}}}", "f.yaml", 8).value
    assert (name.value, core_type(value), value.value) == ("a", "str", text)


@pytest.mark.parametrize(
    ("text", "style", "spelled"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("32MB", None, "32MB"),
        ("text", "'", "'text'"),
        ("it's", "'", "'it''s'"),
        ("text", '"', '"text"'),
        ("no", None, '"no"'),
        ("+08:00", None, '"+08:00"'),
        ("12:30", None, '"12:30"'),
        ("a\nb", "'", '"a\\nb"'),
    ],
)
def test_quotes_are_those_of_before_or_as_few_as_can_be(text: str, style: str | None, spelled: str) -> None:
    assert spell(Plain(text), style) == spelled


def test_a_number_stands_as_it_is() -> None:
    assert spell(Plain("7", is_text=False), '"') == "7"
    assert spell_inline([]) == "[]"
