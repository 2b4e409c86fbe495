"""A small HTTP/1.1 load generator: keep-alive connections, one request at a time on each.

It is a process of its own, and its CPU is in no figure.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Result:
    """Latencies in seconds: to the first body byte, and to the end of the response."""

    first_bytes: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)


def build_request(url: str, key: str, body: bytes) -> bytes:
    """Return the bytes of one POST with a JSON body."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: fastgate-bench\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_requests(url: str, request: bytes, *, count: int, concurrency: int) -> Result:
    """Send `count` requests over `concurrency` connections; every response has to be a 200."""
    parts = urlsplit(url)
    result = Result()
    left = iter(range(count))

    async def work() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in left:
            started = time.perf_counter()
            writer.write(request)
            first = await read_response(reader)
            result.first_bytes.append(first - started)
            result.totals.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return result


async def read_streams(url: str, request: bytes, count: int) -> list[float]:
    """Read `count` streams that are open together to their ends; return the seconds to each first byte.

    They begin one after the other within a tenth of a second, and each has to end as it should.
    """
    parts = urlsplit(url)

    async def read(number: int) -> float:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.sleep(0.1 * number / count)
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(head.decode())
        data = await reader.read(65536)
        first = time.perf_counter() - started
        tail = data
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = await reader.read(65536)
            if not data:
                raise RuntimeError("a stream broke off")
            tail = tail[-7:] + data
        writer.close()
        return first

    return await asyncio.gather(*map(read, range(count)))


async def read_response(reader: asyncio.StreamReader) -> float:
    """Read one response, and return when its first body byte had come."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    if b"content-length:" in head:
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        return time.perf_counter()
    first = 0.0
    size = -1
    while size != 0:
        size = int(await reader.readline(), 16)
        await reader.readexactly(size + 2)
        first = first or time.perf_counter()
    return first
