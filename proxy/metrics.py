"""The gateway in numbers for Prometheus: what `/metrics` shows, of all workers together.

Numbers are read when they are asked for; counting knows nothing of Prometheus. Every label has a bound: the
routes (`proxy.relay.counters`), the reasons, the status classes. No label holds anything that a client sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.audit.claim import journal_lag_ms
from proxy.audit.segments import stat_segments
from proxy.relay.counters import DURATION_BOUNDS_US, GATEWAY_BOUNDS_US, Histogram, Totals

PAGE_SECONDS = 1.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_STREAMS = ("false", "true")
_LIMIT_REASON = "rate_limited"
_UPSTREAM_PREFIX = "upstream_"
_UPSTREAM_KINDS = ("unreachable", "timeout", "invalid", "truncated")  # shown from the start, at 0


class Counted(Protocol):
    """Where the numbers come from."""

    def read_totals(self) -> Totals:
        """Return what all workers have counted."""


class MetricsPage:
    """The page, rendered in a thread at most once in `PAGE_SECONDS`, however many ask for it.

    `refresh` is called before it is rendered. One event loop's.
    """

    def __init__(
        self,
        counters: Counted,
        journal: Path,
        *,
        refresh: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._journal = journal
        self._refresh = refresh
        self._monotonic = monotonic
        self._rendered = -PAGE_SECONDS
        self._page = b""
        self._rendering: asyncio.Task[bytes] | None = None

    async def read(self) -> bytes:
        """Return the page, at most `PAGE_SECONDS` old, in the text format of Prometheus (`METRICS_TYPE`)."""
        if self._rendering is None:
            if self._page and self._monotonic() - self._rendered < PAGE_SECONDS:
                return self._page
            self._rendering = asyncio.create_task(self._render())
            self._rendering.add_done_callback(self._end_rendering)
        # A client that leaves takes nothing from the others that wait for the same page.
        return await asyncio.shield(self._rendering)

    async def _render(self) -> bytes:
        self._refresh()
        # In a thread: with many routes the page is long, and no stream should wait until it is written.
        self._page = await asyncio.to_thread(build_metrics, self._counters, self._journal)
        self._rendered = self._monotonic()
        return self._page

    def _end_rendering(self, _rendering: asyncio.Task[bytes]) -> None:
        self._rendering = None


class GatewayCollector(Collector):
    """Turns what the workers have counted, and the state of the journal, into metrics."""

    def __init__(self, counters: Counted, journal: Path) -> None:
        self._counters = counters
        self._journal = journal

    def collect(self) -> Iterable[Metric]:
        """Read everything and yield it. Reads files: not for the event loop."""
        totals = self._counters.read_totals()
        yield InfoMetricFamily("fastgate_build", "The version that runs.", {"version": __version__})
        yield from _build_traffic(totals)
        yield from _build_failures(totals)
        yield from _build_gauges(totals)
        waiting = sum(status.st_size for status in stat_segments(self._journal))
        yield GaugeMetricFamily("fastgate_journal_bytes", "Size of the journal on disk.", waiting)
        lag_seconds = journal_lag_ms(self._journal) / 1000
        yield GaugeMetricFamily(
            "fastgate_journal_lag_seconds", "Age of the oldest unrecorded event.", lag_seconds
        )


def build_metrics(counters: Counted, journal: Path) -> bytes:
    """Return the page, in the text format of Prometheus (`METRICS_TYPE`)."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(counters, journal))
    return generate_latest(registry)


def _build_traffic(totals: Totals) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "fastgate_requests", "Requests answered.", labels=["route", "status_class", "stream"]
    )
    duration = HistogramMetricFamily(
        "fastgate_request_duration_seconds", "From the request to the end of its response.", labels=["route"]
    )
    first_byte = HistogramMetricFamily(
        "fastgate_first_byte_seconds", "From the request to the first byte of the body.", labels=["route"]
    )
    for route_id, route in sorted(totals.routes.items()):
        for stream, by_class in zip(_STREAMS, route.requests, strict=True):
            for status_class, count in zip(_CLASSES, by_class, strict=True):
                if count:
                    requests.add_metric([route_id, status_class, stream], count)
        _add_histogram(duration, [route_id], route.duration, DURATION_BOUNDS_US)
        _add_histogram(first_byte, [route_id], route.first_byte, DURATION_BOUNDS_US)
    gateway = HistogramMetricFamily(
        "fastgate_gateway_seconds", "The gateway's own share before the backend's."
    )
    _add_histogram(gateway, [], totals.gateway, GATEWAY_BOUNDS_US)
    yield from (requests, duration, first_byte, gateway)
    yield CounterMetricFamily(
        "fastgate_heads_recognised", "Requests whose head was known already.", totals.heads_recognised
    )
    yield CounterMetricFamily(
        "fastgate_heads_decided", "Requests whose head was parsed and decided on.", totals.heads_decided
    )


def _build_failures(totals: Totals) -> Iterator[Metric]:
    upstream = dict.fromkeys(_UPSTREAM_KINDS, 0) | {
        reason.removeprefix(_UPSTREAM_PREFIX): count
        for reason, count in totals.errors.items()
        if reason.startswith(_UPSTREAM_PREFIX)
    }
    yield _count_by("fastgate_errors", "Requests refused or failed, for any reason.", "reason", totals.errors)
    yield _count_by("fastgate_upstream_errors", "Requests that a backend failed.", "kind", upstream)
    refusals = totals.errors.get(_LIMIT_REASON, 0)
    yield CounterMetricFamily("fastgate_limit_refusals", "Requests over their key's rate limit.", refusals)
    yield _count_by(
        "fastgate_unserved", "Refused before they were requests; no audit row.", "reason", totals.unserved
    )
    yield CounterMetricFamily(
        "fastgate_audit_events_lost", "Events the journal did not take.", totals.events_lost
    )


def _build_gauges(totals: Totals) -> Iterator[Metric]:
    yield GaugeMetricFamily("fastgate_workers", "Worker processes that serve.", totals.workers)
    yield GaugeMetricFamily("fastgate_requests_in_flight", "Requests being served.", totals.in_flight)
    yield GaugeMetricFamily("fastgate_connections", "Connections of clients.", totals.connections)
    yield GaugeMetricFamily(
        "fastgate_snapshot_revision",
        "Revision of keys and routes that every worker has in force.",
        totals.revision,
    )


def _count_by(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _add_histogram(
    family: HistogramMetricFamily, labels: list[str], histogram: Histogram, bounds_us: tuple[int, ...]
) -> None:
    bounds = [*(str(bound / 1_000_000) for bound in bounds_us), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.buckets), strict=True))
    family.add_metric(labels, buckets, histogram.sum_us / 1_000_000)
