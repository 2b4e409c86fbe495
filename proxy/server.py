"""Serving in one process: applications, their connections, and signals.

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
from dataclasses import dataclass, field
from typing import Any

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from proxy.http1.heads import write_plain_refusal
from proxy.http1.limits import ServerLimits
from proxy.http1.server import HttpServer, Observer, WriteRefusal
from proxy.listening import BACKLOG
from proxy.open_files import fit_connections, read_limit
from proxy.settings import Settings

# Allocations between collections of the youngest, and how many of those to one of the next generation. A
# request leaves next to no cycles behind, so that little is waiting.
GC_THRESHOLDS = (10_000, 20, 50)
# Called once connections are taken, with a function that stops serving, callable from any thread.
OnReady = Callable[[Callable[[], object]], None]


@dataclass(frozen=True, slots=True)
class Site:
    """An ASGI application and the socket that it is served on."""

    app: Any
    listener: socket.socket
    limits: ServerLimits = field(default_factory=ServerLimits)
    observer: Observer | None = None
    write_refusal: WriteRefusal = write_plain_refusal


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
    loop.set_exception_handler(_report_unhandled)
    stopping = asyncio.Event()
    servers = asyncio.gather(*(serve_site(site, grace_seconds, stopping) for site in sites))

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


async def serve_site(site: Site, grace_seconds: float, stopping: asyncio.Event) -> None:
    """Have Hypercorn run the application's life, and serve connections while it is up."""

    async def take_connections() -> None:
        server = HttpServer(site.app, site.limits, site.observer, site.write_refusal)
        await server.start(site.listener, BACKLOG)
        try:
            await stopping.wait()
            await server.drain(grace_seconds)
        finally:
            await server.stop()

    config = Config()
    config.bind = []
    config.errorlog = logging.getLogger("hypercorn.error")
    await serve(site.app, config, shutdown_trigger=take_connections)


def _report_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # asyncio's own streams report every connection that is cut when the grace is over as a failed callback.
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)
