"""The composition root: one worker's parts, put together, and the application that serves them.

`fastgate serve` has a worker's gateway called by the connections of `proxy.http1`. `create_app()` is the same
gateway as an ASGI application, for any server: `hypercorn 'proxy.runtime.app:create_app()'`. The gateway's
own pages (`/health`, `/metrics`, `/`) are Quart's in both. What a worker owns is opened when serving starts
and closed when it ends.
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
from proxy.gateway.asgi import AsgiFront
from proxy.gateway.bounds import build_bounds
from proxy.gateway.gateway import Gateway
from proxy.gateway.limits import LimitTable
from proxy.gateway.pages import ASGIApp, Pages
from proxy.gateway.snapshot import SnapshotSource
from proxy.ids import new_ulid
from proxy.pages import add_pages
from proxy.policy.cors import CorsPolicy, list_stripped_headers
from proxy.policy.forwarded import build_trusted_proxies
from proxy.policy.own_pages import own_paths
from proxy.relay.counters import metrics_directory, open_counters
from proxy.runtime.standalone import Standalone, end_with, explain_exit, load_own_settings
from proxy.settings import AuditSettings, RateLimitingSettings, Settings, database_path
from proxy.store.database import open_database
from proxy.upstream.upstream import Upstream

PUBLISH_SECONDS = 1.0  # the age that another worker's gauges may have


class Worker:
    """What one worker process owns while it serves. `app` has the gateway's own pages."""

    def __init__(self, settings: Settings, number: int = 1) -> None:
        self.settings = settings
        writer_id = f"worker-{number}-{new_ulid(now_us())}"
        self.counters = open_counters(metrics_directory(settings), writer_id)
        self.started = time.monotonic()
        self.snapshots = SnapshotSource(
            lambda: open_database(database_path(settings), create=False),
            strip_headers=list_stripped_headers(settings),
            has_cors=settings.cors.enabled,
            content_bytes_max=min(settings.proxy.inspect_body_size, settings.proxy.max_body_size),
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
        self.upstream = Upstream(settings.proxy)
        self.limits = _build_limits(settings.rate_limiting) if settings.rate_limiting.enabled else None
        self.app = _build_app(self)
        self.gateway = _build_gateway(self)
        self._publishing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Get ready to serve, in the event loop. Raises `FastGateError` if there is nothing to serve with."""
        self.snapshots.start()
        self.gateway.start()
        self._publishing = asyncio.get_running_loop().create_task(self._keep_publishing())

    def publish(self) -> None:
        """Put what is counted elsewhere beside what other workers can read."""
        self.counters.publish(
            revision=self.snapshots.current.revision,
            events_lost=self.trail.events_lost,
            heads_recognised=self.gateway.heads.recognised,
            heads_decided=self.gateway.heads.decided,
        )

    async def close(self) -> None:
        """Give back everything, in the order in which it is needed least."""
        if self._publishing is not None:
            self._publishing.cancel()
        await self.upstream.close()
        self.snapshots.stop()
        if self.limits is not None:
            self.limits.close()
        if self.journal is not None:
            self.trail.retry()
            self.journal.close()
        self.counters.close()

    async def _keep_publishing(self) -> None:
        while True:
            self.trail.retry()
            self.publish()
            await asyncio.sleep(PUBLISH_SECONDS)


def create_app(settings: Settings | None = None) -> Quart:
    """Return an ASGI application that serves a configuration.

    Without one the process is the gateway's alone: the configuration is what a `fastgate` command would find
    here, the log is set up, rows are recorded by a process of their own, and what keeps it from serving ends
    the process with a message. With one all of that is the caller's: rows wait in the journal until somebody
    records them.
    """
    from proxy.runtime.cutting import cut_off  # loads Hypercorn

    standalone: Standalone | None = None
    try:
        if settings is None:
            settings = load_own_settings()
            standalone = Standalone(settings)
        worker = Worker(settings)
    except FastGateError as error:
        raise explain_exit(error) if settings is None or standalone is not None else error from None
    app = worker.app
    app.asgi_app = AsgiFront(worker.gateway, cast("ASGIApp", app.asgi_app), cut_off)  # type: ignore[method-assign, assignment]

    @app.before_serving
    async def open_worker() -> None:
        try:
            if standalone is not None:
                standalone.start()
            worker.open()
        except FastGateError as error:
            if standalone is None:
                raise
            await standalone.stop()
            end_with(error)

    @app.after_serving
    async def close_worker() -> None:
        await worker.close()
        if standalone is not None:
            await standalone.stop()

    return app


def _build_app(worker: Worker) -> Quart:
    app = Quart(__name__, static_folder=None)
    # Streams last longer than Quart's default minute, and its error pages could show a frame's locals.
    app.config.update(RESPONSE_TIMEOUT=None, PROPAGATE_EXCEPTIONS=True)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    add_pages(app, worker, worker.settings.app.system_prefix)
    return app


def _build_gateway(worker: Worker) -> Gateway:
    settings = worker.settings
    cors = CorsPolicy.build(settings.cors)
    return Gateway(
        pages=Pages(cast("ASGIApp", worker.app.asgi_app), own_paths(settings.app.system_prefix), cors),
        snapshots=worker.snapshots,
        upstream=worker.upstream,
        trail=worker.trail,
        counters=worker.counters,
        bounds=build_bounds(settings.proxy),
        limits=worker.limits,
        trusted=build_trusted_proxies(settings.security.trusted_proxies),
        cors=cors,
    )


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
