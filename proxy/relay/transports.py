"""Which transport serves a route: one for each way of reaching a backend that the routes have in common.

`DirectTransport` for HTTP/1.1, `ExclusiveTransport` for HTTP/2 and for everything if there is an egress
proxy. Certificates are verified unless a route says otherwise, and nothing is read from the environment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import httpx

from proxy.errors import UpstreamError
from proxy.policy.model import Route
from proxy.relay.direct import DirectTransport
from proxy.relay.exclusive import ExclusiveTransport

TRANSPORTS_MAX = 64
# The pool of `ExclusiveTransport` decides how long a connection may rest, for httpx too.
_ONE_CONNECTION = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
# What comes after an answer of HTTP/1.1 would be read by httpx as part of the next one, and an egress proxy
# is spoken to in HTTP/1.1 whenever the backend is no https.
_ONE_EXCHANGE = httpx.Limits(max_connections=1, max_keepalive_connections=0)


class Way(NamedTuple):
    """How a backend is reached. `ca_state` changes when the file of authorities does."""

    http_version: str
    tls_ca: str
    ca_state: tuple[int, int, int]
    tls_verify: bool


class Transports:
    """A worker's transports. `generation` moves when one was given up: look it up again then.

    `plain` serves routes without wishes of their own, unless there is an `egress_proxy`, a URL.
    """

    def __init__(self, plain: httpx.AsyncBaseTransport, *, egress_proxy: str = "") -> None:
        self.generation = 0
        self._plain = plain
        self._proxy = httpx.Proxy(egress_proxy) if egress_proxy else None
        self._others: dict[Way, httpx.AsyncBaseTransport] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def find(self, route: Route) -> httpx.AsyncBaseTransport:
        """Return the transport for a route; `UpstreamError` if its authorities cannot be read."""
        way = Way(route.http_version, route.tls_ca, _identify(route.tls_ca), route.tls_verify)
        if self._proxy is None and way.http_version != "2" and not way.tls_ca and way.tls_verify:
            return self._plain
        transport = self._others.pop(way, None) or self._build(way)
        self._others[way] = transport  # at the end, because it was used last
        if len(self._others) > TRANSPORTS_MAX:
            self._give_up(next(iter(self._others)))
        return transport

    async def close(self) -> None:
        """Close every idle connection."""
        for transport in (self._plain, *self._others.values()):
            await transport.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _give_up(self, way: Way) -> None:
        # What is under way over it goes on; its connections are closed as they come back.
        self.generation += 1
        task = asyncio.create_task(self._others.pop(way).aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _build(self, way: Way) -> httpx.AsyncBaseTransport:
        context = _load_context(way)
        if self._proxy is None and way.http_version != "2":
            return DirectTransport(context)
        is_http2 = way.http_version == "2"
        limits = _ONE_CONNECTION if is_http2 and self._proxy is None else _ONE_EXCHANGE
        return ExclusiveTransport(
            lambda: httpx.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                http1=not is_http2,
                http2=is_http2,
                limits=limits,
                proxy=self._proxy,
                retries=0,
            )
        )


class Http2Context(ssl.SSLContext):
    """A context that offers HTTP/2 and nothing besides: a server might choose the other."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer `h2` (RFC 9113 section 3.2)."""
        super().set_alpn_protocols([name for name in alpn_protocols if name == "h2"])


def build_context(*, ca_file: str = "", verify: bool = True, http2: bool = False) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those of a file.

    Without `verify` it trusts anybody, and says so nowhere else. Raises `OSError` for a file that cannot be
    read or holds no certificate.
    """
    context = Http2Context(ssl.PROTOCOL_TLS_CLIENT) if http2 else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def find_authority_fault(route: Route) -> str:
    """Return why a route's file of authorities cannot be used; empty if it can be, or there is none."""
    if not route.tls_ca:
        return ""
    try:
        build_context(ca_file=route.tls_ca)
    except (ssl.SSLError, ValueError):  # ValueError: a path that holds NUL
        reason = "it is no PEM file"
    except OSError as error:
        reason = error.strerror or "no reason given"
    else:
        return ""
    return f"its certificate authorities cannot be read: {route.tls_ca}: {reason}"


def _load_context(way: Way) -> ssl.SSLContext:
    try:
        return build_context(ca_file=way.tls_ca, verify=way.tls_verify, http2=way.http_version == "2")
    except OSError as error:
        raise UpstreamError(
            "the route's certificate authorities cannot be read", hint=f"look at the file {way.tls_ca}"
        ) from error


def _identify(ca_file: str) -> tuple[int, int, int]:
    if not ca_file:
        return 0, 0, 0
    try:
        status = Path(ca_file).stat()
    except (OSError, ValueError):  # ValueError: a path that holds NUL
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
