"""Heads of answers as rules see them: no I/O."""

from __future__ import annotations

import httpx
import pytest

from proxy.relay.answers import HEAD_BYTES_MAX, HEADERS_MAX, check_size, is_framed


@pytest.mark.parametrize(
    ("headers", "version", "framed"),
    [
        ([], "1.1", False),
        ([(b"Content-Length", b"5")], "1.0", True),
        ([(b"X-Content-Length", b"5")], "1.1", False),
        ([(b"TRANSFER-ENCODING", b" Chunked ")], "1.1", True),
    ],
)
def test_a_head_says_whether_its_body_has_an_end(
    headers: list[tuple[bytes, bytes]], version: str, framed: bool
) -> None:
    assert is_framed(headers, version) is framed


@pytest.mark.parametrize(
    "value", [b"", b"gzip", b"chunked,", b"chunked, chunked", b"\x0bchunked", b"xchunked"]
)
def test_only_chunked_and_nothing_else_is_a_coding(value: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        is_framed([(b"transfer-encoding", value)], "1.1")


def test_a_length_beside_a_coding_is_refused() -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        is_framed([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")], "1.1")


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", ""])
def test_a_version_that_is_not_spoken_is_refused(version: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        is_framed([], version)


def test_a_head_may_be_as_long_as_its_limits_and_no_longer() -> None:
    pair = (b"x", b"y")
    check_size([pair] * HEADERS_MAX, HEAD_BYTES_MAX * 2)
    with pytest.raises(httpx.RemoteProtocolError):
        check_size([pair] * (HEADERS_MAX + 1), 0)
    with pytest.raises(httpx.RemoteProtocolError):
        check_size([(b"x", b"y" * HEAD_BYTES_MAX)], HEAD_BYTES_MAX * 2)
