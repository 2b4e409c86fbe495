"""The page for Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.audit.events import Begin
from proxy.audit.journal import JournalWriter
from proxy.metrics import build_metrics
from proxy.relay.counters import Counters, open_counters

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
    for reason in ("upstream_timeout", "upstream_timeout", "upstream_strange", "rate_limited", "no_route"):
        counters.count("rt_1", 502, False, reason, 1, None, 1)
    counters.count_unserved("bad_head")
    page = read_page(counters, tmp_path)
    assert values_of(page["fastgate_errors"])["upstream_timeout",] == 2
    kinds = values_of(page["fastgate_upstream_errors"])
    assert (kinds["timeout",], kinds["strange",], kinds["unreachable",]) == (2, 1, 0)
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
