"""A small HTTP/1.1 load generator: keep-alive connections, one request at a time on each.

It is a process of its own, and its CPU is in no figure.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
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
            first = await _read_response(reader)
            result.first_bytes.append(first - started)
            result.totals.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return result


async def _read_response(reader: asyncio.StreamReader) -> float:
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


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it, all their threads, user and system (proc(5))."""
    tree = _list_tree(pid)
    # Nanoseconds that the scheduler has counted: `stat` has ticks of ten milliseconds only.
    tasks = [task for process in tree for task in Path(f"/proc/{process}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _list_tree(pid: int) -> list[int]:
    # A child belongs to the thread that started it.
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [pid, *(below for child in children for below in _list_tree(child))]
