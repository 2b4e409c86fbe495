"""What requests feel while the database is locked: nothing, and their rows follow.

    python -m tests.bench.bench_faults [--seconds 30] [--rate 400]

Requests come at a fixed rate over 16 connections, for as long before the lock as during it and after it. The
lock is SQLite's own, held by a connection of another process.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

from tests.bench.load import PLAIN, await_answer, build_request, read_response
from tests.bench.servers import START_SECONDS_MAX, Server, describe_machine, run_gateway, run_module

CONNECTIONS = 16


async def send_at_rate(server: Server, *, seconds: float, rate: float) -> list[float]:
    """Send so many requests a second, and return how long each took, in seconds."""
    parts, request = urlsplit(server.url), build_request(server.url, server.key, PLAIN).build(0)
    took: list[float] = []
    numbers = iter(range(int(seconds * rate)))
    began = time.perf_counter()

    async def work() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            started = time.perf_counter()
            writer.write(request)
            await read_response(reader)
            took.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return took


def count_rows(path: Path) -> int:
    """Return how many requests have ended."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT COUNT(*) FROM log_facts WHERE took_ms IS NOT NULL"
        return int(connection.execute(query).fetchone()[0])


def describe(title: str, took: list[float]) -> str:
    """Return a line of the table."""
    p99 = quantiles(took, n=100)[98]
    return f"{title:18}{len(took):10}{median(took) * 1e3:10.2f}{p99 * 1e3:10.2f}{max(took) * 1e3:10.2f}"


def measure(server: Server, database: Path, seconds: float, rate: float) -> None:
    """Measure the three parts and print."""
    print(f"{'':18}{'requests':>10}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    sent = 0
    for title in ("before", "database locked", "after"):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            if title == "database locked":
                other.execute("BEGIN EXCLUSIVE")
            took = asyncio.run(send_at_rate(server, seconds=seconds, rate=rate))
        print(describe(title, took))
        sent += len(took)
        if title == "database locked":
            released = time.perf_counter()
            while count_rows(database) < sent:
                time.sleep(0.05)
            print(f"{'':18}all {sent} rows were there {time.perf_counter() - released:.1f} s after the lock")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=400)
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        mock = stack.enter_context(run_module("mock", folder / "mock", "fastgate_cli", "mock"))
        gateway = stack.enter_context(run_gateway("gateway", folder, mock.origin))
        # Its supervisor listens before there is a worker.
        await_answer(gateway, build_request(gateway.url, gateway.key, PLAIN), START_SECONDS_MAX)
        measure(gateway, folder / "data" / "fastgate.db", options.seconds, options.rate)


if __name__ == "__main__":
    main()
