"""The JSON of events: what other readers refuse is read, digits stay, and what is written is JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.streams.event_json import VALUES_MAX, encode, freeze, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=3), some, max_size=4),
    max_leaves=12,
)


def rewrite(text: str) -> str:
    value = read_object(text)
    assert value is not None
    return encode(value).decode()


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-1",
        "18446744073709551616",
        "-99999999999999999999999999999999999999",
        "7" * 5000,
        "1.0",
        "1.10",
        "-0.0",
        "1E5",
        "1e400",
        "0.1234567890123456789012345",
    ],
)
def test_a_number_keeps_its_digits(number: str) -> None:
    assert (
        rewrite(f'{{"n":{number},"s":["\\ud83d",{number}]}}') == f'{{"n":{number},"s":["\ufffd",{number}]}}'
    )
    assert rewrite(f'{{"n":[{number}]}}') == f'{{"n":[{number}]}}'


def test_text_is_written_as_people_read_it() -> None:
    assert rewrite(r'{"\u00fc":"\u4f60\ud83d\ude00\/\u2028\n\u0000\""}') == '{"ü":"你😀/\u2028\\n\\u0000\\""}'


def test_what_python_servers_send_beside_json_is_read() -> None:
    assert (
        rewrite('{"a":-Infinity,"b":NaN,"c":"tab\there"}') == '{"a":"-Infinity","b":"NaN","c":"tab\\there"}'
    )


def test_halves_of_a_surrogate_pair_that_meet_are_one_character() -> None:
    first, second = (read_object(text) for text in (r'{"a":"x\ud83d"}', r'{"a":"\ude00y"}'))

    assert first is not None
    assert second is not None
    assert (
        encode({"a": first["a"] + second["a"], "k\ude00": [first["a"]]})
        == '{"a":"x😀y","k�":["x�"]}'.encode()
    )


@pytest.mark.parametrize(
    "text",
    ["", "null", "1", '"{}"', "[{}]", "{", "{}{}", "{]", "[DONE]", '{"a":}', "{'a':1}", "\x00", "{\ufffd}"],
)
def test_what_is_no_object_is_none(text: str) -> None:
    assert read_object(text) is None


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nest(depth: int) -> str:
        return '{"x":' + opening * depth + "1" + closing * depth + "}"

    assert read_object(nest(100)) is not None
    assert [read_object(nest(depth)) for depth in (200, 1_000, 100_000)] == [None] * 3
    assert read_object('{"x":"' + "[" * 1000 + '"}') is not None


def test_the_number_of_values_is_bounded_and_the_length_of_text_is_not() -> None:
    assert read_object('{"x":[' + "[]," * VALUES_MAX + "1]}") is None
    assert read_object('{"x":"' + "y" * 3 * VALUES_MAX + '"}') is not None


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.booleans())
def test_any_object_survives(value: dict[str, Any], is_escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_escaped)

    assert json.loads(rewrite(text)) == value
    assert json.loads(encode(freeze(read_object(text)))) == value


@settings(max_examples=200)
@given(st.text(st.sampled_from('{}[]",:\\ud83cdeNa1.e-\t')) | st.text())
def test_any_text_is_an_object_or_none_and_what_is_written_is_json(text: str) -> None:
    for candidate in (text, "{" + text + "}", '{"a":"' + text + '"}', '{"a":[' + text + "]}"):
        value = read_object(candidate)
        assert value is None or isinstance(json.loads(encode(value)), dict)
