"""The composition root: one worker's parts, put together, and the Quart app with the gateway's own pages.

`create_app(settings)` returns a Quart app whose `asgi_app` is the relay; what the relay does not serve itself
(`/health`, `/metrics`, `/`) goes on to Quart. What a worker owns is opened when serving starts and closed
when it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from quart import Quart

from proxy.audit.exchange import AuditTrail, build_audit_policy
from proxy.audit.journal import JournalWriter
from proxy.clock import now_us
from proxy.errors import FastGateError
from proxy.ids import new_ulid
from proxy.pages import add_pages
from proxy.relay.asgi import ASGIApp
from proxy.relay.counters import Counters
from proxy.relay.gateway import Gateway
from proxy.relay.snapshot import SnapshotSource
from proxy.relay.upstream import Upstream, build_transport
from proxy.settings import Settings, database_path
from proxy.store.database import open_database


class Worker:
    """What one worker process owns while it serves."""

    def __init__(self, settings: Settings, number: int = 1) -> None:
        self.settings = settings
        self.counters = Counters()
        self.started = time.monotonic()
        self.snapshots = SnapshotSource(
            lambda: open_database(database_path(settings), create=False),
            strip_headers=settings.proxy.strip_headers,
            environ=os.environ,
            folder=settings.source.parent if settings.source else Path.cwd(),
        )
        self.journal = self._open_journal(number) if settings.audit.enabled else None
        self.trail = AuditTrail(self.journal, build_audit_policy(settings.audit))
        self.upstream = Upstream(build_transport(), settings.proxy.connect_timeout)

    def _open_journal(self, number: int) -> JournalWriter:
        return JournalWriter(self.settings.audit.directory, f"worker-{number}-{new_ulid(now_us())}")

    async def close(self) -> None:
        """Give back everything, in the order in which it is needed least."""
        await self.upstream.close()
        self.snapshots.stop()
        if self.journal is not None:
            self.journal.close()


# Called when a worker has opened what it owns, or with the error for which it could not.
OnOpen = Callable[[FastGateError | None], object]


def create_app(settings: Settings, number: int = 1, *, on_open: OnOpen = lambda _error: None) -> Quart:
    """Return the application with which worker `number` serves this configuration."""
    app = Quart(__name__, static_folder=None)
    # Streams last longer than Quart's default minute, and its error pages could show a frame's locals.
    app.config.update(RESPONSE_TIMEOUT=None, PROPAGATE_EXCEPTIONS=True)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    worker = Worker(settings, number)
    prefix = settings.app.system_prefix
    paths = frozenset(f"{prefix}{path}".encode() for path in ("/", "/health", "/metrics"))
    add_pages(app, worker, prefix)
    app.asgi_app = Gateway(  # type: ignore[method-assign, assignment]
        system=cast("ASGIApp", app.asgi_app),
        system_paths=paths,
        snapshots=worker.snapshots,
        upstream=worker.upstream,
        trail=worker.trail,
        counters=worker.counters,
        timeout_seconds=settings.proxy.timeout,
        body_bytes_max=settings.proxy.max_body_size,
    )

    @app.before_serving
    async def open_worker() -> None:
        try:
            worker.snapshots.start()
        except FastGateError as error:
            on_open(error)  # a server passes its text on, but not what it is
            raise
        on_open(None)

    @app.after_serving
    async def close_worker() -> None:
        await worker.close()

    return app
