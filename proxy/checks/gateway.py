"""Checks of the gateway that this configuration runs, and of the port that it takes."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from proxy import __version__
from proxy.checks.result import Check, failed, passed, warning
from proxy.errors import ConflictError, NotRunningError
from proxy.exposure import METRICS_CLOSED, METRICS_FIX, are_metrics_closed
from proxy.listening import bind_listener
from proxy.running import Note, read_running
from proxy.settings import Settings

_HEALTH_BYTES_MAX = 64 * 1024
# What was changed a moment ago is known to the gateway by then.
_SETTLE_SECONDS = 1.0
_NAME = "gateway"
_RESTART = "fastgate stop, then fastgate serve"


@dataclass(frozen=True, slots=True)
class Gateway:
    """What is known of the gateway: its note, and its health if it answered. No note: none is running."""

    note: Note | None = None
    health: dict[str, Any] | None = None
    fault: str = ""

    @property
    def routes(self) -> int | None:
        """Return how many routes it serves."""
        count = self.health.get("routes") if self.health else None
        return count if isinstance(count, int) else None


def find_gateway(settings: Settings, timeout_seconds: float) -> Gateway:
    """Return the gateway that runs on this configuration's journal."""
    try:
        note = read_running(settings.audit.directory)
    except NotRunningError:
        return Gateway()
    try:
        return Gateway(note, ask_health(note.address, settings.app.system_prefix, timeout_seconds))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return Gateway(note, fault=f"it does not say how it is: {reason}")


def ask_health(address: str, prefix: str, timeout_seconds: float) -> dict[str, Any]:
    """Return what `GET /health` says. Raises `OSError`, `HTTPException`, or `ValueError` for no such page."""
    url = urlsplit(address)
    assert url.hostname is not None
    with closing(http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_seconds)) as connection:
        connection.request("GET", f"{prefix}/health", headers={"connection": "close"})
        page = json.loads(connection.getresponse().read(_HEALTH_BYTES_MAX))
    if not isinstance(page, dict) or "status" not in page:
        raise ValueError("no such page")
    return page


def check_port(settings: Settings, gateway: Gateway) -> Iterator[Check]:
    """Yield whether the port is free, or held by this configuration's own gateway."""
    host, port = settings.app.host, settings.app.port
    if port == 0:
        yield passed("port", "app.port is 0: a free one is taken")
        return
    try:
        bind_listener(host, port).close()
    except ConflictError as error:
        note = gateway.note
        if note is not None and urlsplit(note.address).port == port:
            yield passed("port", f"{port} on {host} is held by this gateway ({note.pid})")
        else:
            yield failed("port", error.message, f"ss -ltnp 'sport = :{port}' shows who; or set app.port")
    else:
        yield passed("port", f"{port} on {host} is free")


def check_metrics(settings: Settings) -> Iterator[Check]:
    """Yield a warning if nobody may read `/metrics`."""
    if are_metrics_closed(settings):
        yield warning("metrics", METRICS_CLOSED, METRICS_FIX)


def check_gateway(gateway: Gateway) -> Iterator[Check]:
    """Yield how the running gateway is; that none runs is no fault."""
    note, health = gateway.note, gateway.health
    if note is None:
        yield warning(_NAME, "none is running", "fastgate serve")
        return
    if note.is_stopping:
        detail = f"{note.pid} on {note.address} is stopping: its last requests have time to finish"
        yield warning(_NAME, detail, "fastgate stop, which waits for its end")
        return
    if health is None:
        yield failed(_NAME, f"it runs as {note.pid} on {note.address}, but {gateway.fault}", "see its log")
        return
    faults = list(_find_faults(note, health))
    yield from faults
    if not faults:
        yield passed(_NAME, f"{note.address}, workers: {note.workers}, version {note.version}, healthy")


def _find_faults(note: Note, health: dict[str, Any]) -> Iterator[Check]:
    if health["status"] != "healthy":
        yield failed(_NAME, f"{note.address} says that it is {health['status']}", "see its log")
    versions = {str(note.version), str(health.get("version", ""))} - {__version__}
    if versions:
        yield warning(_NAME, f"it runs {', '.join(sorted(versions))}, and this is {__version__}", _RESTART)
    if dead := [pid for pid in note.worker_pids if not is_alive(pid)]:
        yield failed(_NAME, f"of its workers {', '.join(map(str, dead))} are gone", "see its log")
    if note.trouble:
        yield warning(_NAME, f"its last reload came to nothing: {note.trouble}", "mend it; fastgate reload")


def check_served(
    settings: Settings,
    gateway: Gateway,
    count_active: Callable[[], int],
    timeout_seconds: float,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Check]:
    """Yield a fault if the running gateway leaves active routes out; it is asked twice before that."""
    if gateway.note is None or gateway.routes is None:
        return
    served, active = gateway.routes, count_active()
    if served != active:
        sleep(_SETTLE_SECONDS)
        again, active = find_gateway(settings, timeout_seconds), count_active()
        served = active if again.routes is None else again.routes
    if served < active:
        detail = f"it serves {served} of {active} active routes; its log says why it leaves others out"
        yield failed(_NAME, detail, "fastgate routes lint")


def is_alive(pid: int) -> bool:
    """Tell whether a process exists, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
