"""Bodies as people read them: laid out, and otherwise just what was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.commands.log_bodies import is_whole, lay_out_json, read_body, split_mark

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_json_has_a_line_for_each_value_and_keeps_digits_and_doubled_names() -> None:
    body = read_body('{"a":1.50,"a":[1e400,{}],"b":"x"}')
    assert body.is_json
    assert body.text.splitlines() == [
        "{",
        '  "a": 1.50,',
        '  "a": [',
        "    1e400,",
        "    {}",
        "  ],",
        '  "b": "x"',
        "}",
    ]


def test_escapes_of_readable_characters_are_spelled_out_and_no_others() -> None:
    text = lay_out_json(r'["\u4e2d\ud83d\ude00", "\u001b[2J\u202e", "\\u4e2d", "\"\u0022\u005c", "\n"]')
    assert text
    assert json.loads(text) == ["中😀", "\x1b[2J\u202e", r"\u4e2d", '""\\', "\n"]
    assert "中😀" in text
    assert r"\u001b[2J\u202e" in text
    assert r"\\u4e2d" in text


@given(JSON.filter(lambda value: isinstance(value, dict | list)), st.booleans())
def test_laying_out_changes_no_value(value: Any, escapes: bool) -> None:
    text = json.dumps(value, ensure_ascii=escapes)
    laid_out = lay_out_json(text)
    assert laid_out is not None
    assert json.loads(laid_out) == value


@given(st.text())
def test_text_that_is_no_json_stays_as_it_is(text: str) -> None:
    body = read_body(text)
    assert body.is_json or body.text + (f"[{body.mark}]" if body.mark else "") == text


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1',
        '{"a": NaN}',
        "plain",
        "12",
        "data: {}\n\n",
        "[" * 500 + "]" * 500,
        "[" * 100_000,
        '"' + '\\"' * 500_000,
        "{" + '\\"' * 500_000,
    ],
    ids=range(9),
)
def test_what_cannot_be_laid_out_is_text(text: str) -> None:
    assert read_body(text) == (text, False, "")


@pytest.mark.parametrize(
    ("text", "content", "mark"),
    [
        ('{"a":[cut at 5 of 50 bytes]', '{"a":', "cut at 5 of 50 bytes"),
        ("[binary, 7 bytes]", "", "binary, 7 bytes"),
        ("[cut at 5 of 50 bytes] or not", "[cut at 5 of 50 bytes] or not", ""),
    ],
)
def test_the_marks_of_the_recorder_are_told_apart(text: str, content: str, mark: str) -> None:
    assert split_mark(text) == (content, mark)
    assert read_body(text) == (content, False, mark)


def test_a_body_is_whole_unless_its_mark_is_about_this_very_body() -> None:
    assert is_whole("all of it", 9)
    assert not is_whole("half[cut at 4 of 9 bytes]", 9)
    assert not is_whole("[binary, 9 bytes]", 9)
    # A client that sends the text of a mark.
    assert is_whole("half[cut at 4 of 9 bytes]", 25)
    assert is_whole("[binary, 9 bytes]", 17)
