"""Comments in a silent event stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from proxy.gateway.keepalive import COMMENT, StreamKeepAlive, may_hold_comments

SSE = (b"content-type", b"text/event-stream; charset=utf-8")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([SSE], True),
        ([(b"content-type", b"Text/Event-Stream")], True),
        ([(b"content-type", b"application/json")], False),
        ([], False),
        ([SSE, (b"content-length", b"5")], False),
        ([SSE, (b"content-encoding", b"gzip")], False),
    ],
)
def test_only_an_event_stream_of_open_length_can_hold_comments(
    headers: list[tuple[bytes, bytes]], expected: bool
) -> None:
    assert may_hold_comments(headers) is expected


def collect(*chunks: bytes) -> list[bytes]:
    """Return what is sent in the silence after these chunks, until a comment has come or time is up."""

    async def run() -> list[bytes]:
        sent: list[bytes] = []
        told = asyncio.Event()

        def send(comment: bytes) -> None:
            sent.append(comment)
            told.set()

        keep_alive = StreamKeepAlive(send, 0.01)
        keep_alive.start()
        for chunk in chunks:
            keep_alive.take(chunk)
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), 0.2)
        keep_alive.stop()
        return sent

    return asyncio.run(run())


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (b"data: 1\n\n",),
        (b"data: 1\r\n\r\n",),
        (b"data: 1\r\r",),
        (b"data: 1\n", b"\n"),
        (b"a\r", b"\n\r", b"\n"),
    ],
)
def test_silence_between_events_is_filled(chunks: tuple[bytes, ...]) -> None:
    assert set(collect(*chunks)) == {COMMENT}


@pytest.mark.parametrize(
    "chunks", [(b"data: 1\n",), (b"data: 1",), (b"data: 1\n\n", b"d"), (b"data: 1\r\n",)]
)
def test_silence_inside_an_event_is_not(chunks: tuple[bytes, ...]) -> None:
    assert collect(*chunks) == []
