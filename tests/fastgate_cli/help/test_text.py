"""Pages on a terminal: within its width, and nothing of them cut or broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.help.page import Lines, Page, Rows, Text
from fastgate_cli.help.text import format_blocks

WORDS = st.text("abc-/{}*.", min_size=1, max_size=12)
SENTENCES = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)


def show(*blocks: Text | Rows | Lines, width: int = 40) -> list[str]:
    return format_blocks(Page((), blocks), width).splitlines()


def test_blocks_stand_apart_and_titles_above_theirs() -> None:
    assert show(Text("One."), Rows([("a", "A")], "Two"), Lines(["x  y", ""], "Three"), Lines(["z"])) == [
        "One.",
        "",
        "Two:",
        "  a  A",
        "",
        "Three:",
        "  x  y",
        "  ",
        "",
        "  z",
    ]


def test_meanings_stand_in_a_column_and_keep_their_lines() -> None:
    assert show(Rows([("short", "first\n+ second"), ("a longer one", "third and a bit more text")])) == [
        "  short         first",
        "                + second",
        "  a longer one  third and a bit more",
        "                text",
    ]


def test_what_follows_a_mark_stands_behind_it() -> None:
    assert show(Rows([("a", "is\n+ " + "word " * 8)])) == [
        "  a  is",
        "     + word word word word word word",
        "       word word",
    ]


def test_a_long_term_has_a_line_to_itself() -> None:
    long = "x" * 39
    assert show(Rows([("a", "A"), ("b", "B"), (long, "C")]))[2:] == [f"  {long}", "     C"]
    assert show(Rows([("aaaaa", "A"), (long, "C")])) == ["  aaaaa", "      A", f"  {long}", "      C"]


def test_names_are_not_broken_at_their_hyphens() -> None:
    assert show(Text("aaaaaaaa proxy-authorization"), width=16) == ["aaaaaaaa", "proxy-authorization"]


@given(SENTENCES, st.integers(20, 100))
def test_a_paragraph_keeps_its_words_and_its_width(text: str, width: int) -> None:
    lines = show(Text(text), width=width)
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= width for line in lines)


@given(st.lists(st.tuples(WORDS, SENTENCES), min_size=1, max_size=5), st.integers(40, 100))
def test_rows_keep_their_words_and_the_width(rows: list[tuple[str, str]], width: int) -> None:
    lines = show(Rows(rows), width=width)
    assert " ".join(lines).split() == [word for term, meaning in rows for word in (term, *meaning.split())]
    assert all(len(line) <= width for line in lines)
