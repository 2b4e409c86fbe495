"""Ways to backends: how connections are made for the routes that have that in common, and their idle ones.

HTTP/1.1 is `BackendConnection`, HTTP/2 `Http2Connection`; both are reached in the same way. Through an
egress proxy a plaintext request of HTTP/1.1 names its host in the request line (RFC 9112 section 3.2.2); all
else goes through a tunnel that CONNECT asks for (RFC 9110 section 9.3.6). Nothing is read from the
environment.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import NamedTuple, Protocol

from proxy.policy.model import Route
from proxy.recognised import Recognised
from proxy.tls import TlsAdapter
from proxy.upstream.answers import KnownAnswer
from proxy.upstream.balance import Backend
from proxy.upstream.connection import BackendConnection
from proxy.upstream.contexts import HTTP2, build_context, identify_file, load_context
from proxy.upstream.dial import open_socket
from proxy.upstream.egress import ConnectTunnel, EgressProxy, read_proxy
from proxy.upstream.faults import (
    NO_HTTP2,
    PASSING_PROXY,
    SECURING,
    explain_connect_error,
    explain_proxy_error,
)
from proxy.upstream.http2 import Http2Connection
from proxy.upstream.pool import IdlePool
from proxy.upstream.ports import Answered
from proxy.upstream.request import OutgoingRequest, RequestTemplate
from proxy.upstream.resolve import Resolver, read_literal

WAYS_MAX = 64
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE))


class Connection(Protocol):
    """What a `Sending` and a pool need of a connection, whatever it speaks."""

    is_closed: bool
    idle_since: float
    idle_seconds_max: float
    deadline: float
    total_deadline: float

    @property
    def transport(self) -> asyncio.Transport | None:
        """Return its transport, as long as there is one."""

    @property
    def is_current(self) -> Callable[[], bool] | None:
        """Tells whether it still leads where the backend's name does; None if that does not move."""

    def send(
        self, answered: Answered, request: OutgoingRequest, template: RequestTemplate, timeout_seconds: float
    ) -> None:
        """Begin an exchange."""

    def send_body(self, data: bytes) -> None:
        """Write a piece of the body, framed as HTTP/1.1 does."""

    def end_body(self) -> None:
        """The body is whole."""

    def note_whole(self, known: KnownAnswer) -> None:
        """The exchange is over: its answer was known and whole."""

    def pause(self) -> None:
        """Read no more of the answer for now."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Close at once, and tell nobody."""

    def expire(self) -> None:
        """Act on a deadline that has passed."""

    def is_reusable(self) -> bool:
        """Tell whether the exchange is over and the next one may begin."""

    def has_input(self) -> bool:
        """Tell whether something has come in that nobody has seen yet."""


# Is told "started" and then, with its transport, "complete" of each connection that is made.
Observe = Callable[[str, asyncio.Transport | None], object]
_Protocol = BackendConnection | Http2Connection | TlsAdapter | ConnectTunnel


class WayKey(NamedTuple):
    """How a route's backends are reached. `ca_state` changes when the file of authorities does."""

    http_version: str
    tls_ca: str
    ca_state: tuple[int, int, int]
    tls_verify: bool


class Way:
    """How connections are made for some routes, and the idle ones among them."""

    def __init__(self, ways: Ways, key: WayKey, context: ssl.SSLContext | None) -> None:
        self.pool: IdlePool[Connection] = IdlePool()
        self._ways = ways
        self._key = key
        self._own_context = context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Reading the system's authorities holds the event loop up for 40 ms: only for who speaks TLS.
        return self._own_context or build_context(
            verify=self._key.tls_verify, http2=self._key.http_version == "2"
        )

    async def connect(self, backend: Backend) -> Connection:
        """Return a new connection; how long that may take is for the caller to say.

        Raises `OSError`, `ssl.SSLError` or an `UpstreamError`.
        """
        try:
            return await self._connect(backend)
        except OSError as error:
            if error.errno not in _NO_FILES:
                raise
        # Idle connections to other backends may have them. What is closed, also by a request beside this one,
        # is given back in the loop's next round.
        self._ways.clear()
        await asyncio.sleep(0)
        try:
            return await self._connect(backend)
        except OSError as error:
            if error.errno in _NO_FILES:
                raise explain_connect_error(error) from error
            raise

    async def _connect(self, backend: Backend) -> Connection:
        ways = self._ways
        ways.observe("started", None)
        connection = self._open(backend)
        path = self._lay(connection, backend)
        try:
            await self._pass(path, connection, backend)
        except BaseException:
            path.protocol.abort()
            ways.connections.discard(connection)
            raise
        ways.observe("complete", connection.transport)
        return connection

    def _open(self, backend: Backend) -> BackendConnection | Http2Connection:
        ways, origin = self._ways, backend.key

        def forget(connection: BackendConnection | Http2Connection) -> None:
            ways.connections.discard(connection)
            self.pool.note_end(origin, connection)

        connection: BackendConnection | Http2Connection
        if self._is_http2:
            connection = Http2Connection(origin[0], forget)
        elif ways.proxy is not None and origin[0] == "http":
            prefix = b"http://" + backend.host
            connection = BackendConnection(forget, prefix, ways.proxy.authorization, ways.answers)
        else:
            connection = BackendConnection(forget, answers=ways.answers)
        ways.connections.add(connection)
        return connection

    def _lay(self, connection: BackendConnection | Http2Connection, backend: Backend) -> _Path:
        """Return the protocols between a socket and a connection."""
        scheme, host, _ = backend.key
        proxy = self._ways.proxy
        protocol: _Protocol = connection
        tls = tunnel = outer = None
        if scheme == "https":
            protocol = tls = TlsAdapter(protocol, self._context, server_hostname=host.rstrip("."))
        if proxy is not None and (scheme == "https" or self._is_http2):
            protocol = tunnel = ConnectTunnel(protocol, backend, proxy)
        if proxy is not None and proxy.origin[0] == "https":
            context = self._ways.proxy_context
            protocol = outer = TlsAdapter(protocol, context, server_hostname=proxy.origin[1])
        return _Path(protocol, outer, tunnel, tls)

    async def _pass(
        self, path: _Path, connection: BackendConnection | Http2Connection, backend: Backend
    ) -> None:
        """Connect a socket, and agree on what has to be agreed on before the first request."""
        ways = self._ways
        _, host, port = backend.key
        if ways.proxy is None:
            await ways.dial(path.protocol, connection, host, port)
        else:
            _, host, port = ways.proxy.origin
            with _passing_proxy():
                await ways.dial(path.protocol, connection, host, port)
                if path.outer is not None:
                    await path.outer.ready
                if path.tunnel is not None:
                    await path.tunnel.ready
        if path.tls is not None:
            await _secure(path.tls)
            if self._is_http2 and path.tls.get_extra_info("ssl_object").selected_alpn_protocol() != HTTP2:
                raise NO_HTTP2.build_error()

    @property
    def _is_http2(self) -> bool:
        return self._key.http_version == "2"


class _Path(NamedTuple):
    """The protocols that a connection is made through. `protocol` is the socket's."""

    protocol: _Protocol
    outer: TlsAdapter | None  # with the egress proxy
    tunnel: ConnectTunnel | None
    tls: TlsAdapter | None  # with the backend


async def _secure(tls: TlsAdapter) -> None:
    try:
        await tls.ready
    except asyncio.CancelledError as error:
        error.add_note(SECURING)  # by which a time-out is told from one of connecting
        raise


@contextmanager
def _passing_proxy() -> Iterator[None]:
    """Have what fails meanwhile told as the egress proxy's fault, and not the backend's."""
    try:
        yield
    except asyncio.CancelledError as error:
        error.add_note(PASSING_PROXY)
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NO_FILES:
            raise
        raise explain_proxy_error(error) from error


class Ways:
    """A worker's ways. `generation` moves when one was given up: look it up again then.

    `connections` are all that are open. `observe` is told of every connection that is made.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        egress_proxy: str = "",
        observe: Observe = lambda _event, _transport: None,
    ) -> None:
        self.generation = 0
        self.resolver = resolver
        self.observe = observe
        self.answers: Recognised[KnownAnswer] = Recognised()
        self.connections: set[Connection] = set()
        self.proxy: EgressProxy | None = read_proxy(egress_proxy) if egress_proxy else None
        self._ways: dict[WayKey, Way] = {}

    @cached_property
    def proxy_context(self) -> ssl.SSLContext:
        return build_context()

    def find(self, route: Route) -> Way:
        """Return the way for a route; `UpstreamError` if its authorities cannot be read."""
        key = WayKey(route.http_version, route.tls_ca, identify_file(route.tls_ca), route.tls_verify)
        way = self._ways.pop(key, None) or Way(self, key, load_context(route) if route.tls_ca else None)
        self._ways[key] = way  # at the end, because it was used last
        if len(self._ways) > WAYS_MAX:
            # What is under way over it goes on; its connections are closed as they come back.
            self.generation += 1
            self._ways.pop(next(iter(self._ways))).pool.close()
        return way

    def clear(self) -> None:
        """Close every idle connection."""
        for way in self._ways.values():
            way.pool.clear()

    def close(self) -> None:
        """Close every idle connection; those that come back later are closed too."""
        for way in self._ways.values():
            way.pool.close()

    async def dial(
        self,
        protocol: asyncio.Protocol,
        connection: BackendConnection | Http2Connection,
        host: str,
        port: int,
    ) -> None:
        """Connect a socket for a protocol, and have the connection know when the name leads elsewhere."""
        sock = await open_socket(self.resolver, host, port)
        if read_literal(host, port) is None:
            try:
                peer = sock.getpeername()
            except OSError:  # reset already
                sock.close()
                raise
            connection.is_current = partial(self.resolver.is_current, host, port, peer)
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
