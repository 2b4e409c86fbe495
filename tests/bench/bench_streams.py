"""What streams cost: CPU per event, time added to the first byte, and memory with many of them open.

    python -m tests.bench.bench_streams [--rounds 5] [--events 25]

`direct` is a bare Hypercorn application that emits the events; `gateway` is in front of the same application,
with key check, a rate limit, a hundred routes, header injection and audit with headers; `audit off` is the
same without audit. All in one run, in turn. Events come at 10 a second on each stream.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from tests.bench.load import build_request, read_streams
from tests.bench.servers import Server, describe_machine, prepare_gateway, run

STREAMS_FOR_CPU, STREAMS_FOR_FIRST_BYTE, STREAMS_FOR_MEMORY = 400, 50, 1000


def measure_cpu(server: Server, key: str, events: int) -> float:
    """Return CPU microseconds for each event, with everything that the streams' requests cost."""
    before = server.cpu_seconds()
    request = build_request(server.url, key, b'{"events":%d,"interval":0.1}' % events)
    asyncio.run(read_streams(server.url, request, STREAMS_FOR_CPU))
    time.sleep(0.5)  # the recorder's last batch belongs to these streams
    return (server.cpu_seconds() - before) / (events * STREAMS_FOR_CPU) * 1e6


def measure_first_bytes(server: Server, key: str) -> list[float]:
    """Return the times to the first byte, in milliseconds, of streams that are open together."""
    request = build_request(server.url, key, b'{"events":20,"interval":0.05}')
    return [
        seconds * 1000 for seconds in asyncio.run(read_streams(server.url, request, STREAMS_FOR_FIRST_BYTE))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        direct = stack.enter_context(run("direct", folder, "-m", "tests.bench.apps", "emit"))
        key = prepare_gateway(folder, direct.origin)
        unaudited = folder / "unaudited"
        prepare_gateway(unaudited, direct.origin, key=key, more="audit: {enabled: false}\n")
        gateway, off = (
            stack.enter_context(run(name, place, "-m", "fastgate_cli", "serve", "--port", "0"))
            for name, place in (("gateway", folder), ("audit off", unaudited))
        )
        print(describe_machine())
        report_cpu([direct, gateway], key, options.rounds, options.events)
        report_first_bytes([direct, gateway, off], key, options.rounds * 4)
        report_memory(gateway, key)


def report_cpu(servers: list[Server], key: str, rounds: int, events: int) -> None:
    """Measure and print the CPU of an event, and the ratio to emitting it."""
    cpu: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        measure_cpu(server, key, 5)  # warm-up
    for _ in range(rounds):
        for server in servers:
            cpu[server.name].append(measure_cpu(server, key, events))
    # While the gateway is measured the backend emits as well, in a process of its own that is not counted.
    print(f"\n{f'{STREAMS_FOR_CPU} streams':24}{'CPU us/event':>14}{'min':>8}{'max':>8}{'of direct':>11}")
    for name, values in cpu.items():
        ratio = median(values) / median(cpu["direct"])
        print(f"{name:24}{median(values):14.1f}{min(values):8.1f}{max(values):8.1f}{ratio:11.2f}")


def report_first_bytes(servers: list[Server], key: str, rounds: int) -> None:
    """Measure and print the time to the first byte, and what is added to it: medians of the rounds.

    The last column is the worst p99 of a round: the machine itself stops everything for a while now and then.
    """
    p50: dict[str, list[float]] = {server.name: [] for server in servers}
    p99: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        measure_first_bytes(server, key)
    for number in range(rounds):
        # In turns from either end: a machine that slows down does so for all of them.
        for server in servers if number % 2 else reversed(servers):
            values = measure_first_bytes(server, key)
            p50[server.name].append(median(values))
            p99[server.name].append(quantiles(values, n=100, method="inclusive")[98])
    print(
        f"\n{f'{STREAMS_FOR_FIRST_BYTE} streams':24}{'TTFB p50 ms':>14}{'p99 ms':>8}"
        f"{'added p50':>11}{'added p99':>11}{'worst p99':>11}"
    )
    direct = servers[0].name
    for name in p50:
        middle, late = median(p50[name]), median(p99[name])
        added = middle - median(p50[direct]), late - median(p99[direct])
        print(f"{name:24}{middle:14.2f}{late:8.2f}{added[0]:11.2f}{added[1]:11.2f}{max(p99[name]):11.1f}")


def report_memory(gateway: Server, key: str) -> None:
    """Print the most memory that the gateway's processes held, before and with many streams."""
    before = gateway.peaks_mib()
    request = build_request(gateway.url, key, b'{"events":30,"interval":0.1}')
    asyncio.run(read_streams(gateway.url, request, STREAMS_FOR_MEMORY))
    print(f"\n{f'{STREAMS_FOR_MEMORY} streams':24}{'peak MiB of each process'}")
    print(f"{'before':24}" + " ".join(f"{mib:.0f}" for mib in before))
    print(f"{'with them':24}" + " ".join(f"{mib:.0f}" for mib in gateway.peaks_mib()))


if __name__ == "__main__":
    main()
