"""Bodies as the predecessor spelled them, and as our recorder would have written them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.predecessor.bodies import CUT_MARK, convert_body, read_spelled_bytes


@pytest.mark.parametrize(
    ("text", "size", "body"),
    [
        ('{"model": "q"}', 14, '{"model": "q"}'),
        ("b'{\"ok\":1}'", 8, '{"ok":1}'),
        ('b"it\'s"', 4, "it's"),
        (r"b'\xe4\xbd\xa0'", 3, "你"),
        (r"b'\xff\xfe'", 2, "[binary, 2 bytes]"),
        (r"b'a\x00b'", 3, "[binary, 3 bytes]"),
        ("b'not closed", 5, "b'not closed"),
        ("b'a' + b'b'", 5, "b'a' + b'b'"),
        (f"b'abc{CUT_MARK}", 9, "abc[cut at 3 of 9 bytes]"),
        (f"b'abc\\x{CUT_MARK}", 9, "abc[cut at 3 of 9 bytes]"),
        (f"b'abc\\\\{CUT_MARK}", 9, "abc\\[cut at 4 of 9 bytes]"),
        (f"b'ab\\xe4\\xbd{CUT_MARK}", 9, "ab[cut at 4 of 9 bytes]"),
        (f'{{"a": 1{CUT_MARK}', None, '{"a": 1[cut at 7 bytes]'),
    ],
)
def test_a_body_becomes_its_text(text: str, size: int | None, body: str) -> None:
    assert convert_body(text, size) == body


@given(st.binary(max_size=60))
def test_any_bytes_are_read_back(raw: bytes) -> None:
    assert read_spelled_bytes(repr(raw)) == raw


@given(st.binary(max_size=60), st.data())
def test_a_cut_never_invents_a_byte(raw: bytes, data: st.DataObject) -> None:
    spelled = repr(raw)[:-1]
    cut = spelled[: data.draw(st.integers(2, len(spelled)))]
    found = read_spelled_bytes(cut, is_cut=True)
    assert found is not None
    assert raw.startswith(found)


@given(st.text(max_size=50), st.none() | st.integers(0, 1000))
def test_any_text_has_a_body(text: str, size: int | None) -> None:
    assert isinstance(convert_body(text, size), str)
