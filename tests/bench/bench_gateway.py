"""What a plain request costs, and what the gateway adds to the first byte of a stream.

    python -m tests.bench.bench_gateway [--requests 3000] [--rounds 5] [--rate-limit 0]

Everything is measured in one run, in turn, over several rounds; the figures are medians of the rounds. CPU is
that of the server's processes, user and system, all their threads: the gateway's includes its recorder.
The gateway runs with key check, a rate limit, a hundred routes, header injection and audit with headers; its
own share is the difference to the same transport and server without any of that (`forward` in apps.py).
`hello` is a bare Hypercorn that answers at once; `audit off` is the same gateway without audit.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from tests.bench.load import Result, build_request, send_requests
from tests.bench.servers import RATE_LIMIT, Server, describe_machine, prepare_gateway, run

PLAIN = b'{"model":"mock","messages":[{"role":"user","content":"What is a gateway for?"}]}'
STREAMED = PLAIN[:-1] + b',"stream":true}'


def start_all(stack: ExitStack, folder: Path, rate_limit: int = RATE_LIMIT) -> tuple[list[Server], str]:
    """Start mock, hello, forwarder and gateway; return them and a key."""
    mock = stack.enter_context(run("mock, direct", folder, "-m", "fastgate_cli", "mock", "--port", "0"))
    key = prepare_gateway(folder, mock.origin, rate_limit)
    unaudited = folder / "unaudited"
    prepare_gateway(unaudited, mock.origin, rate_limit, key=key, more="audit: {enabled: false}\n")
    return [
        stack.enter_context(run("hello", folder, "-m", "tests.bench.apps", "hello")),
        mock,
        stack.enter_context(run("forward", folder, "-m", "tests.bench.apps", "forward", mock.origin)),
        stack.enter_context(run("gateway", folder, "-m", "fastgate_cli", "serve", "--port", "0")),
        stack.enter_context(run("audit off", unaudited, "-m", "fastgate_cli", "serve", "--port", "0")),
    ], key


def measure_cpu(server: Server, key: str, requests: int) -> float:
    """Return CPU microseconds per plain request at 32 connections."""
    request = build_request(server.url, key, PLAIN)
    before = server.cpu_seconds()
    asyncio.run(send_requests(server.url, request, count=requests, concurrency=32))
    time.sleep(0.5)  # the recorder's last batch belongs to these requests
    return (server.cpu_seconds() - before) / requests * 1e6


def measure_first_byte(server: Server, key: str, requests: int) -> Result:
    """Return latencies of streamed requests, one at a time."""
    request = build_request(server.url, key, STREAMED)
    return asyncio.run(send_requests(server.url, request, count=requests, concurrency=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate-limit", type=int, default=RATE_LIMIT, help="of the key; 0 is none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        report(*start_all(stack, Path(name), options.rate_limit), options.requests, options.rounds)


def report(servers: list[Server], key: str, requests: int, rounds: int) -> None:
    """Measure and print."""
    cpu: dict[str, list[float]] = {server.name: [] for server in servers}
    first: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        measure_cpu(server, key, requests // 3)  # warm-up
    for number in range(rounds):
        # In turns from either end: a machine that slows down does so for all of them.
        for server in servers if number % 2 else reversed(servers):
            cpu[server.name].append(measure_cpu(server, key, requests))
        for server in servers[1:]:
            first[server.name] += measure_first_byte(server, key, 200).first_bytes
    print(describe_machine())
    print(f"\n{'plain request, 32 connections':32}{'CPU us/request':>16}{'min':>8}{'max':>8}{'of hello':>10}")
    hello = median(cpu["hello"])
    for name, values in cpu.items():
        middle = median(values)
        print(f"{name:32}{middle:16.0f}{min(values):8.0f}{max(values):8.0f}{middle / hello:10.2f}")
    for title, other in (("gateway less forward", "forward"), ("of that, audit", "audit off")):
        shares = [whole - bare for whole, bare in zip(cpu["gateway"], cpu[other], strict=True)]
        print(f"{title:32}{median(shares):16.0f}{min(shares):8.0f}{max(shares):8.0f}")
    ratios = [whole / bare for whole, bare in zip(cpu["gateway"], cpu["audit off"], strict=True)]
    print(f"{'gateway, of audit off':32}{median(ratios):16.2f}{min(ratios):8.2f}{max(ratios):8.2f}")
    print(f"\n{'stream, 1 connection':32}{'TTFB p50 ms':>16}{'p99 ms':>8}{'added p50':>10}")
    direct = median(first["mock, direct"]) * 1000
    for name, values in first.items():
        if values:
            p50, p99 = median(values) * 1000, quantiles(values, n=100)[98] * 1000
            print(f"{name:32}{p50:16.2f}{p99:8.2f}{p50 - direct:10.2f}")


if __name__ == "__main__":
    main()
