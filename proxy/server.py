"""Serving in one process: the listening socket, Hypercorn, and signals.

The only place that knows Hypercorn.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from proxy.errors import ConflictError, InvalidInputError
from proxy.http1.limits import ServerLimits
from proxy.http1.server import HttpServer, Observer
from proxy.settings import Settings

BACKLOG = 2048
# Called once connections are taken, with a function that stops serving, callable from any thread.
OnReady = Callable[[Callable[[], object]], None]


@dataclass(frozen=True, slots=True)
class Site:
    """An ASGI application and the socket that it is served on."""

    app: Any
    listener: socket.socket
    limits: ServerLimits = field(default_factory=ServerLimits)
    observer: Observer | None = None


def bind_listener(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 takes a free one.

    Raises `ConflictError` if the port is in use, `InvalidInputError` if the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every accepted connection; without it streams stall for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        # From here on connections wait in the queue until the application has started. It is only now that
        # a port is refused which another program has bound a moment ago.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _translate_bind_error(error, host, port) from error
    except UnicodeError as error:
        listener.close()
        raise InvalidInputError(f"{host!r} is not a host name", hint="check app.host") from error
    return listener


def _translate_bind_error(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        hint = "choose another with --port (or app.port), or stop what listens there"
        return ConflictError(f"port {port} on {host} is in use", hint=hint)
    if error.errno == errno.EACCES:
        return InvalidInputError(f"port {port} may not be used by this user", hint="choose a port above 1023")
    return InvalidInputError(
        f"cannot listen on {host}:{port}: {error.strerror or error}", hint="check app.host"
    )


def read_limits(settings: Settings) -> ServerLimits:
    """Return the bounds on connections that a configuration sets."""
    return ServerLimits(
        connections_max=settings.proxy.max_connections,
        client_timeout_seconds=settings.proxy.client_timeout,
        keep_alive_seconds=settings.proxy.keep_alive_timeout,
    )


def run_sites(sites: Sequence[Site], grace_seconds: float, *, on_ready: OnReady) -> None:
    """Serve applications in one event loop until SIGTERM, SIGINT or the stop that `on_ready` is given.

    The first signal lets requests in flight finish within `grace_seconds`; a second one ends them.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_sites(sites, grace_seconds, on_ready))


async def _serve_sites(sites: Sequence[Site], grace_seconds: float, on_ready: OnReady) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report_unhandled)
    stopping = asyncio.Event()
    servers = asyncio.gather(*(serve_site(site, grace_seconds, stopping) for site in sites))

    def stop() -> None:
        if stopping.is_set():
            servers.cancel()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    on_ready(lambda: loop.call_soon_threadsafe(stopping.set))
    with suppress(asyncio.CancelledError):
        await servers


async def serve_site(site: Site, grace_seconds: float, stopping: asyncio.Event) -> None:
    """Have Hypercorn run the application's life, and serve connections while it is up."""

    async def take_connections() -> None:
        server = HttpServer(site.app, site.limits, site.observer)
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
