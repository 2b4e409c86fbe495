"""Serving in one process: the gateway on its own connections, applications on Hypercorn's, and signals.

The only place that knows Hypercorn.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from proxy.errors import FastGateError
from proxy.gateway.replies import write_refusal
from proxy.http1.limits import ServerLimits
from proxy.http1.server import HttpServer
from proxy.listening import BACKLOG
from proxy.open_files import fit_connections, read_limit
from proxy.runtime.app import Worker
from proxy.runtime.standalone import pass_over_cuts
from proxy.settings import Settings

# Allocations between collections of the youngest, and how many of those to one of the next generation. A
# request leaves next to no cycles behind, so that little is waiting.
GC_THRESHOLDS = (10_000, 20, 50)
# Called when a worker has opened what it owns, or with the error for which it could not.
OnOpen = Callable[[FastGateError | None], object]
# Called once connections are taken, with a function that stops serving, callable from any thread.
OnReady = Callable[[Callable[[], object]], None]


class Site(Protocol):
    """Something that is served."""

    async def serve(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        """Take connections until told to stop, then let what is under way finish within the grace."""


class GatewaySite:
    """A worker's gateway on a socket. `on_open` is told once it is ready to serve, or why it cannot."""

    def __init__(
        self, worker: Worker, listener: socket.socket, on_open: OnOpen = lambda _error: None
    ) -> None:
        self._worker = worker
        self._listener = listener
        self._on_open = on_open

    async def serve(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        """Open the worker, serve its connections, and close it."""
        worker = self._worker
        try:
            worker.open()
        except FastGateError as error:
            self._on_open(error)
            raise
        server = HttpServer(worker.gateway, read_limits(worker.settings), worker.counters, write_refusal)
        try:
            await server.start(self._listener, BACKLOG)
            self._on_open(None)
            try:
                await stopping.wait()
                await server.drain(grace_seconds)
            finally:
                await server.stop()
        finally:
            await worker.close()


class AppSite:
    """Any ASGI application, served by Hypercorn on a socket, which is its own from then on."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        self._app = app
        self._listener = listener

    async def serve(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        """Serve the application."""
        config = Config()
        # Given away: a copy that stays open would take connections that nobody answers while others drain.
        config.bind = [f"fd://{self._listener.detach()}"]
        config.graceful_timeout = grace_seconds
        config.errorlog = logging.getLogger("hypercorn.error")

        async def wait() -> None:
            await stopping.wait()

        await serve(self._app, config, shutdown_trigger=wait)


def read_limits(settings: Settings) -> ServerLimits:
    """Return the bounds on connections that a configuration sets, or that the files of this process do."""
    return ServerLimits(
        connections_max=fit_connections(settings.proxy, read_limit()),
        client_timeout_seconds=settings.proxy.client_timeout,
        keep_alive_seconds=settings.proxy.keep_alive_timeout,
    )


def run_sites(sites: Sequence[Site], grace_seconds: float, *, on_ready: OnReady) -> None:
    """Serve applications in one event loop until SIGTERM, SIGINT or the stop that `on_ready` is given.

    The first signal lets requests in flight finish within `grace_seconds`; a second one ends them. Signals
    are the main thread's: in another one only the stop ends it.
    """
    _calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_sites(sites, grace_seconds, on_ready))


def _calm_collector() -> None:
    """Have the garbage collector leave alone what stays, and look at the rest less often.

    A full collection stops every stream for as long as it goes through what was loaded at the start.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _serve_sites(sites: Sequence[Site], grace_seconds: float, on_ready: OnReady) -> None:
    loop = asyncio.get_running_loop()
    pass_over_cuts(loop)
    stopping = asyncio.Event()
    servers = asyncio.gather(*(site.serve(stopping, grace_seconds) for site in sites))

    def stop() -> None:
        if stopping.is_set():
            servers.cancel()
        stopping.set()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    on_ready(lambda: loop.call_soon_threadsafe(stopping.set))
    with suppress(asyncio.CancelledError):
        await servers
