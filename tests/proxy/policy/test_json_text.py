"""JSON read strictly: what is taken, what is refused, and the place that the refusal names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.json_text import DEPTH_MAX, PARTS_MAX, dump_json, parse_json

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
        (b'["1e999 NaN \\" [", 1e5, 1e305, "x", -1e999]', "line 1, column 37"),
        (b"[1E+0400]", "line 1, column 2"),
        (b"[1.5, " + b"9" * 250 + b".0e99]", "line 1, column 7"),
        (b"[-Infinity, 1e999]", "line 1, column 2"),
        (b'["\\u00e9\\\\ud800\\ud83d\\ude00", "\\uDEAD"]', "line 1, column 32"),
        (b'{"\\ud83d": 1}', "line 1, column 3"),
        (b'{"a" : 1, "b": ":", "a":2}', "line 1, column 26"),
        (b'{"x": "}", "y": [{"a":1,\n"a":{}}]}', "line 2, column 7"),
        (b'{"a": {"b": 1}, "a": {"b": 1}}', "line 1, column 30"),
        ('["é"'.encode() + b"," + b"[" * 2_000, "line 1, column 133"),
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


def test_what_names_and_depth_are_counted_by_may_stand_in_strings() -> None:
    for value in ({"a": ":", "b": [{"a": "{:"}]}, ["[" * 300 + ':"a":'], {'":': 1, "::": {"": 0}}):
        for text in (json.dumps(value), json.dumps(value, indent=1, separators=(" ,", " : "))):
            assert parse_json(text.encode()) == value


NAMES = st.sampled_from(['"a"', '"b"', '"\\u0061"', '":"', '"}"', '"a:"'])
OBJECTS: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["1", "{}", "[]", '":"', '"\\":"', '"{"']),
    lambda inner: (
        st.lists(st.tuples(NAMES, st.sampled_from([":", " :", "\n: "]), inner), max_size=3).map(
            lambda members: "{" + ",".join(map("".join, members)) + "}"
        )
        | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(text=OBJECTS)
def test_every_repeated_name_is_found_and_no_other(text: str) -> None:
    repeated = []

    def end_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.append(len(dict(pairs)) != len(pairs))
        return dict(pairs)

    value = json.loads(text, object_pairs_hook=end_object)
    if True not in repeated:
        assert parse_json(text.encode()) == value
        return
    with pytest.raises(InvalidInputError, match="same name") as caught:
        parse_json(text.encode())
    # The text up to the place is as many whole objects, and the one that ends there.
    line, column = (int(word.rstrip(",")) for word in caught.value.message.split()[-3::2])
    place = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1
    assert text[place] == "}"
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text[: place + 1])
    assert outside.count("}") == repeated.index(True) + 1


def test_number_of_parts_is_bounded_and_what_stands_in_strings_is_cheap() -> None:
    assert len(parse_json(b"[" + b"1," * (PARTS_MAX - 2) + b"1]")) == PARTS_MAX - 1
    for raw in (
        b"[" + b"1," * PARTS_MAX + b"1]",
        b"[" + b"{}," * (PARTS_MAX // 2) + b"{}]",
        b"[" * (PARTS_MAX + 1),
    ):
        with pytest.raises(InvalidInputError, match="more than 500,000 commas and brackets"):
            parse_json(raw)
    assert parse_json(b'"' + b"x" * (8 << 20) + b'"') == "x" * (8 << 20)
