"""Checks of backends: does each take a connection, over TLS one to be trusted. No request is sent."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from proxy.checks.result import Check, failed, passed, warning
from proxy.errors import UpstreamError
from proxy.policy.model import Route
from proxy.upstream.balance import Backend
from proxy.upstream.faults import explain_connect_error, name_route
from proxy.upstream.resolve import Resolver
from proxy.upstream.ways import Way as UpstreamWay
from proxy.upstream.ways import Ways

CONNECTIONS_MAX = 16  # at a time
NAMES_MAX = 3
_NAME = "backend"


class Way(NamedTuple):
    """A backend as some routes reach it."""

    origin: str
    tls_ca: str = ""
    tls_verify: bool = True
    http_version: str = "1.1"


class Reached(NamedTuple):
    """What came of a connection: how long it took, and over which TLS; or what was wrong."""

    seconds: float = 0.0
    tls: str = ""
    fault: str = ""
    remedy: str = ""


def check_backends(routes: Sequence[Route], timeout_seconds: float, egress_proxy: str) -> Iterator[Check]:
    """Yield for each backend whether it can be reached; of those behind an egress proxy, only that one."""
    if egress_proxy:
        # Never the whole URL: it may hold a password.
        url = urlsplit(egress_proxy)
        origin = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        proxy = Route("", "", "/*", url.netloc.rpartition("@")[2], target_protocol=url.scheme)
        (reached,) = asyncio.run(_reach_all({Way(origin): proxy}, timeout_seconds))
        yield judge_proxy(origin, reached)
        return
    users: dict[Way, list[Route]] = {}
    for route in routes:
        for way in find_ways(route):
            users.setdefault(way, []).append(route)
    first = {way: found[0] for way, found in users.items()}
    reached_by = dict(zip(users, asyncio.run(_reach_all(first, timeout_seconds)), strict=True))
    for way in users:
        yield judge_backend(way, users[way], reached_by)


def name_for_shell(route: Route) -> str:
    """Return how a command line names a route."""
    return shlex.quote(route.route_name)


def find_ways(route: Route) -> list[Way]:
    """Return how a route reaches its backends, the first one first."""
    origins = (
        f"{route.target_protocol}://{route.target_host}",
        *(target.rstrip("/") for target in route.targets),
    )
    return [Way(origin, route.tls_ca, route.tls_verify, route.http_version) for origin in origins]


def judge_backend(way: Way, users: Sequence[Route], reached_by: Mapping[Way, Reached]) -> Check:
    """Return how a backend is: one that is down is a fault if a route has no other that is not."""
    reached = reached_by[way]
    names = ", ".join(route.route_name for route in users[:NAMES_MAX])
    names += f" and {len(users) - NAMES_MAX} more" if len(users) > NAMES_MAX else ""
    if not reached.fault:
        tls = f", {reached.tls}" if reached.tls else ""
        return passed(_NAME, f"{way.origin} in {reached.seconds * 1000:.1f} ms{tls}; for {names}")
    is_needed = any(all(reached_by[other].fault for other in find_ways(route)) for route in users)
    detail = f"{way.origin}: {reached.fault}; for {names}"
    return (failed if is_needed else warning)(_NAME, detail, reached.remedy)


def judge_proxy(origin: str, reached: Reached) -> Check:
    """Return how the egress proxy is."""
    if reached.fault:
        return failed(_NAME, f"the egress proxy {origin}: {reached.fault}", "look at proxy.egress_proxy")
    taken = f"{reached.seconds * 1000:.1f} ms"
    return passed(_NAME, f"the egress proxy {origin} in {taken}; what is behind it was not tried")


async def _reach_all(users: Mapping[Way, Route], timeout_seconds: float) -> list[Reached]:
    """Return what came of a connection to each backend, of which a route is given."""
    slots = asyncio.Semaphore(CONNECTIONS_MAX)
    ways = Ways(Resolver())
    # Before the first connection: to load authorities takes longer than to connect, and nothing else goes on.
    found = {way: _find(ways, route) for way, route in users.items()}

    async def reach_in_turn(way: Way, route: Route) -> Reached:
        name, upstream = name_for_shell(route), found[way]
        if isinstance(upstream, Reached):
            return upstream._replace(remedy=f"fastgate routes update {name} --tls-ca FILE")
        async with slots:
            return await _reach(way, upstream, name, timeout_seconds)

    return await asyncio.gather(*(reach_in_turn(way, route) for way, route in users.items()))


async def _reach(way: Way, upstream: UpstreamWay, name: str, timeout_seconds: float) -> Reached:
    """Make a connection as the gateway does, and close it."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_seconds):
            connection = await upstream.connect(Backend(way.origin))
    except (OSError, ValueError, UpstreamError) as error:
        failure = explain_connect_error(error, name)
        return Reached(fault=failure.words, remedy=name_route(failure.hint, name))
    seconds = time.perf_counter() - started
    tls = connection.transport.get_extra_info("ssl_object") if connection.transport is not None else None
    connection.close()
    return Reached(seconds, tls.version() or "" if tls is not None else "")


def _find(ways: Ways, route: Route) -> UpstreamWay | Reached:
    try:
        return ways.find(route)
    except UpstreamError:
        return Reached(fault=f"the authorities in {route.tls_ca} cannot be read")
