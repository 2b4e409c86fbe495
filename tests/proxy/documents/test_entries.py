"""Where entries stand in a text."""

from __future__ import annotations

import pytest

from proxy.documents.entries import Source, entries_of, find_entry, is_block

TEXT = """\
a: 1  # one
"b" :   # two

c: |
  text

# end of c
d: [x,
  y]  # three
e:
  - p  # four
  - "q"
# end of e
f:
  g: {h: 1}
  i: ~
"""


def test_every_entry_has_its_beginning_its_colon_and_its_end() -> None:
    source = Source(TEXT, "f.yaml")
    found = {
        entry.name.value: (TEXT[entry.start : entry.colon], TEXT[entry.colon : entry.end])
        for entry in entries_of(source.compose(), source)
    }
    assert found == {
        "a": ("a:", " 1"),
        "b": ('"b" :', ""),
        "c": ("c:", " |\n  text"),
        "d": ("d:", " [x,\n  y]"),
        "e": ("e:", '\n  - p  # four\n  - "q"'),
        "f": ("f:", "\n  g: {h: 1}\n  i: ~"),
    }


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("a: 1\n", ""),
        ("a: 1\n...\n", "...\n"),
        ("a: 1\n...", "..."),
        ("a: 1\r\n... # c\r\n", "... # c\r\n"),
        ("a: |\n  ...\n# ...\n", ""),
        ("...a: 1\n", ""),
        ("", ""),
    ],
)
def test_a_document_ends_before_what_says_so(text: str, rest: str) -> None:
    assert text[Source(text, "f.yaml").document_end :] == rest


def test_what_is_empty_is_told_from_what_says_null() -> None:
    source = Source("a:\nb: ~\n", "f.yaml")
    assert [entry.is_empty for entry in entries_of(source.compose(), source)] == [True, False]


def test_an_entry_is_found_in_a_mapping_alone() -> None:
    source = Source("a: [b]\n", "f.yaml")
    found = find_entry(source.compose(), "a", source)
    assert found is not None
    assert find_entry(found.value, "b", source) is None
    assert find_entry(source.compose(), "b", source) is None
    assert find_entry(None, "a", source) is None
    assert not is_block(found.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_begin_and_end(newline: str) -> None:
    source = Source(f"ab{newline}cd{newline}e", "f.yaml")
    place = source.text.index("d")
    assert source.newline == newline
    assert source.text[source.line_start(place) : source.line_end(place)] == "cd"
    assert source.text[source.next_line(place) :] == "e"
    assert (
        source.line_end(source.text.index("e"))
        == source.next_line(source.text.index("e"))
        == len(source.text)
    )
