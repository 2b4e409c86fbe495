"""Compressed bodies: what is decoded for a rule, and what is refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from backports import zstd

from proxy.errors import InvalidInputError
from proxy.policy.content_encodings import (
    BodyTooLargeError,
    decode_body,
    find_encoding_fault,
    read_encodings,
)

TEXT = b'{"model": "gpt-4o"}' * 50
ENCODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_body_is_decoded_up_to_the_bound_and_not_beyond(encoding: bytes) -> None:
    raw = ENCODERS[encoding](TEXT)
    assert decode_body(raw, encoding, len(TEXT)) == TEXT
    with pytest.raises(BodyTooLargeError, match=f"larger than {len(TEXT) - 1} bytes.*inspect_body_size"):
        decode_body(raw, encoding, len(TEXT) - 1)


@pytest.mark.parametrize("encoding", ENCODERS)
def test_bomb_is_refused_without_being_decoded(encoding: bytes) -> None:
    bomb = ENCODERS[encoding](bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(BodyTooLargeError):
        decode_body(bomb, encoding, 1_000)


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw[:5],
        lambda raw: raw + b"x",
        lambda raw: raw + raw,
        lambda raw: b"x" + raw,
        lambda raw: raw[:-6] + b"abcdef",
        lambda raw: TEXT,
    ],
)
def test_what_is_not_one_whole_stream_is_refused(encoding: bytes, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidInputError, match=f"it is not valid {encoding.decode()}"):
        decode_body(spoil(ENCODERS[encoding](TEXT)), encoding, 100_000)


def test_zstd_that_asks_for_too_much_memory_is_refused() -> None:
    level, window = zstd.CompressionParameter.compression_level, zstd.CompressionParameter.window_log
    wide = zstd.ZstdCompressor(options={level: 1, window: 27})
    raw = wide.compress(bytes(20 << 20)) + wide.flush()
    with pytest.raises(InvalidInputError):
        decode_body(raw, b"zstd", 32 << 20)


@pytest.mark.parametrize(
    ("values", "encodings"),
    [
        ([], []),
        ([b"identity", b""], []),
        ([b" GZip "], [b"gzip"]),
        ([b"gzip, identity"], [b"gzip"]),
        ([b"gzip", b"zstd"], [b"gzip", b"zstd"]),
    ],
)
def test_encodings_are_read(values: list[bytes], encodings: list[bytes]) -> None:
    assert read_encodings(values) == encodings


@pytest.mark.parametrize(
    ("encodings", "told"),
    [
        ([], None),
        ([b"gzip"], None),
        ([b"zstd"], None),
        ([b"br"], "gzip, deflate and zstd"),
        ([b"s3cret"], "gzip, deflate and zstd"),
        ([b"gzip", b"gzip"], "more than once"),
    ],
)
def test_what_cannot_be_decoded_is_known_before_the_body_is_read(
    encodings: list[bytes], told: str | None
) -> None:
    fault = find_encoding_fault(encodings)
    assert (fault is None) is (told is None)
    if fault is not None:
        assert told is not None
        assert told in fault.message
        assert "s3cret" not in fault.message
