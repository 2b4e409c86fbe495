"""Bodies: whether a request's can be sent once more, and for how long a response's may go on.

A small body that has come whole is bytes in memory and can be sent again; any other is handed on piece by
piece, and only as long as nobody has read from it can another backend be tried with it.
"""

from __future__ import annotations

import asyncio
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


class DeadlineBody(httpx.AsyncByteStream):
    """The body of a response that is broken off with `httpx.ReadTimeout` at a time of the loop's clock."""

    def __init__(self, stream: httpx.AsyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while (piece := await self._take(pieces)) is not None:
            yield piece

    async def _take(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        try:
            # What is there already comes without a wait, which a time-out alone would never end.
            if asyncio.get_running_loop().time() >= self._deadline:
                raise TimeoutError
            async with asyncio.timeout_at(self._deadline):
                return await anext(pieces, None)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the time for the whole exchange is over") from error

    async def aclose(self) -> None:
        """Close the stream behind it."""
        await self._stream.aclose()


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
