"""What FastGate costs beside nginx, Caddy, Traefik and gateways for models, in one run on one machine.

    python -m tests.bench.bench_peers [--rounds 5] [--seconds 5] [--only nginx-log caddy-log fastgate]

nginx and wrk come from the system, Caddy and Traefik with `pip install -e '.[bench]'`; FerroGW and LiteLLM
are measured if they are installed. What is missing is named and left out. FastGate runs with key check, a
rate limit, a hundred routes, header injection, audit with headers and one worker.

CPU is that of all processes of a server, user and system: for FastGate supervisor, worker and recorder.
Servers are measured in turn, in rounds that go from either end; figures are medians of the rounds, ratios
medians of the ratios of each round. Load, backend and servers share the machine, so ratios carry over to
other machines and times do not. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles

from tests.bench.load import PLAIN, Request, await_answer, build_request, load, send_requests
from tests.bench.peer_tables import DIRECT, Figures, Report
from tests.bench.peers import PEERS, Gateway, Peer, run_plain_backend
from tests.bench.servers import BenchError, Server, describe_machine, find_program, run_module
from tests.bench.streams import build_streamed, open_streams

CONNECTIONS = 16  # of plain requests, for CPU
SATURATING_CONNECTIONS = 32  # Caddy keeps no more of them to one backend
PACED_CONNECTIONS, PACED_INTERVAL = 50, 0.05  # for the first byte: a thousand requests a second together
EVENT_INTERVAL, SLOW_EVENT_INTERVAL = 0.05, 1.0
STREAM_COUNTS = (50, 400)
STREAM_SPREAD = 0.5  # seconds within which streams begin
STREAM_MARGIN = 3.0  # seconds that streams last beyond what is measured of them
MEMORY_STREAMS, MEMORY_SPREAD = 1000, 3.0
SERVE_SECONDS_MAX = 60.0
WARM_UP_SECONDS = 1.0
BUSY_LOAD = 0.5  # of /proc/loadavg: beyond it something else runs
OPEN_FILES = 16384
PARTS = ("plain", "rate", "streams", "memory")

Servers = dict[str, Server]
Candidate = Peer | Gateway


class Run:
    """One run: its options, its folder and what it has found so far."""

    def __init__(self, options: argparse.Namespace, folder: Path, candidates: list[Candidate]) -> None:
        self.figures: Figures = {}
        self._rounds: int = options.rounds
        self._seconds: float = options.seconds
        self._folder = folder
        self._candidates = candidates
        self._failed: set[tuple[str, str]] = set()

    def measure(self, parts: list[str]) -> str:
        """Measure the parts; return what has ended that early, if anything. Figures are kept."""
        try:
            for part in PARTS:
                if part in parts:
                    getattr(self, f"measure_{part}")()
        except KeyboardInterrupt:
            return "interrupted"
        except BenchError as error:
            return str(error)
        return ""

    def measure_plain(self) -> None:
        """Measure CPU of a plain request, and the time to the first byte."""
        with run_plain_backend(self._folder / "backend") as backend, ExitStack() as stack:
            servers = self._start_all(stack, "plain", backend)
            for number in range(self._rounds):
                say(f"plain requests, round {number + 1} of {self._rounds}")
                self._take_turns(number, servers, "cpu_plain", self._measure_cpu)
                recognising = {
                    name: server for name, server in servers.items() if name.startswith("fastgate")
                }
                self._take_turns(number, recognising, "cpu_other_heads", self._measure_cpu_of_other_heads)
                # The backend listens as a server does, so its own first byte is measured like any other.
                with_direct = {DIRECT: backend, **servers}
                self._take_turns(number, with_direct, "first_byte_1", self._measure_first_bytes_alone)
                self._take_turns(number, with_direct, "first_byte_50", self._measure_first_bytes_paced)

    def measure_rate(self) -> None:
        """Measure how many requests a second one worker or core serves."""
        if not find_program("wrk"):
            say("requests a second are left out: wrk is not installed (apt-get install wrk)")
            return
        candidates = [peer for peer in self._candidates if peer.can_use_one_core]
        with run_plain_backend(self._folder / "rate-backend") as backend, ExitStack() as stack:
            servers = self._start_all(stack, "rate", backend, candidates, on_one_core=True)
            for number in range(self._rounds):
                say(f"requests a second, round {number + 1} of {self._rounds}")
                self._take_turns(number, servers, "rate", self._measure_rate)

    def measure_streams(self) -> None:
        """Measure CPU of an event."""
        with self._run_stream_backend(EVENT_INTERVAL) as backend, ExitStack() as stack:
            servers = self._start_all(stack, "streams", backend)
            for number in range(self._rounds):
                say(f"streams, round {number + 1} of {self._rounds}")
                for count in STREAM_COUNTS:
                    self._take_turns(number, servers, f"cpu_event_{count}", self._build_event_measure(count))

    def measure_memory(self) -> None:
        """Measure memory, idle and with many streams; one server at a time, once."""
        say("memory")
        with self._run_stream_backend(SLOW_EVENT_INTERVAL) as backend:
            for peer in self._candidates:
                with ExitStack() as stack:
                    servers = self._start_all(stack, "memory", backend, [peer])
                    self._take_turns(0, servers, "memory", self._measure_memory)

    def _start_all(
        self,
        stack: ExitStack,
        part: str,
        backend: Server,
        candidates: list[Candidate] | None = None,
        *,
        on_one_core: bool = False,
    ) -> Servers:
        """Start the servers that can be, warm; one that cannot is named and left out of this part."""
        servers: Servers = {}
        for peer in self._candidates if candidates is None else candidates:
            folder = self._folder / f"{part}-{peer.name}"
            try:
                server = stack.enter_context(peer.run(folder, backend.origin, on_one_core=on_one_core))
                # One event is soon over, where the backend streams.
                request = build_request(server.url, server.key, build_streamed(1))
                await_answer(server, request, SERVE_SECONDS_MAX)
                send_requests(server, request, connections=CONNECTIONS, seconds=WARM_UP_SECONDS)
            except (BenchError, OSError) as error:
                say(f"{peer.title} is left out of '{part}': {error}")
            else:
                servers[peer.name] = server
        return servers

    @contextmanager
    def _run_stream_backend(self, interval: float) -> Iterator[Server]:
        folder = self._folder / f"events-{interval}"
        module = ("tests.bench.stream_backend", "--interval", str(interval))
        with run_module("stream backend", folder, *module) as backend:
            yield backend

    def _take_turns(
        self, number: int, servers: Servers, name: str, measure: Callable[[Server], dict[str, float]]
    ) -> None:
        """Measure each server, from either end; one that has failed at this is not asked again."""
        # A machine that slows down does so for all of them.
        for peer in list(servers) if number % 2 else list(reversed(servers)):
            if (peer, name) in self._failed:
                continue
            try:
                found = measure(servers[peer])
            except (BenchError, OSError) as error:
                say(f"{name} fails: {error}")
                self._failed.add((peer, name))
                continue
            finally:
                servers[peer].trim_logs()
            for metric, value in found.items():
                self.figures.setdefault(peer, {}).setdefault(metric, []).append(value)

    def _measure_cpu(self, server: Server) -> dict[str, float]:
        return {"cpu_plain_us": self._measure_cpu_of(server, build_plain(server))}

    def _measure_cpu_of_other_heads(self, server: Server) -> dict[str, float]:
        request = build_request(server.url, server.key, PLAIN, is_numbered=True)
        return {"cpu_other_heads_us": self._measure_cpu_of(server, request)}

    def _measure_cpu_of(self, server: Server, request: Request) -> float:
        """Return CPU microseconds of a request; what a server does about it later is part of it."""
        server.settle()
        before = server.cpu_seconds()
        result = load(server, request, connections=CONNECTIONS, seconds=self._seconds, folder=self._folder)
        server.settle()
        return (server.cpu_seconds() - before) / result.answers * 1e6

    def _measure_first_bytes_alone(self, server: Server) -> dict[str, float]:
        return self._measure_first_bytes(server, 1, 0.0)

    def _measure_first_bytes_paced(self, server: Server) -> dict[str, float]:
        return self._measure_first_bytes(server, PACED_CONNECTIONS, PACED_INTERVAL)

    def _measure_first_bytes(self, server: Server, connections: int, interval: float) -> dict[str, float]:
        result = send_requests(
            server,
            build_plain(server),
            connections=connections,
            seconds=self._seconds,
            interval=interval,
        )
        parts = quantiles(result.first_bytes, n=100, method="inclusive")
        server.settle()
        return {
            f"first_byte_{connections}_p50_ms": parts[49] * 1e3,
            f"first_byte_{connections}_p99_ms": parts[98] * 1e3,
        }

    def _measure_rate(self, server: Server) -> dict[str, float]:
        """Return requests a second, and what share of a core the busiest process used for them."""
        before = server.list_cpu_seconds()
        result = load(
            server,
            build_plain(server),
            connections=SATURATING_CONNECTIONS,
            seconds=self._seconds,
            folder=self._folder,
        )
        used = {pid: seconds - before.get(pid, 0.0) for pid, seconds in server.list_cpu_seconds().items()}
        server.settle()
        return {
            "requests_per_second": result.answers / result.seconds,
            "busiest_process_share": max(used.values()) / result.seconds,
        }

    def _build_event_measure(self, count: int) -> Callable[[Server], dict[str, float]]:
        def measure(server: Server) -> dict[str, float]:
            return {f"cpu_event_{count}_us": self._measure_cpu_of_events(server, count)}

        return measure

    def _measure_cpu_of_events(self, server: Server, count: int) -> float:
        """Return CPU microseconds of an event while all streams are open: no beginning and no end of one."""
        lasting = self._seconds + STREAM_SPREAD + STREAM_MARGIN
        events = math.ceil(lasting / EVENT_INTERVAL)
        server.settle()
        with open_streams(server, count=count, events=events, spread=STREAM_SPREAD) as streams:
            streams.await_all()
            streams.read(time.monotonic() + STREAM_SPREAD)
            used, seen = server.cpu_seconds(), streams.events
            streams.read(time.monotonic() + self._seconds)
            used, seen = server.cpu_seconds() - used, streams.events - seen
            if streams.open_count < count:
                raise BenchError(f"{server.name} took too long to open {count} streams")
            streams.finish(lasting)
        server.settle()
        return used / seen * 1e6

    def _measure_memory(self, server: Server) -> dict[str, float]:
        server.settle()
        idle = server.read_memory()
        events = math.ceil((MEMORY_SPREAD + STREAM_MARGIN + SERVE_SECONDS_MAX) / SLOW_EVENT_INTERVAL)
        with open_streams(server, count=MEMORY_STREAMS, events=events, spread=MEMORY_SPREAD) as streams:
            streams.await_all()
            streams.read(time.monotonic() + STREAM_MARGIN)
            loaded = server.read_memory()
        return {
            "memory_idle_mib": idle.all_pss,
            "memory_streams_mib": loaded.all_pss,
            "largest_process_idle_mib": idle.largest_rss,
            "largest_process_streams_mib": loaded.largest_rss,
        }


def build_plain(server: Server) -> Request:
    """Return the plain request of a server's client."""
    return build_request(server.url, server.key, PLAIN)


def say(text: str) -> None:
    """Print a line about the run; figures alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def find_candidates(only: list[str] | None) -> tuple[list[Candidate], dict[str, str]]:
    """Return what is to be measured and is installed, and the versions by title."""
    candidates, versions = [], {}
    for peer in PEERS:
        if peer.name not in only if only else not peer.is_default:
            continue
        try:
            versions[peer.title] = peer.find_version()
        except BenchError as error:
            say(str(error))
        else:
            candidates.append(peer)
    return candidates, versions


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, 1 at least")
    parser.add_argument("--only", nargs="+", choices=[peer.name for peer in PEERS], metavar="NAME")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/performance.md")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are 1 at least")
    return options


def prepare_process() -> None:
    """Have enough open files for all streams, and let a signal end the servers too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    if (busy := os.getloadavg()[0]) > BUSY_LOAD:
        say(f"something else runs on this machine (load {busy:.1f}): these figures are good for nothing")


def main() -> None:
    options = parse_options()
    if not find_program("nginx"):
        sys.exit("nginx is needed as the backend: apt-get install nginx-light")
    prepare_process()
    candidates, versions = find_candidates(options.only)
    if not find_program("wrk"):
        say("wrk is not installed (apt-get install wrk): requests come from a client in Python")
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as name:
        run = Run(options, Path(name), candidates)
        ended_early = run.measure(options.parts)
    titles = {peer.name: peer.title for peer in candidates}
    report = Report(run.figures, titles, versions, describe_machine(), options.rounds, options.seconds)
    if options.json:
        options.json.write_text(report.as_json())
    print(report.as_markdown() if options.markdown else report.as_text())
    if ended_early:
        sys.exit(f"the run is not complete: {ended_early}")


if __name__ == "__main__":
    main()
