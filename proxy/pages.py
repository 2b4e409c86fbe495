"""The gateway's own pages: `/`, `/health` and `/metrics`. None needs a key, none shows one."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from quart import Quart, Response, request
from quart.typing import ResponseReturnValue

from proxy import __version__
from proxy.audit.claim import journal_lag_ms
from proxy.audit.exchange import AuditTrail
from proxy.relay.counters import Counters
from proxy.relay.replies import build_error
from proxy.relay.snapshot import SnapshotSource
from proxy.relay.system import REQUEST_ID_KEY
from proxy.settings import Settings

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLASSES = {0: "none", 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


class Serving(Protocol):
    """What the pages read of a worker."""

    settings: Settings
    counters: Counters
    snapshots: SnapshotSource
    trail: AuditTrail
    started: float


def add_pages(app: Quart, worker: Serving, prefix: str) -> None:
    """Give the app its pages, below `app.system_prefix`."""
    settings = worker.settings
    registry = CollectorRegistry()
    registry.register(WorkerCollector(worker))

    @app.get(f"{prefix}/")
    async def index() -> ResponseReturnValue:
        links = {"health": f"{prefix}/health", "metrics": f"{prefix}/metrics"}
        return {"name": settings.app.name, "version": __version__, "links": links}

    @app.get(f"{prefix}/health")
    async def health() -> ResponseReturnValue:
        return build_health(worker), 503 if worker.trail.is_failing else 200

    @app.get(f"{prefix}/metrics")
    async def metrics() -> ResponseReturnValue:
        if not _may_read_metrics(settings.security.admin_token, request.headers.get("Authorization", "")):
            request_id = str(request.scope.get(REQUEST_ID_KEY, ""))
            body = build_error(401, "invalid_api_key", "this page needs the admin token", request_id)
            return Response(body, 401, {"WWW-Authenticate": "Bearer"}, content_type="application/json")
        return Response(generate_latest(registry), content_type=METRICS_TYPE)


def build_health(worker: Serving) -> dict[str, object]:
    """Return the health of a worker. It is unhealthy while requests cannot be recorded."""
    snapshot = worker.snapshots.current
    return {
        "status": "unhealthy" if worker.trail.is_failing else "healthy",
        "version": __version__,
        "routes": snapshot.routes.size,
        "keys": len(snapshot.keys),
        "journal_lag_ms": journal_lag_ms(worker.settings.audit.directory),
        "uptime_s": round(time.monotonic() - worker.started, 3),
    }


def _may_read_metrics(admin_token: str, authorization: str) -> bool:
    expected = f"Bearer {admin_token}".encode()
    return not admin_token or hmac.compare_digest(authorization.encode(), expected)


class WorkerCollector(Collector):
    """Reads a worker's counters when they are asked for; the hot path knows nothing of Prometheus."""

    def __init__(self, worker: Serving) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        counters, trail = self._worker.counters, self._worker.trail
        requests = CounterMetricFamily("fastgate_requests", "Requests answered.", labels=["status_class"])
        for status_class, count in counters.requests.items():
            requests.add_metric([_CLASSES[status_class]], count)
        yield requests
        errors = CounterMetricFamily("fastgate_errors", "Requests refused or failed.", labels=["reason"])
        for reason, count in counters.errors.items():
            errors.add_metric([reason], count)
        yield errors
        yield GaugeMetricFamily("fastgate_requests_in_flight", "Requests being served.", counters.in_flight)
        yield CounterMetricFamily(
            "fastgate_audit_events_lost", "Events the journal did not take.", trail.events_lost
        )
        yield GaugeMetricFamily(
            "fastgate_snapshot_revision",
            "Revision of keys and routes in force.",
            self._worker.snapshots.current.revision,
        )
