"""Bodies: which are taken into memory, which can be sent twice, and how long one may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.relay.bodies import READ_AHEAD_BYTES_MAX, BytesBody, DeadlineBody, read_ahead


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, which says when it has been read to its end."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.taken = 0
        self.is_at_end = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece
        self.is_at_end = True


async def collect(body: httpx.AsyncByteStream) -> bytes:
    return b"".join([piece async for piece in body])


@given(pieces=st.lists(st.binary(min_size=1, max_size=20), max_size=4), is_declared=st.booleans())
def test_whatever_is_read_ahead_the_body_stays_the_same(pieces: list[bytes], is_declared: bool) -> None:
    source, whole = Pieces(*pieces), b"".join(pieces)

    async def test() -> None:
        body = await read_ahead(source, len(whole) if is_declared else None)
        assert body.is_replayable
        assert isinstance(body, BytesBody) is (is_declared and len(pieces) < 2)
        assert await collect(body) == whole
        assert source.is_at_end
        assert body.is_replayable is isinstance(body, BytesBody)

    asyncio.run(test())


@pytest.mark.parametrize("length", [None, READ_AHEAD_BYTES_MAX + 1])
def test_a_long_body_is_not_touched(length: int | None) -> None:
    async def test() -> None:
        source = Pieces(b"x")
        await read_ahead(source, length)
        assert source.taken == 0

    asyncio.run(test())


def test_a_body_that_comes_slowly_is_not_waited_for() -> None:
    async def test() -> None:
        source = Pieces(b"first", b"second")
        body = await read_ahead(source, 11)
        assert source.taken == 1
        assert await collect(body) == b"firstsecond"

    asyncio.run(test())


def test_a_body_in_memory_can_be_read_again_and_again() -> None:
    async def test() -> None:
        body = BytesBody(b"abc")
        assert [await collect(body), await collect(body)] == [b"abc", b"abc"]

    asyncio.run(test())


def test_a_response_is_broken_off_when_its_time_is_over_even_if_all_of_it_is_there() -> None:
    async def test() -> None:
        now = asyncio.get_running_loop().time()
        assert await collect(DeadlineBody(Pieces(b"a", b"b"), now + 60)) == b"ab"
        with pytest.raises(httpx.ReadTimeout):
            await collect(DeadlineBody(Pieces(b"a", b"b"), now))

    asyncio.run(test())
