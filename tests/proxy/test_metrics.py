"""The page for Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.audit.events import Begin
from proxy.audit.journal import JournalWriter
from proxy.metrics import PAGE_SECONDS, MetricsPage, build_metrics
from proxy.relay.counters import Counters, Totals, open_counters

WORKER = """
import sys
from pathlib import Path
from proxy.relay.counters import open_counters
counters = open_counters(Path(sys.argv[1]), "another")
counters.in_flight = 2
counters.publish(revision=3, events_lost=1)
for _ in range(500):
    counters.count("rt_1", 200, True, None, 2_000_000, 30_000, 80)
    counters.count(None, 429, False, "rate_limited", 90, None, 90)
print("counted", flush=True)
sys.stdin.read()
"""


def read_page(counters: Counters, journal: Path) -> dict[str, Metric]:
    text = build_metrics(counters, journal).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values_of(metric: Metric, name: str = "") -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of their labels."""
    wanted = name or metric.samples[0].name
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples if sample.name == wanted}


def buckets_of(metric: Metric) -> dict[str, float]:
    """Return the buckets of a histogram of one route by their bounds."""
    return {sample.labels["le"]: sample.value for sample in metric.samples if "le" in sample.labels}


def test_a_gateway_that_has_done_nothing_has_a_page(tmp_path: Path) -> None:
    page = read_page(Counters(), tmp_path / "none")
    assert values_of(page["fastgate_build_info"]) == {(__version__,): 1}
    assert values_of(page["fastgate_limit_refusals"]) == {(): 0}
    assert values_of(page["fastgate_upstream_errors"]) == {
        ("invalid",): 0,
        ("timeout",): 0,
        ("truncated",): 0,
        ("unreachable",): 0,
    }
    assert values_of(page["fastgate_journal_bytes"]) == {(): 0}
    assert values_of(page["fastgate_journal_lag_seconds"]) == {(): 0}
    assert values_of(page["fastgate_workers"]) == {(): 1}


def test_requests_and_their_times_are_shown_by_route(tmp_path: Path) -> None:
    counters = Counters()
    counters.count("rt_1", 200, True, None, 2_000_000, 30_000, 80)
    counters.count("rt_1", 200, True, None, 400_000_000, 25_000, 80)
    counters.count("rt_1", None, False, "client_abort", 400, None, 300_000)
    page = read_page(counters, tmp_path)
    assert values_of(page["fastgate_requests"]) == {("rt_1", "2xx", "true"): 2, ("rt_1", "none", "false"): 1}
    duration = buckets_of(page["fastgate_request_duration_seconds"])
    assert (duration["0.005"], duration["2.5"], duration["300.0"], duration["+Inf"]) == (1, 2, 2, 3)
    name = "fastgate_request_duration_seconds"
    assert values_of(page[name], f"{name}_sum") == {("rt_1",): 402.0004}
    first_byte = buckets_of(page["fastgate_first_byte_seconds"])
    assert (first_byte["0.025"], first_byte["+Inf"]) == (1, 2)
    gateway = buckets_of(page["fastgate_gateway_seconds"])
    assert (gateway["5e-05"], gateway["0.0001"], gateway["0.1"], gateway["+Inf"]) == (0, 2, 2, 3)


def test_failures_are_shown_by_reason_and_those_of_backends_by_kind(tmp_path: Path) -> None:
    counters = Counters()
    for reason in (
        *("upstream_timeout", "upstream_timeout: no connection", "upstream_unreachable: refused"),
        *("upstream_strange", "rate_limited", "no_route"),
    ):
        counters.count("rt_1", 502, False, reason, 1, None, 1)
    counters.count_unserved("bad_head")
    page = read_page(counters, tmp_path)
    assert values_of(page["fastgate_errors"])["upstream_timeout",] == 2
    kinds = values_of(page["fastgate_upstream_errors"])
    assert (kinds["timeout",], kinds["strange",], kinds["unreachable",], kinds["invalid",]) == (2, 1, 1, 0)
    assert values_of(page["fastgate_limit_refusals"]) == {(): 1}
    assert values_of(page["fastgate_unserved"]) == {("bad_head",): 1}


def test_any_workers_page_is_of_all_workers(tmp_path: Path) -> None:
    counters = open_counters(tmp_path / "metrics", "one")
    counters.count("rt_1", 200, True, None, 2_000_000, 30_000, 80)
    counters.in_flight = 1
    counters.publish(revision=4, events_lost=0)
    arguments = [sys.executable, "-c", WORKER, str(tmp_path / "metrics")]
    worker = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "counted\n"
        page = read_page(counters, tmp_path)
        counts = {("rt_1", "2xx", "true"): 501, ("none", "4xx", "false"): 500}
        assert values_of(page["fastgate_requests"]) == counts
        assert values_of(page["fastgate_limit_refusals"]) == {(): 500}
        assert values_of(page["fastgate_workers"]) == {(): 2}
        assert values_of(page["fastgate_requests_in_flight"]) == {(): 3}
        assert values_of(page["fastgate_snapshot_revision"]) == {(): 3}
    finally:
        worker.kill()
        worker.communicate()
    page = read_page(counters, tmp_path)
    assert values_of(page["fastgate_requests"]) == counts
    assert values_of(page["fastgate_requests_in_flight"]) == {(): 1}
    assert values_of(page["fastgate_snapshot_revision"]) == {(): 4}
    assert values_of(page["fastgate_audit_events_lost"]) == {(): 1}
    counters.close()


def test_what_waits_in_the_journal_is_shown(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, "worker-1")
    journal.append(Begin("01", 1, 1, "GET", "/", "127.0.0.1"))
    page = read_page(Counters(), tmp_path)
    (path,) = tmp_path.glob("*.log")
    assert values_of(page["fastgate_journal_bytes"]) == {(): path.stat().st_size}
    assert values_of(page["fastgate_journal_lag_seconds"])[()] > 0
    journal.close()


class CountedReadings:
    """Counters that count how often they are read, and wait for `may_go_on` meanwhile."""

    def __init__(self) -> None:
        self.readings = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.fails = False

    def read_totals(self) -> Totals:
        self.readings += 1
        assert self.may_go_on.wait(10)
        if self.fails:
            raise OSError("no such folder")
        return Totals(in_flight=self.readings)


def test_a_page_is_rendered_once_a_second_whoever_asks(tmp_path: Path) -> None:
    async def run() -> None:
        counters, now, refreshed = CountedReadings(), [5.0], list[int]()
        page = MetricsPage(counters, tmp_path, refresh=lambda: refreshed.append(1), monotonic=lambda: now[0])
        counters.may_go_on.clear()
        asking = [asyncio.create_task(page.read()) for _ in range(25)]
        await asyncio.sleep(0)
        asking[0].cancel()  # one that leaves takes nothing from the others
        counters.may_go_on.set()
        first, *others = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert len(set(others)) == 1
        now[0] += PAGE_SECONDS - 0.01
        assert await page.read() == others[0]
        assert (counters.readings, len(refreshed)) == (1, 1)
        now[0] += 0.02
        assert b"fastgate_requests_in_flight 2.0" in await page.read()
        assert (counters.readings, len(refreshed)) == (2, 2)

    asyncio.run(run())


def test_a_page_that_could_not_be_rendered_is_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        counters = CountedReadings()
        page = MetricsPage(counters, tmp_path)
        counters.fails = True
        for _ in range(2):
            with pytest.raises(OSError, match="no such folder"):
                await page.read()
        counters.fails = False
        assert b"fastgate_requests_in_flight 3.0" in await page.read()

    asyncio.run(run())


def test_recognised_heads_are_counts_of_the_whole_run(tmp_path: Path) -> None:
    for _ in range(2):
        counters = open_counters(tmp_path / "metrics", "one")
        counters.publish(revision=1, events_lost=0, heads_recognised=5, heads_decided=2)
        counters.publish(revision=1, events_lost=0, heads_recognised=6, heads_decided=3)
        counters.close()
    counters = open_counters(tmp_path / "metrics", "one")
    page = read_page(counters, tmp_path)
    assert values_of(page["fastgate_heads_recognised"]) == {(): 12}
    assert values_of(page["fastgate_heads_decided"]) == {(): 6}
    counters.close()
