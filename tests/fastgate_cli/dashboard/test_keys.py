"""Keys are the same however the bytes of them come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.dashboard.keys import decode_keys

SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[7~": "home",
    b"\x1b[F": "end",
    b"\x1b[4~": "end",
    b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown",
    b"\x1b[3~": "delete",
    b"\x1b[Z": "backtab",
    b"\x1bOM": "enter",
    b"\x1b[1;5A": "up",
    b"\r": "enter",
    b"\n": "enter",
    b"\t": "tab",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x15": "ctrl-u",
    b"\x0c": "ctrl-l",
    b"q": "q",
    b" ": " ",
    "é".encode(): "é",
    "€".encode(): "€",
    "😀".encode(): "😀",
}
UNKNOWN = (b"\x1b[15~", b"\x1b[200~", b"\x1b[<0;3;4M", b"\x1b[I", b"\x00", b"\x1f")


@pytest.mark.parametrize(("data", "key"), SEQUENCES.items())
def test_what_terminals_send_is_one_key(data: bytes, key: str) -> None:
    assert decode_keys(data) == ([key], b"")


@pytest.mark.parametrize("data", UNKNOWN)
def test_what_means_no_key_of_ours_is_passed_over(data: bytes) -> None:
    assert decode_keys(data + b"q") == (["q"], b"")


@given(
    pressed=st.lists(st.sampled_from([*SEQUENCES.items(), *((data, "") for data in UNKNOWN)]), max_size=12),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_keys_do_not_depend_on_how_their_bytes_are_cut(
    pressed: list[tuple[bytes, str]], cuts: list[int]
) -> None:
    data = b"".join(sent for sent, _ in pressed)
    keys, rest = [], b""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        found, rest = decode_keys(rest + data[start:end])
        keys += found
    found, rest = decode_keys(rest, is_all=True)
    assert [*keys, *found] == [key for _, key in pressed if key]
    assert rest == b""


def test_an_escape_that_nothing_follows_is_the_key() -> None:
    assert decode_keys(b"\x1b") == ([], b"\x1b")
    assert decode_keys(b"\x1b", is_all=True) == (["escape"], b"")
    assert decode_keys(b"\x1b\x1b[A") == (["escape", "up"], b"")
    assert decode_keys(b"\x1bq") == (["escape", "q"], b"")
    assert decode_keys(b"\x1b[", is_all=True) == (["escape", "["], b"")


@given(data=st.binary(max_size=40), is_all=st.booleans())
def test_any_bytes_are_taken_and_what_is_left_is_short(data: bytes, is_all: bool) -> None:
    keys, rest = decode_keys(data, is_all=is_all)
    assert all(keys)
    assert len(rest) <= 45
    if is_all:
        assert rest == b""
    assert not decode_keys(rest, is_all=True)[1]
