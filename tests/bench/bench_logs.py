"""What the audit trail's lists and figures cost on a database of a million requests of one day.

    python -m tests.bench.bench_logs --folder FOLDER [--requests 1000000] [--rounds 5] [--only metrics]

The database is made in the folder unless it is there already; a million requests are about 1.5 GB. Each line
is the median and the longest of the rounds in milliseconds: `in process` of the function that a command
calls, until it has given its last row; `as a command` of a whole process from its start to its end. Each
filter is looked for with a value that is common, one that three requests have, and one that none has. At the
end the most memory that an export of everything has held.

With `--check` it fails if a list took longer than 100 ms, or a command of figures longer than a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

from proxy.audit.verification import verify_trail
from proxy.clock import STORAGE_TIMEZONE, format_time, list_days, list_hours, now_us
from proxy.clock import from_us as time_of
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import list_logs
from proxy.store.metrics import read_buckets, read_now
from proxy.store.rankings import read_top
from tests.bench import log_traffic as traffic
from tests.bench.log_database import Bench, prepare
from tests.bench.servers import ROOT, describe_machine, read_peak_kib

LIST_ROWS = 50
LIST_MS_MAX, FIGURES_MS_MAX = 100, 1000
_DAY = timedelta(days=1)
_KINDS = ("paths", "sources", "keys", "routes", "errors")


@dataclass(frozen=True, slots=True)
class Line:
    """A thing to measure. `limit_ms` is how long it may take; None is no matter."""

    name: str
    run: Callable[[], object]
    limit_ms: int | None = None


def list_filters(bench: Bench) -> Iterator[tuple[str, LogFilter]]:
    """Yield each filter alone, with a common, a rare and an absent value."""
    cast, since = bench.cast, bench.end - _DAY
    yield "none", LogFilter()
    for kind in ("common", "rare", "absent"):
        yield f"key, {kind}", LogFilter(keys=[getattr(cast.key, kind)])
        yield f"source, {kind}", LogFilter(sources=[getattr(cast.source, kind)])
        yield f"route, {kind}", LogFilter(routes=[getattr(cast.route, kind)])
        yield f"method, {kind}", LogFilter(methods=[getattr(traffic.METHOD, kind)])
        yield f"path, {kind}", LogFilter(path_glob=getattr(traffic.PATH, kind))
        yield f"path glob, {kind}", LogFilter(path_glob=getattr(traffic.GLOB, kind))
        yield f"status, {kind}", LogFilter(status=[getattr(traffic.STATUS, kind)])
        yield f"min-ms, {kind}", LogFilter(min_ms=int(getattr(traffic.DURATION_MS, kind)))
        yield f"ip, {kind}", LogFilter(ip=getattr(traffic.ADDRESS, kind))
        yield f"grep agent, {kind}", LogFilter(grep=getattr(traffic.AGENT, kind))
        yield f"grep reason, {kind}", LogFilter(grep=getattr(traffic.ERROR, kind))
    yield "stream", LogFilter(stream=True)
    yield "no-stream", LogFilter(stream=False)
    yield "errors", LogFilter(errors=True)
    yield "since, last hour", LogFilter(since=bench.end - timedelta(hours=1))
    yield "since, future", LogFilter(since=bench.end + _DAY)
    for hours in (1, 12, 23):
        yield f"until, {hours} h", LogFilter(until=since + timedelta(hours=hours))


def list_functions(bench: Bench, database: Database) -> Iterator[tuple[str, list[Line]]]:
    """Yield what is measured in this process."""

    def listing(wanted: LogFilter) -> Callable[[], object]:
        return lambda: [*list_logs(database, wanted, limit=LIST_ROWS)]

    since, until = bench.end - _DAY, bench.end
    hours, days = list_hours(until, STORAGE_TIMEZONE, 24), list_days(until, STORAGE_TIMEZONE, 30)
    starts = [since + _DAY / 72 * number for number in range(72)]
    lists = [Line(f"list: {name}", listing(wanted), LIST_MS_MAX) for name, wanted in list_filters(bench)]
    yield "logs", lists
    figures = [
        Line("now, a day", lambda: read_now(database, since, until)),
        Line("now, a day, 72 bars", lambda: read_now(database, since, until, starts=starts)),
        Line("now, an hour", lambda: read_now(database, until - timedelta(hours=1), until)),
        Line("now, a minute", lambda: read_now(database, until - timedelta(minutes=1), until)),
        Line("24 hours", lambda: read_buckets(database, hours, hours[-1] + timedelta(hours=1))),
        Line("30 days", lambda: read_buckets(database, days, days[-1] + _DAY)),
    ]
    yield "metrics", figures + [_rank(database, kind, bench) for kind in _KINDS]
    yield "verify", [Line("verify", lambda: verify_trail(database, bench.folder / "journal"))]


def _rank(database: Database, kind: str, bench: Bench) -> Line:
    since, until = bench.end - _DAY, bench.end
    return Line(f"top {kind}, a day", lambda: read_top(database, kind, since, until))  # type: ignore[arg-type]


def list_commands(bench: Bench) -> Iterator[tuple[str, list[Line]]]:
    """Yield what is measured as whole processes; hours and days reach back to the day of the database."""
    since, until = (
        format_time(moment, STORAGE_TIMEZONE, timespec="microseconds")
        for moment in (bench.end - _DAY, bench.end)
    )
    age = time_of(now_us()) - bench.end
    hours, days = 25 + age // timedelta(hours=1), 30 + age // _DAY
    times = ("--since", since, "--until", until)
    lists = [
        ("logs", "list"),
        ("logs", "list", "--key", bench.cast.key.rare),
        ("logs", "list", "--grep", traffic.AGENT.absent),
    ]
    figures = [
        ("metrics", "now", *times),
        ("metrics", "now", "-o", "table", *times),
        ("metrics", "hourly", "--hours", str(hours)),
        ("metrics", "daily", "--days", str(days)),
        *[("metrics", "top", kind, *times) for kind in _KINDS],
    ]
    yield "logs", [_command(bench, arguments, None) for arguments in lists]
    yield "metrics", [_command(bench, arguments, FIGURES_MS_MAX) for arguments in figures]
    yield "verify", [_command(bench, ("logs", "verify"), None)]


def _command(bench: Bench, arguments: tuple[str, ...], limit_ms: int | None) -> Line:
    shown = " ".join(word for word in arguments if not word.startswith(("2", "key_")))
    shown = shown.replace(" --since --until", " (a day)")
    return Line(shown, lambda: run_command(bench, *arguments), limit_ms)


def run_command(bench: Bench, *arguments: str) -> None:
    """Run a command to its end."""
    with _start(bench, arguments) as process:
        _, told = process.communicate()
    _check(process, told)


def measure_peak(bench: Bench, *arguments: str) -> float:
    """Run a command to its end, and return the most memory that it has held, in MiB."""
    peak = 0.0
    with _start(bench, arguments) as process:
        while process.poll() is None:
            # What the kernel tells in the end would count what this process itself has held, too.
            with suppress(OSError, ValueError):
                peak = max(peak, read_peak_kib(process.pid) / 1024)
            time.sleep(0.01)
        _, told = process.communicate()
    _check(process, told)
    return peak


def _start(bench: Bench, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(bench.folder)}
    command = [sys.executable, "-m", "fastgate_cli", *arguments]
    return subprocess.Popen(
        command, cwd=bench.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _check(process: subprocess.Popen[bytes], told: bytes) -> None:
    if process.returncode not in (0, 1):
        raise NotThereError(told.decode().splitlines()[0])


class NotThereError(Exception):
    """A command has refused to run."""


def measure(lines: list[Line], rounds: int) -> bool:
    """Measure and print; tell whether everything kept its limit."""
    is_kept = True
    for line in lines:
        try:
            spent = sorted(_time(line.run) for _ in range(rounds))
        except NotThereError as error:
            print(f"{line.name:48}  {error}")
            continue
        is_late = line.limit_ms is not None and median(spent) > line.limit_ms
        is_kept &= not is_late
        print(f"{line.name:48}{median(spent):10.1f}{spent[-1]:10.1f}{'  over the limit' if is_late else ''}")
    return is_kept


def _time(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--requests", "--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("logs", "metrics", "verify", "export"))
    parser.add_argument("--check", action="store_true", help="fail if something took too long")
    options = parser.parse_args()
    bench = prepare(options.folder.resolve(), options.requests)
    size = bench.path.stat().st_size / 2**20
    print(f"{describe_machine()}; {bench.requests:,} requests, {size:,.0f} MiB; {options.rounds} rounds")
    if not report(bench, options.rounds, options.only) and options.check:
        sys.exit(1)


def report(bench: Bench, rounds: int, only: str | None) -> bool:
    """Measure and print everything; tell whether it kept its limits."""
    kept = True
    with open_database(bench.path, create=False) as database:
        for title, parts in (
            ("in process", list_functions(bench, database)),
            ("as a command", list_commands(bench)),
        ):
            print(f"\n{title:48}{'median ms':>10}{'max ms':>10}")
            for name, lines in parts:
                if only in (None, name):
                    kept &= measure(lines, rounds)
    if only in (None, "export"):
        report_export(bench)
    return kept


def report_export(bench: Bench) -> None:
    """Export everything, and print how long that took and how much memory it has held at most."""
    print(f"\n{'everything':48}{'s':>10}{'peak MiB':>10}")
    for arguments in (("logs", "list", "-n", "0", "-o", "csv"), ("logs", "export", "--headers")):
        started = time.perf_counter()
        try:
            peak = measure_peak(bench, *arguments)
        except NotThereError as error:
            print(f"{' '.join(arguments):48}  {error}")
            continue
        print(f"{' '.join(arguments):48}{time.perf_counter() - started:10.1f}{peak:10.0f}")


if __name__ == "__main__":
    main()
