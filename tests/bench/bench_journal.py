"""What a record of the journal costs, by when it is forced to the disk.

    python -m tests.bench.bench_journal [--folder DIR]

A request writes two records, of some 600 and 400 bytes. Each line is the median of five rounds: the time of
the processor and of the clock that one `append` takes the thread that serves requests.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from proxy.audit.events import Begin
from proxy.audit.journal import JournalWriter
from tests.bench.servers import describe_machine

RECORDS = {"never": 20_000, "interval": 20_000, "always": 500}
HEADERS = '[["host","127.0.0.1:4000"],["accept","*/*"],["x-note","' + "x" * 280 + '"]]'


def measure(folder: Path, sync: str, records: int) -> tuple[float, float]:
    """Return microseconds of an append: of the processor, and by the clock."""
    event = Begin("0" * 26, 1, 0, "POST", "/v1/chat/completions", "127.0.0.1", "bench/1.0", headers=HEADERS)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        writer = JournalWriter(Path(name), "w", sync=sync)
        began, began_cpu = time.perf_counter(), time.thread_time()
        for _ in range(records):
            writer.append(event)
        spent_cpu, spent = time.thread_time() - began_cpu, time.perf_counter() - began
        writer.close()
    return spent_cpu / records * 1e6, spent / records * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    print(describe_machine())
    print(f"\n{'audit.fsync':12}{'CPU us':>10}{'wall us':>10}")
    for sync, records in RECORDS.items():
        rounds = [measure(options.folder, sync, records) for _ in range(5)]
        cpu, wall = (median(each) for each in zip(*rounds, strict=True))
        print(f"{sync:12}{cpu:10.1f}{wall:10.1f}")


if __name__ == "__main__":
    main()
