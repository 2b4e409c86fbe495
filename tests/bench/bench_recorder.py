"""How many requests a second the recorder moves from the journal into the database, headers included.

    python -m tests.bench.bench_recorder [--requests 50000] [--rounds 5]

A journal is written as a worker does, with fifty keys and realistic headers, and then recorded in one go. The
processor time is all of the recorder's; the median of the rounds is told.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median

from proxy.audit.events import BriefBegin, End, Head, encode_head
from proxy.audit.journal import JournalWriter
from proxy.audit.process import prepare_process
from proxy.audit.recorder import Recorder
from proxy.clock import now_us
from proxy.ids import UlidSource
from proxy.store.database import open_database
from tests.bench.servers import PATH, describe_machine

KEYS = 50
REQUEST_HEADERS = (
    '[["host","gateway.example:8514"],["user-agent","OpenAI/Python 2.8.1"],["accept","application/json"],'
    '["content-type","application/json"],["content-length","{}"],["authorization","Bearer [redacted]"],'
    '["x-stainless-lang","python"],["x-stainless-package-version","2.8.1"],["x-stainless-os","Linux"],'
    '["accept-encoding","gzip, deflate"],["connection","keep-alive"]]'
)
RESPONSE_HEADERS = (
    '[["date","Wed, 25 Nov 2026 01:18:14 GMT"],["server","uvicorn"],["content-length","{}"],'
    '["content-type","application/json"]]'
)


def build_head(key_id: str) -> bytes:
    """Return the head of a request as a worker has it ready."""
    headers, rest = REQUEST_HEADERS.split("{}")
    head = Head(
        *("POST", PATH, "127.0.0.1", "OpenAI/Python 2.8.1", key_id, "default"),
        route_id="rt_01jd2m5n8r9xq4t7w0z3v6b1ca",
        target_url=f"http://127.0.0.1:8000{PATH}",
        headers=headers,
        headers_rest=rest,
    )
    return encode_head(head)


def write_journal(directory: Path, requests: int, seed: int = 1) -> None:
    """Write the events of so many requests."""
    chance, ulids, began_us = random.Random(seed), UlidSource(), now_us()
    writer = JournalWriter(directory, "worker-1-bench")
    heads = [build_head(f"key_01jd2m5n8r9xq4t7w0z3v6b{number:03}") for number in range(KEYS)]
    for sequence in range(1, requests + 1):
        began_us += chance.randrange(400)
        (ulid, _), size = ulids.next(began_us), chance.randrange(100, 9_000)
        writer.append(BriefBegin(ulid, sequence, began_us, chance.choice(heads), str(size)))
        took_us = chance.randrange(1_000, 900_000)
        writer.append(
            End(
                *(ulid, began_us, took_us, 200, None, took_us - 100, 200, size, 2 * size),
                headers=RESPONSE_HEADERS.format(2 * size),
            )
        )
    writer.close()


def measure(requests: int) -> tuple[float, float]:
    """Return microseconds for each request: of the processor, and by the clock."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_journal(folder / "journal", requests)
        database = open_database(folder / "fastgate.db", create=True, durable=True)
        recorder = Recorder(folder / "journal", lambda: database)
        began, began_cpu = time.perf_counter(), time.process_time()
        recorder.step()
        spent_cpu, spent = time.process_time() - began_cpu, time.perf_counter() - began
        recorder.close()
    return spent_cpu / requests * 1e6, spent / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    prepare_process()
    rounds = [measure(options.requests) for _ in range(options.rounds)]
    cpu, wall = (median(each) for each in zip(*rounds, strict=True))
    print(describe_machine())
    print(f"\n{cpu:.1f} us of CPU and {wall:.1f} us a request: {1e6 / wall:,.0f} requests a second")


if __name__ == "__main__":
    main()
