"""The composition root: one worker's parts, put together, and the Quart app with the gateway's own pages.

`create_app(settings)` returns a Quart app whose `asgi_app` is the relay; what the relay does not serve itself
(`/health`, `/metrics`, `/`) goes on to Quart. What a worker owns is opened when serving starts and closed
when it ends.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from quart import Quart

from proxy.audit.journal import JournalWriter
from proxy.audit.trail import AuditTrail, build_audit_policy
from proxy.clock import now_us
from proxy.errors import FastGateError
from proxy.ids import new_ulid
from proxy.pages import add_pages
from proxy.policy.cors import CorsPolicy
from proxy.policy.forwarded import build_trusted_proxies
from proxy.policy.own_pages import own_paths
from proxy.relay.asgi import ASGIApp
from proxy.relay.bounds import build_bounds
from proxy.relay.counters import metrics_directory, open_counters
from proxy.relay.gateway import Gateway
from proxy.relay.intake import Intake
from proxy.relay.limits import LimitTable
from proxy.relay.snapshot import SnapshotSource
from proxy.relay.system import SystemPages
from proxy.relay.upstream import build_upstream
from proxy.settings import AuditSettings, RateLimitingSettings, Settings, database_path
from proxy.store.database import open_database

PUBLISH_SECONDS = 1.0  # the age that another worker's gauges may have


class Worker:
    """What one worker process owns while it serves."""

    def __init__(self, settings: Settings, number: int = 1) -> None:
        self.settings = settings
        writer_id = f"worker-{number}-{new_ulid(now_us())}"
        self.counters = open_counters(metrics_directory(settings), writer_id)
        self.started = time.monotonic()
        self.snapshots = SnapshotSource(
            lambda: open_database(database_path(settings), create=False),
            strip_headers=settings.proxy.strip_headers,
            environ=os.environ,
            folder=settings.source.parent if settings.source else Path.cwd(),
            key_prefix=settings.security.key_prefix,
        )
        self.journal = _open_journal(settings.audit, writer_id) if settings.audit.enabled else None
        self.trail = AuditTrail(
            self.journal,
            build_audit_policy(settings.audit),
            find_mask=lambda: self.snapshots.mask,
            defer=_call_soon,
        )
        self.upstream = build_upstream(settings.proxy)
        self.limits = _build_limits(settings.rate_limiting) if settings.rate_limiting.enabled else None
        self.publishing: asyncio.Task[None] | None = None

    def publish(self) -> None:
        """Put what is counted elsewhere beside what other workers can read."""
        self.counters.publish(revision=self.snapshots.current.revision, events_lost=self.trail.events_lost)

    async def keep_publishing(self) -> None:
        """Publish until cancelled."""
        while True:
            self.trail.retry()
            self.publish()
            await asyncio.sleep(PUBLISH_SECONDS)

    async def close(self) -> None:
        """Give back everything, in the order in which it is needed least."""
        if self.publishing is not None:
            self.publishing.cancel()
        await self.upstream.close()
        self.snapshots.stop()
        if self.limits is not None:
            self.limits.close()
        if self.journal is not None:
            self.trail.retry()
            self.journal.close()
        self.counters.close()


# Called when a worker has opened what it owns, or with the error for which it could not.
OnOpen = Callable[[FastGateError | None], object]


def _call_soon(function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(function)


def _open_journal(settings: AuditSettings, writer_id: str) -> JournalWriter:
    return JournalWriter(
        settings.directory, writer_id, total_bytes_max=settings.journal_max_size, sync=settings.fsync
    )


def _build_limits(settings: RateLimitingSettings) -> LimitTable:
    return LimitTable(
        settings.file,
        rate_default=settings.default_requests_per_minute,
        burst_default=settings.default_burst,
    )


def build_gateway(worker: Worker, system: SystemPages) -> Gateway:
    """Return the hot path of a worker."""
    settings = worker.settings
    bounds, trusted = build_bounds(settings.proxy), build_trusted_proxies(settings.security.trusted_proxies)
    return Gateway(
        system=system,
        intake=Intake(worker.snapshots, worker.counters, bounds, worker.limits, trusted),
        upstream=worker.upstream,
        trail=worker.trail,
        counters=worker.counters,
        bounds=bounds,
        cors=CorsPolicy.build(settings.cors),
    )


def create_app(
    settings: Settings, worker: Worker | None = None, *, on_open: OnOpen = lambda _error: None
) -> Quart:
    """Return the application that serves this configuration, by a worker that is its own unless given."""
    app = Quart(__name__, static_folder=None)
    # Streams last longer than Quart's default minute, and its error pages could show a frame's locals.
    app.config.update(RESPONSE_TIMEOUT=None, PROPAGATE_EXCEPTIONS=True)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    worker = worker or Worker(settings)
    prefix = settings.app.system_prefix
    add_pages(app, worker, prefix)
    app.asgi_app = build_gateway(  # type: ignore[method-assign, assignment]
        worker, SystemPages(cast("ASGIApp", app.asgi_app), own_paths(prefix))
    )

    @app.before_serving
    async def open_worker() -> None:
        try:
            worker.snapshots.start()
        except FastGateError as error:
            on_open(error)  # a server passes its text on, but not what it is
            raise
        worker.publishing = asyncio.create_task(worker.keep_publishing())
        on_open(None)

    @app.after_serving
    async def close_worker() -> None:
        await worker.close()

    return app
