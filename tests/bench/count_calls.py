"""How many files and functions of `proxy/` one plain POST passes in a worker, from socket to socket.

    python -m tests.bench.count_calls [--list]

A gateway is started as a user would start it, with everything on. Its worker is given a module
(`tracing/sitecustomize.py`) that has Python's profiler count its main thread's calls between two signals.
In between exactly one request is sent, on a connection that has served others. Some work of a worker comes by
the clock and may fall into that time: of several such requests the one with the fewest calls counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import PLAIN, Answer, await_answer, build_request, connect
from tests.bench.peers import run_plain_backend
from tests.bench.servers import ROOT, BenchError, Server, find_program, list_tree, run_gateway

WARM_UPS, TRIES = 10, 5
WAIT_SECONDS_MAX = 10.0
# What an answered request leaves to do in its turn of the loop, such as the end of its record.
AFTER_SECONDS = 0.05
TRACING = Path(__file__).parent / "tracing"
# Whether the head of each request is another.
KINDS = {"the same head again": False, "a head not seen before": True}
VARIABLE = "BENCH_CALLS_FILE"  # none of FastGate's own, which it would take for a setting


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls by file below `proxy/` and by function; a comprehension is none."""

    calls: dict[str, dict[str, int]]

    @property
    def files(self) -> int:
        return len(self.calls)

    @property
    def functions(self) -> int:
        return sum(len(functions) for functions in self.calls.values())

    @property
    def total(self) -> int:
        return sum(sum(functions.values()) for functions in self.calls.values())


def find_worker(gateway: Server) -> int:
    """Return the process id of its one worker; raises `BenchError`."""
    for pid in list_tree(gateway.process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.startswith(b"proxy.") and word.endswith(b".worker") for word in words):
            return pid
    raise BenchError("no process of the gateway runs a module proxy...worker")


def count_one(worker: int, sock: socket.socket, data: bytes, path: Path) -> Counts:
    """Send one request and return what was called meanwhile."""
    on, done = path.with_suffix(".on"), path.with_suffix(".json")
    for leftover in (on, done):
        leftover.unlink(missing_ok=True)
    os.kill(worker, signal.SIGUSR1)
    await_file(on)
    exchange(sock, data)
    time.sleep(AFTER_SECONDS)
    os.kill(worker, signal.SIGUSR2)
    await_file(done)
    return Counts(json.loads(done.read_text()))


def exchange(sock: socket.socket, data: bytes) -> None:
    """Send a request and read its answer; raises `BenchError` unless that is a 2xx."""
    sock.sendall(data)
    answer = Answer(0, 0.0, 0.0)
    while not answer.is_whole():
        received = sock.recv(65536)
        if not received:
            raise BenchError("the gateway closed the connection")
        answer.take(received, time.perf_counter(), "the gateway")


def await_file(path: Path) -> None:
    """Wait until the worker has written a file; raises `BenchError` if it does not."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not path.exists():
        if time.monotonic() > deadline:
            raise BenchError(
                "the worker does not answer a signal: it was not started with the tracing module"
            )
        time.sleep(0.005)


def count_kinds(gateway: Server, path: Path) -> dict[str, Counts]:
    """Return the fewest calls of a request, for a head that was seen before and for one that was not."""
    # Its supervisor listens before there is a worker.
    await_answer(gateway, build_request(gateway.url, gateway.key, PLAIN), WAIT_SECONDS_MAX)
    worker = find_worker(gateway)
    found: dict[str, Counts] = {}
    for name, is_numbered in KINDS.items():
        request = build_request(gateway.url, gateway.key, PLAIN, is_numbered=is_numbered)
        with connect(gateway) as sock:
            for number in range(WARM_UPS):
                exchange(sock, request.build(number))
            tries = [count_one(worker, sock, request.build(WARM_UPS + n), path) for n in range(TRIES)]
        found[name] = min(tries, key=lambda counts: counts.total)
    return found


def report(found: dict[str, Counts], *, is_list: bool) -> None:
    """Print the counts, and what was called."""
    print(f"{'one plain POST':28}{'files':>8}{'functions':>12}{'calls':>8}")
    for name, counts in found.items():
        print(f"{name:28}{counts.files:8}{counts.functions:12}{counts.total:8}")
    for name, counts in found.items() if is_list else ():
        print(f"\n{name}")
        for file, functions in sorted(counts.calls.items()):
            print(f"  {file}")
            for function, calls in functions.items():
                print(f"    {calls:4} {function}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print each function with its calls")
    options = parser.parse_args()
    if not find_program("nginx"):
        sys.exit("nginx is needed as the backend: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="bench-calls-") as name:
        folder = Path(name)
        path = folder / "calls"
        environ = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(TRACING))), VARIABLE: str(path)}
        try:
            with (
                run_plain_backend(folder / "backend") as backend,
                run_gateway("gateway", folder / "gateway", backend.origin, environ=environ) as gateway,
            ):
                report(count_kinds(gateway, path), is_list=options.list)
        except (BenchError, OSError) as error:
            sys.exit(f"count_calls: {error}")


if __name__ == "__main__":
    main()
