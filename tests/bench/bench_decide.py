"""What a decision costs, with ten routes and with a thousand: the route table is an index, not a list.

    python -m tests.bench.bench_decide [--rounds 9]

Each figure is the least of the rounds, in microseconds for one decision: key, route, permission, target and
headers. `first` and `last` ask for a route at either end of the table.
"""

from __future__ import annotations

import argparse
import time

from proxy.policy.credentials import digest_secret
from proxy.policy.decide import Forward, KeyEntry, Snapshot, decide
from proxy.policy.model import ApiKey, RequestHead, Route
from proxy.policy.routing import build_route_table
from tests.bench.servers import describe_machine

DECISIONS = 2000
SECRET = b"fg_0123456789abcdefghijklmnopqrstuvwxyz"


def build_snapshot(routes: int) -> Snapshot:
    """Return a snapshot with a key and so many routes, every tenth of them an exact path."""
    key = ApiKey("key_1", digest_secret(SECRET))
    patterns = (f"/team-{number}/v1/" + ("models" if number % 10 == 9 else "*") for number in range(routes))
    table = build_route_table(
        Route(f"rt_{number}", f"r{number}", pattern, "127.0.0.1:8000")
        for number, pattern in enumerate(patterns)
    )
    return Snapshot(1, {key.digest: KeyEntry(key)}, table)


def measure(snapshot: Snapshot, path: bytes, rounds: int) -> float:
    """Return microseconds for one decision."""
    headers = [
        (b"host", b"gateway.test"),
        (b"authorization", b"Bearer " + SECRET),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json"),
        (b"user-agent", b"fastgate-bench"),
        (b"content-length", b"80"),
    ]
    head = RequestHead("POST", path, b"", headers, "127.0.0.1")
    if not isinstance(decide(head, snapshot, 0, "req_1"), Forward):
        raise RuntimeError("no route serves this request")
    return min(_time(head, snapshot) for _ in range(rounds))


def _time(head: RequestHead, snapshot: Snapshot) -> float:
    started = time.perf_counter()
    for _ in range(DECISIONS):
        decide(head, snapshot, 0, "req_1")
    return (time.perf_counter() - started) / DECISIONS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(describe_machine())
    print(f"\n{'routes':10}{'first us':>10}{'last us':>10}")
    for routes in (10, 100, 1000):
        snapshot = build_snapshot(routes)
        first = measure(snapshot, b"/team-0/v1/chat/completions", rounds)
        last = measure(snapshot, f"/team-{routes - 2}/v1/chat/completions".encode(), rounds)
        print(f"{routes:<10}{first:10.2f}{last:10.2f}")


if __name__ == "__main__":
    main()
