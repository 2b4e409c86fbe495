"""The gateway's own pages: `/`, `/health` and `/metrics`. None needs a key, none shows one."""

from __future__ import annotations

import hmac
import time
from typing import Protocol

from quart import Quart, Response, request
from quart.typing import ResponseReturnValue

from proxy import __version__
from proxy.audit.claim import journal_lag_ms
from proxy.audit.trail import AuditTrail
from proxy.exposure import METRICS_CLOSED, are_metrics_closed
from proxy.gateway.pages import REQUEST_ID_KEY
from proxy.gateway.replies import Reply, build_error
from proxy.gateway.snapshot import SnapshotSource
from proxy.metrics import METRICS_TYPE, MetricsPage
from proxy.relay.counters import Counters
from proxy.settings import Settings


class Serving(Protocol):
    """What the pages read of a worker."""

    settings: Settings
    counters: Counters
    snapshots: SnapshotSource
    trail: AuditTrail
    started: float

    def publish(self) -> None:
        """Bring this worker's numbers up to date."""


def add_pages(app: Quart, worker: Serving, prefix: str) -> None:
    """Give the app its pages, below `app.system_prefix`."""
    settings = worker.settings
    page = MetricsPage(worker.counters, settings.audit.directory, refresh=worker.publish)

    @app.get(f"{prefix}/")
    async def index() -> ResponseReturnValue:
        links = {"health": f"{prefix}/health", "metrics": f"{prefix}/metrics"}
        return {"name": settings.app.name, "version": __version__, "links": links}

    @app.get(f"{prefix}/health")
    async def health() -> ResponseReturnValue:
        return build_health(worker), 503 if worker.trail.is_failing else 200

    @app.get(f"{prefix}/metrics")
    async def metrics() -> ResponseReturnValue:
        if are_metrics_closed(settings):
            request_id = str(request.scope.get(REQUEST_ID_KEY, ""))
            body = build_error(Reply(403, "permission_denied", METRICS_CLOSED), request_id)
            return Response(body, 403, content_type="application/json")
        if not _may_read_metrics(settings.security.admin_token, request.headers.get("Authorization", "")):
            request_id = str(request.scope.get(REQUEST_ID_KEY, ""))
            body = build_error(Reply(401, "invalid_api_key", "this page needs the admin token"), request_id)
            return Response(body, 401, {"WWW-Authenticate": "Bearer"}, content_type="application/json")
        return Response(await page.read(), content_type=METRICS_TYPE)


def build_health(worker: Serving) -> dict[str, object]:
    """Return the health of a worker. It is unhealthy while requests cannot be recorded."""
    snapshot = worker.snapshots.current
    return {
        "status": "unhealthy" if worker.trail.is_failing else "healthy",
        "version": __version__,
        "routes": snapshot.routes.size,
        "keys": snapshot.count_keys(),
        "journal_lag_ms": journal_lag_ms(worker.settings.audit.directory),
        "uptime_s": round(time.monotonic() - worker.started, 3),
    }


def _may_read_metrics(admin_token: str, authorization: str) -> bool:
    if not admin_token:
        return True
    scheme, _, token = authorization.partition(" ")  # RFC 9110 section 11.1: the scheme is in any case
    return scheme.lower() == "bearer" and hmac.compare_digest(token.strip(" ").encode(), admin_token.encode())
