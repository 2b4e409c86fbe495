"""Thousands of requests whose clients leave at random moments: no task and no connection stays behind.

`tests/hardening/test_leaving_clients.py` looks at a gateway's process from outside; its tasks can be counted
only from within.
"""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import suppress
from typing import Any

import pytest

from proxy.http1.connection import ClientConnection
from proxy.store.routes import NewRoute

Fixture = Any
REQUESTS, AT_ONCE, SEED = 3_000, 100, 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = (*[b"5\r\nevent\r\n"] * 5, b"0\r\n\r\n")


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with a short stream, piece by piece."""
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"content-length: 5\r\n" in head:
                await reader.readexactly(5)
            for piece in (HEAD, *PIECES):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()


async def leave(port: int, request: bytes, chance: random.Random) -> None:
    """Send a request, or the beginning of one, and leave at some point, with a FIN or a RST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(request[: chance.choice((len(request), len(request), chance.randrange(len(request))))])
        await writer.drain()
        for _ in range(chance.randrange(6)):
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(64), chance.random() / 100)
    writer.transport.abort() if chance.random() < 0.5 else writer.close()


async def leave_often(port: int, request: bytes) -> None:
    chance, left = random.Random(SEED), iter(range(REQUESTS))

    async def visit() -> None:
        for _ in left:
            await leave(port, request, chance)

    await asyncio.gather(*(visit() for _ in range(AT_ONCE)))


def count_connections() -> int:
    """Count the connections that anything still refers to."""
    gc.collect()
    return sum(isinstance(each, ClientConnection) for each in gc.get_objects())


@pytest.mark.timeout(120)
def test_nobody_who_leaves_leaves_a_task_or_a_connection(make_gate: Fixture) -> None:
    async def play(gate_port: int, listener: asyncio.Server, request: bytes) -> None:
        async with listener:
            await leave_often(gate_port, request)

    async def run() -> Fixture:
        listener = await asyncio.start_server(stream, "127.0.0.1", 0, backlog=1024)
        port = listener.sockets[0].getsockname()[1]
        gate = await asyncio.to_thread(make_gate, routes=[NewRoute("/v1/*", f"127.0.0.1:{port}")])
        await asyncio.to_thread(gate.ask, "/elsewhere")  # the server's own tasks are all there then
        gate.hang_up()
        before = await asyncio.to_thread(gate.count_tasks)
        request = gate.head(method="POST", headers=["content-length: 5"]) + b"hello"
        await play(gate.port, listener, request)
        await asyncio.to_thread(gate.wait_until, lambda: gate.count_tasks() <= before, 10)
        await asyncio.to_thread(gate.wait_until, lambda: len(gate.ends()) == len(gate.begins()), 10)
        assert len(gate.begins()) > REQUESTS // 4

        return gate

    others = count_connections()  # of tests before this one, which something still holds
    gate = asyncio.run(run())
    # What the clients' loop left open is closed by its end, and the gateway has yet to hear of it.
    gate.wait_until(lambda: count_connections() <= others, 10)
