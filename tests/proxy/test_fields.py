"""Names and values of fields: what each may hold, byte by byte, and joined as one by one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.fields import is_field_name, is_field_value

TOKEN = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters  # RFC 9110 section 5.6.2


@pytest.mark.parametrize("byte", range(256))
def test_a_name_is_a_token(byte: int) -> None:
    assert is_field_name(b"x" + bytes([byte])) is (chr(byte) in TOKEN)


@pytest.mark.parametrize("byte", range(256))
def test_a_value_has_no_control_characters_but_the_tab(byte: int) -> None:
    expected = byte == 0x09 or (byte >= 0x20 and byte != 0x7F)
    assert is_field_value(b"x" + bytes([byte])) is expected


def test_a_name_is_not_empty_and_a_value_may_be() -> None:
    assert not is_field_name(b"")
    assert is_field_value(b"")


@given(st.lists(st.binary(max_size=20)))
def test_values_may_be_asked_for_all_at_once(values: list[bytes]) -> None:
    assert is_field_value(b"".join(values)) is all(map(is_field_value, values))
