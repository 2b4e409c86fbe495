"""JSON read strictly: what is taken, what is refused, and the place that the refusal names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.json_text import DEPTH_MAX, dump_json, parse_json

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150)
@given(value=VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_what_a_json_library_writes_is_read_as_it_was(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert parse_json(text.encode()) == value


@settings(max_examples=150)
@given(value=VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert parse_json(dump_json(value)) == value


@settings(max_examples=200)
@given(raw=st.binary(max_size=20) | st.text('[]{}",:01eE.-ntfau \\dD8\n', max_size=20).map(str.encode))
def test_any_bytes_are_a_value_or_an_error_with_a_place(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except InvalidInputError as error:
        fault = error.message
        assert " at line " in fault
    else:
        assert value == json.loads(raw)


@pytest.mark.parametrize(
    "text",
    ["123456789012345678901234567890", "-0", "1e5", "1.0", '"\\ud83d\\ude00"', '"\\\\ud800"', " \n\t{} "],
)
def test_unusual_but_plain_json_is_taken(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"{} x", "line 1, column 4"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
        ("{}".encode("utf-16"), "line 1, column 1"),
        ("{}".encode("utf-16-le"), "line 1, column 2"),
        (b'{"a":\n"\xff"}', "line 2, column 2"),
        ('{"é": nope}'.encode(), "line 1, column 7"),
        (b"[1, NaN]", "line 1, column 5"),
        (b'["NaN", -Infinity]', "line 1, column 9"),
        (b"[1.5e3, 1e999]", "line 1, column 9"),
        (b"[1, " + b"9" * 5_000 + b"]", "line 1, column 5"),
        (b'{"a": {"b": 1, "b": 2}, "c": {}}', "line 1, column 22"),
        (b'[{}, {"}": {}},\n {"a": 1, "\\u0061": 2}]', "line 2, column 22"),
        (b'"a\tb"', "line 1, column 3"),
        (b'["x", "\\ud800"]', "line 1, column 8"),
        (b'"\\udc00\\ud800"', "line 1, column 2"),
        (b"['a']", "line 1, column 2"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_naming_the_place(raw: bytes, place: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{place}$"):
        parse_json(raw)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"[":', b"}]")])
@pytest.mark.parametrize("levels", [DEPTH_MAX + 2, 1_000, 200_000])
def test_depth_is_bounded_and_never_a_recursion_error(opening: bytes, closing: bytes, levels: int) -> None:
    times = levels // (opening.count(b"[") + opening.count(b"{") - (b'"[' in opening))
    for raw in (opening * times + b"1" + closing * times, opening * times):
        if levels > 1_000 or raw.endswith(closing):
            with pytest.raises(InvalidInputError, match="levels deep at line 1") as caught:
                parse_json(raw)
            column = int(caught.value.message.rpartition(" ")[2])
            assert raw[column - 1 : column] in b"[{"


def test_the_deepest_that_is_allowed_is_taken_also_in_a_wide_text() -> None:
    deep = b"[" * (DEPTH_MAX - 1) + b"]" * (DEPTH_MAX - 1)
    wide = b"[" + b"[1]," * 1_000 + deep + b"]"
    assert len(parse_json(wide)) == 1_001
    with pytest.raises(InvalidInputError, match="levels deep"):
        parse_json(b"[" + wide + b"]")


def test_error_quotes_nothing_of_the_text() -> None:
    for raw in (b'{"s3cret": s3cret}', b'{"s3cret": 1, "s3cret": 2}', b'["s3cret", NaN]', b'["\\s3cret"]'):
        with pytest.raises(InvalidInputError) as caught:
            parse_json(raw)
        assert "s3cret" not in caught.value.message + caught.value.hint
