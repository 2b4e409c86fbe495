"""What the backend does with a request: each play answers one, and returns when it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.hardening.arrivals import Arrival

Play = Callable[[Arrival], Awaitable[None]]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def answer_plainly(arrival: Arrival) -> None:
    """Answer with the target that was asked for, so that an answer can be told from any other."""
    await arrival.read_body()
    await arrival.link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(arrival.target))
    if arrival.method != b"HEAD":
        await arrival.link.send(arrival.target)


async def hold(arrival: Arrival) -> None:
    """Take the request, and answer never."""
    await arrival.read_body()
    await arrival.link.wait_closed()


def say(answer: bytes) -> Play:
    """Answer with these bytes."""

    async def play(arrival: Arrival) -> None:
        await arrival.read_body()
        await arrival.link.send(answer)

    return play


def stream_pieces(piece: bytes, *, count: int | None = None, pause_seconds: float = 0) -> Play:
    """Answer with a chunked event stream of one piece over and over; without `count` it never ends."""
    chunk = b"%x\r\n%b\r\n" % (len(piece), piece)

    async def play(arrival: Arrival) -> None:
        await arrival.read_body()
        await arrival.link.send(STREAM_HEAD)
        left = -1 if count is None else count
        while left:
            await arrival.link.send(chunk)
            left -= 1
            if pause_seconds:
                with suppress(TimeoutError):
                    await asyncio.wait_for(arrival.link.wait_closed(), pause_seconds)
                    raise EOFError
        await arrival.link.send(b"0\r\n\r\n")

    return play
