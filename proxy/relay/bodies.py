"""Request bodies on their way to a backend, and whether they can be sent once more.

A small body that has come whole is bytes in memory and can be sent again; any other is handed on piece by
piece, and only as long as nobody has read from it can another backend be tried with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

READ_AHEAD_BYTES_MAX = 64 * 1024


class BytesBody(httpx.AsyncByteStream):
    """A body that is in memory. `is_replayable` is always true."""

    __slots__ = ("data",)

    is_replayable = True

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data


class StreamedBody(httpx.AsyncByteStream):
    """A body that is still coming: the pieces taken from it so far, then the rest. Read once."""

    __slots__ = ("_rest", "_taken", "is_replayable")

    def __init__(self, rest: AsyncIterator[bytes], *taken: bytes) -> None:
        self.is_replayable = True
        self._rest = rest
        self._taken = taken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.is_replayable = False
        for piece in self._taken:
            yield piece
        async for piece in self._rest:
            yield piece


async def read_ahead(body: httpx.AsyncByteStream, length: int | None) -> BytesBody | StreamedBody:
    """Return a body, taken into memory if it is small and its first piece is all of it.

    `length` is in bytes, None if it is not known. Waits for that first piece; raises what `body` raises.
    """
    pieces = aiter(body)
    if length is None or length > READ_AHEAD_BYTES_MAX:
        return StreamedBody(pieces)
    first = await anext(pieces, b"")
    if len(first) < length:
        return StreamedBody(pieces, first)
    # Nothing more comes; but the body may have something to do at its end.
    async for piece in pieces:
        return StreamedBody(pieces, first, piece)
    return BytesBody(first)
