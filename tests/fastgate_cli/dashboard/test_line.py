"""A line is edited as in a shell, whatever is pressed in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.dashboard.line import LENGTH_MAX, Line, edit_line, start_line

NAMED = (
    *("backspace", "delete", "left", "right", "home", "end", "tab", "up", "enter", "escape"),
    *(f"ctrl-{letter}" for letter in "abdefkuwx"),
)
keys = st.sampled_from(NAMED) | st.characters()


def press(line: Line, *pressed: str) -> Line:
    for key in pressed:
        line = edit_line(line, key)
    return line


@given(text=st.text(max_size=20), pressed=st.lists(keys, max_size=40))
def test_the_cursor_is_always_in_the_text_and_the_text_is_printable(text: str, pressed: list[str]) -> None:
    line = start_line("".join(filter(str.isprintable, text)))
    for key in pressed:
        before = line
        line = edit_line(line, key)
        assert 0 <= line.cursor <= len(line.text) <= LENGTH_MAX
        assert line.before + line.after == line.text
        assert line.text.isprintable()
        if len(key) == 1 and key.isprintable():
            assert line.text == before.before + key + before.after


@given(text=st.text(st.characters(categories=["L", "N"]), max_size=30))
def test_what_is_typed_and_taken_back_leaves_nothing(text: str) -> None:
    typed = press(start_line("--x"), *text)
    assert typed == Line("--x" + text, 3 + len(text))
    assert press(typed, *["backspace"] * len(text)) == Line("--x", 3)
    assert press(typed, "home", *["delete"] * len(typed.text)) == Line()


@pytest.mark.parametrize(
    ("pressed", "text", "cursor"),
    [
        (["ctrl-w"], "--status 5xx --source ", 22),
        (["ctrl-w", "ctrl-w"], "--status 5xx ", 13),
        (["ctrl-u"], "", 0),
        (["left", "left", "ctrl-u"], "ci", 0),
        (["left", "left", "ctrl-k"], "--status 5xx --source ", 22),
        (["home", "right", "delete"], "-status 5xx --source ci", 1),
        (["ctrl-a", "x", "ctrl-e", "y"], "x--status 5xx --source ciy", 26),
        (["tab", "up", "escape"], "--status 5xx --source ci", 24),
    ],
)
def test_keys_edit_as_in_a_shell(pressed: list[str], text: str, cursor: int) -> None:
    assert press(start_line("--status 5xx --source ci"), *pressed) == Line(text, cursor)


def test_a_line_has_an_end() -> None:
    line = press(start_line("x" * LENGTH_MAX), "y", "z")
    assert line.text == "x" * LENGTH_MAX
    assert len(start_line("x" * (LENGTH_MAX + 9)).text) == LENGTH_MAX
