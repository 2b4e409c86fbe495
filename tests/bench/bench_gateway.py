"""What the gateway costs: CPU per plain request, and time added to the first byte of a stream.

    python -m tests.bench.bench_gateway [--requests 3000] [--rounds 5]

Everything is measured in one run, in turn, over several rounds; the figures are medians of the rounds. CPU is
that of the server's processes, user and system, all their threads: the gateway's includes its recorder.
The gateway runs with key check, routes, header injection and audit with headers; CPU shares are the
difference to the same transport without any of that (`forward` in apps.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from tests.bench.load import Result, build_request, cpu_seconds, send_requests

ROOT = Path(__file__).parents[2]
PLAIN = b'{"model":"mock","messages":[{"role":"user","content":"What is a gateway for?"}]}'
STREAMED = PLAIN[:-1] + b',"stream":true}'
_ADDRESS = re.compile(r"listens on (http://\S+)")


@dataclass
class Server:
    """A server process and the URL that requests are sent to."""

    name: str
    process: subprocess.Popen[str]
    url: str


def start(name: str, folder: Path, *command: str) -> Server:
    """Start a server and wait until it says where it listens."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    for line in process.stderr:
        if match := _ADDRESS.search(line):
            return Server(name, process, match[1] + "/v1/chat/completions")
    raise RuntimeError(f"{name} did not start")


def run_fastgate(folder: Path, *arguments: str) -> str:
    """Run one command of the gateway's command line and return what it printed."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = [sys.executable, "-m", "fastgate_cli", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environ, check=True, capture_output=True, text=True
    ).stdout.strip()


def start_all(folder: Path) -> tuple[list[Server], str]:
    """Start mock, hello, forwarder and gateway; return them and a key."""
    mock = start("mock, direct", folder, "-m", "fastgate_cli", "mock", "--port", "0")
    origin = mock.url.removesuffix("/v1/chat/completions")
    key = run_fastgate(folder, "keys", "create", "--rate-limit", "0")
    injected = ("--set-header", "X-Team: bench", "--set-header", "Authorization: Bearer backend-key")
    run_fastgate(folder, "routes", "add", "--match", "/v1/*", "--to", origin, *injected)
    return [
        start("hello", folder, "-m", "tests.bench.apps", "hello"),
        mock,
        start("forward", folder, "-m", "tests.bench.apps", "forward", origin),
        start("gateway", folder, "-m", "fastgate_cli", "serve", "--port", "0"),
    ], key


def measure_cpu(server: Server, key: str, requests: int) -> float:
    """Return CPU microseconds per plain request at 32 connections."""
    request = build_request(server.url, key, PLAIN)
    before = cpu_seconds(server.process.pid)
    asyncio.run(send_requests(server.url, request, count=requests, concurrency=32))
    time.sleep(0.5)  # the recorder's last batch belongs to these requests
    return (cpu_seconds(server.process.pid) - before) / requests * 1e6


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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        servers, key = start_all(Path(name))
        try:
            report(servers, key, options.requests, options.rounds)
        finally:
            for server in servers:
                server.process.terminate()
                server.process.wait(10)


def report(servers: list[Server], key: str, requests: int, rounds: int) -> None:
    """Measure and print."""
    cpu: dict[str, list[float]] = {server.name: [] for server in servers}
    first: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        measure_cpu(server, key, requests // 3)  # warm-up
    for _ in range(rounds):
        for server in servers:
            cpu[server.name].append(measure_cpu(server, key, requests))
        for server in servers[1:]:
            first[server.name] += measure_first_byte(server, key, 200).first_bytes
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"\n{'plain request, 32 connections':32}{'CPU us/request':>16}{'min':>8}{'max':>8}{'of hello':>10}")
    hello = median(cpu["hello"])
    for name, values in cpu.items():
        middle = median(values)
        print(f"{name:32}{middle:16.0f}{min(values):8.0f}{max(values):8.0f}{middle / hello:10.2f}")
    shares = [whole - bare for whole, bare in zip(cpu["gateway"], cpu["forward"], strict=True)]
    print(f"{'gateway less forward':32}{median(shares):16.0f}{min(shares):8.0f}{max(shares):8.0f}")
    print(f"\n{'stream, 1 connection':32}{'TTFB p50 ms':>16}{'p99 ms':>8}{'added p50':>10}")
    direct = median(first["mock, direct"]) * 1000
    for name, values in first.items():
        if values:
            p50, p99 = median(values) * 1000, quantiles(values, n=100)[98] * 1000
            print(f"{name:32}{p50:16.2f}{p99:8.2f}{p50 - direct:10.2f}")


if __name__ == "__main__":
    main()
