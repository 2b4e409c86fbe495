"""A backend that streams events: cheap, steady, and the same for every server that is measured.

    python -m tests.bench.stream_backend --port 9000 --interval 0.05

Whatever path is asked for, the answer is an event stream, chunked, of as many events as `max_tokens` of
the request says, one every `interval` seconds, then `[DONE]`. Each stream keeps its own time, so that events
of many streams are spread and not sent in one burst.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import cast

import uvloop

from tests.ports import HOST

BACKLOG = 2048
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
)
# FerroGW sends the name that replaced `max_tokens` in OpenAI's API.
_EVENTS = re.compile(rb'"max_(?:completion_)?tokens"\s*:\s*(\d+)')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_EVENT_CHUNK, _LAST_CHUNKS = _chunk(_EVENT), _chunk(_DONE) + b"0\r\n\r\n"


class StreamProtocol(asyncio.Protocol):
    """One connection: one stream at a time."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._left = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = _LENGTH.search(head)
        if b"0\r\n\r\n" not in body and len(body) < int(length[1] if length else b"1"):
            return
        self._received = b""
        events = _EVENTS.search(body)
        self._left = int(events[1]) if events else 1
        # Not at once, as no model is that quick: Traefik breaks off some answers that come before it has seen
        # its request off ("read: use of closed network connection").
        self._due = self._loop.time() + self._interval
        self._timer = self._loop.call_at(self._due, self._begin)

    def _begin(self) -> None:
        self._transport.write(_HEAD)
        self._emit()

    def _emit(self) -> None:
        if self._left == 0:
            self._transport.write(_LAST_CHUNKS)
            return
        self._left -= 1
        self._transport.write(_EVENT_CHUNK)
        self._due += self._interval
        self._timer = self._loop.call_at(self._due, self._emit)


async def serve(port: int, interval: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StreamProtocol(interval), HOST, port, backlog=BACKLOG)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval", type=float, default=0.05, help="seconds between two events of a stream")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.interval))


if __name__ == "__main__":
    main()
