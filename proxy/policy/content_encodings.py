"""Request bodies in a content encoding (RFC 9110 section 8.4), decoded so that a rule can look at them.

What is decoded is bounded, so that a few bytes cannot fill the memory. It is one stream, whole, with nothing
behind it: Go reads on into a second one, zlib stops at the end of the first, and a rule has to see what the
backend will.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from proxy.errors import InvalidInputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PLAIN = (b"", b"identity")
_WINDOW_LOG_MAX = 23  # 8 MB of memory, which is what RFC 9659 allows over HTTP


class Decoder(Protocol):
    """What is used of a decompressor."""

    @property
    def eof(self) -> bool:
        """Tell whether the stream has come to its end."""

    @property
    def unused_data(self) -> bytes:
        """Return what stands behind it."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return so many bytes at most of what the data stands for."""


class BodyTooLargeError(InvalidInputError):
    """A body is larger than may be looked at once it is decoded."""

    status = 413
    code = "body_too_large"


def _make_zstd() -> Decoder:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})


_DECODERS: dict[bytes, Callable[[], Decoder]] = {
    b"gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    b"x-gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    b"deflate": zlib.decompressobj,
    b"zstd": _make_zstd,
}


def read_encodings(values: list[bytes]) -> list[bytes]:
    """Return the encodings that the values of `Content-Encoding` name, without `identity`, in lower case."""
    named = [token.strip().lower() for value in values for token in value.split(b",")]
    return [token for token in named if token not in _PLAIN]


def find_encoding_fault(encodings: list[bytes]) -> InvalidInputError | None:
    """Return why a body in these encodings cannot be decoded, or None if it can be tried."""
    if len(encodings) > 1:
        return InvalidInputError("it is compressed more than once")
    if encodings and encodings[0] not in _DECODERS:
        return InvalidInputError(
            "it is compressed in a way that the gateway cannot read; gzip, deflate and zstd it can"
        )
    return None


def decode_body(raw: bytes, encoding: bytes, size_max: int) -> bytes:
    """Return what a body in one encoding stands for.

    Raises `BodyTooLargeError` if that is larger than `size_max` bytes, `InvalidInputError` if it is not one
    whole stream.
    """
    decoder = _DECODERS[encoding]()
    try:
        decoded = decoder.decompress(raw, size_max + 1)
    except (zlib.error, zstd.ZstdError, EOFError):
        raise InvalidInputError(f"it is not valid {encoding.decode()}") from None
    if len(decoded) > size_max:
        raise BodyTooLargeError(
            f"the body is larger than {size_max:,} bytes once it is decompressed, "
            "which is what proxy.inspect_body_size allows"
        )
    if not decoder.eof:
        raise InvalidInputError(f"it is not valid {encoding.decode()}: it is cut short")
    if decoder.unused_data:
        raise InvalidInputError(f"it is not valid {encoding.decode()}: something follows its end")
    return decoded
