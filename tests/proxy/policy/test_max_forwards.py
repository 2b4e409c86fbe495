"""`Max-Forwards`: where a request ends, and what the next one is told."""

from __future__ import annotations

import pytest

from proxy.policy.max_forwards import count_down, is_used_up


@pytest.mark.parametrize(
    ("values", "used_up"),
    [
        ([], False),
        ([b"0"], True),
        ([b"00"], True),
        ([b"1"], False),
        ([b"5", b"0"], True),
        ([b""], False),
        ([b"-0"], False),
        ([b"0x0"], False),
        ([b"0" * 11], False),
        ([b"\xd9\xa0"], False),
    ],
)
def test_request_ends_here_when_none_is_left(values: list[bytes], used_up: bool) -> None:
    assert is_used_up([(b"max-forwards", value) for value in values]) is used_up


@pytest.mark.parametrize(("value", "left"), [(b"1", b"0"), (b"10", b"9"), (b"soon", b"soon")])
def test_next_one_is_told_of_one_less(value: bytes, left: bytes) -> None:
    headers = [(b"host", b"5"), (b"max-forwards", value)]
    assert count_down(headers) == [(b"host", b"5"), (b"max-forwards", left)]
