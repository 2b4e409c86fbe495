"""A key's limit, with several workers and ten thousand requests that come as fast as they can."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.e2e.processes import Fastgate

REQUESTS, CONNECTIONS = 10_000, 100
RATE, BURST = 600, 500


async def ask_all(url: str, key: str) -> Counter[int]:
    """Send the requests over keep-alive connections; return how many answers had which status."""
    parts, statuses, left = urlsplit(url), Counter[int](), iter(range(REQUESTS))
    request = f"GET /v1/models HTTP/1.1\r\nhost: {parts.netloc}\r\nx-api-key: {key}\r\n\r\n".encode()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in left:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            statuses[int(head[9:12])] += 1
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return statuses


@pytest.mark.timeout(120)
def test_workers_together_admit_what_the_limit_says_and_not_one_more(
    make_fastgate: Callable[[], Fastgate],
) -> None:
    fastgate = make_fastgate()
    mock = fastgate.start("mock", "--port", "0")
    key = fastgate.json("keys", "create", "--rate-limit", str(RATE), "--burst", str(BURST))["key"]
    fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url)
    gateway = fastgate.start("serve", "--port", "0", "--workers", "2")
    started = time.monotonic()
    statuses = asyncio.run(ask_all(gateway.url, key))
    elapsed = time.monotonic() - started
    assert sum(statuses.values()) == REQUESTS
    assert set(statuses) == {200, 429}
    # An idle key has its burst at once, and one more for each interval that has passed.
    assert BURST <= statuses[200] <= BURST + elapsed * RATE / 60 + 1
