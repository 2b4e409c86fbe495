"""What ASGI has no message for, done to Hypercorn's own objects: ending a client's request in the middle.

An application that ends without the end of its answer has HTTP/1.1's connection closed by Hypercorn, and that
is right: the client misses the last chunk. Over HTTP/2 nothing at all is sent and the client waits for ever;
over HTTP/1.0 the end of the connection is the end of the answer. Where a server is another one, or has
changed, nothing is done here: it ends requests as it does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from proxy.gateway.asgi import Cut
from proxy.gateway.pages import Message, Send

SENDING_SECONDS = 1.0  # for what was answered before the end


async def cut_off(scope: Message, send: Send, cut: Cut) -> None:
    """Cut off the client of a request; `send` is what Hypercorn gave the application for it."""
    stream = getattr(send, "__self__", None)
    if not isinstance(stream, HTTPStream):
        return
    protocol = getattr(stream.send, "__self__", None)
    if isinstance(protocol, H2Protocol):
        await _reset_stream(protocol, stream.stream_id, cut)
    elif isinstance(protocol, H11Protocol) and (cut is Cut.STUCK or scope["http_version"] == "1.0"):
        server = getattr(protocol.send, "__self__", None)
        if isinstance(server, TCPServer) and cut is not Cut.UNWANTED:
            _reset_connection(server.writer)


def _reset_connection(writer: asyncio.StreamWriter) -> None:
    # Without this, closing is an orderly end, whatever the transport calls it.
    linger = struct.pack("ii", 1, 0)
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _reset_stream(protocol: H2Protocol, stream_id: int, cut: Cut) -> None:
    buffer = protocol.stream_buffers.get(stream_id)
    if buffer is not None and buffer.buffer and cut is Cut.BROKEN:
        with suppress(TimeoutError):
            async with asyncio.timeout(SENDING_SECONDS):
                await buffer.drain()
    # RFC 9113 section 8.1: without an error it only asks the client to send no more. Hypercorn ends the whole
    # connection when DATA comes for a stream that it has answered; after a reset, none comes.
    code = ErrorCodes.NO_ERROR if cut is Cut.UNWANTED else ErrorCodes.INTERNAL_ERROR
    with suppress(ProtocolError):
        protocol.connection.reset_stream(stream_id, code)
        await protocol._flush()
    if buffer is not None:
        await buffer.close()
        await protocol._window_updated(stream_id)
