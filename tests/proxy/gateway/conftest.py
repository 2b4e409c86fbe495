"""A gateway in a thread, on connections of its own, between a backend and a client that a test
plays by hand.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvloop

from proxy.audit.events import AuditEvent, Begin, BriefBegin, End, decode_head
from proxy.audit.segments import list_segments
from proxy.gateway.gateway import Gateway
from proxy.gateway.replies import write_refusal
from proxy.http1.server import HttpServer
from proxy.runtime.app import Worker
from proxy.runtime.server import GatewaySite, Site, read_limits
from proxy.settings import (
    AuditSettings,
    CorsSettings,
    DatabaseSettings,
    ProxySettings,
    RateLimitingSettings,
    SecuritySettings,
    Settings,
)
from proxy.store.database import Database, open_database
from proxy.store.keys import create_key
from proxy.store.routes import NewRoute, add_route
from tests.proxy.sockets import TIMEOUT_SECONDS, Backend, LogLines, Reply, Wire, wait_until

UNLIMITED = RateLimitingSettings(default_requests_per_minute=0)


def spell_out(event: BriefBegin) -> Begin:
    """Return the beginning of a request with its head spelled out."""
    head = decode_head(event.head)
    headers = head.headers if event.length is None else f"{head.headers}{event.length}{head.headers_rest}"
    return Begin(
        *(
            event.ulid,
            event.sequence,
            event.began_us,
            head.method,
            head.path,
            head.ip_address,
            head.user_agent,
        ),
        *(head.key_id, head.source_path, head.route_id, head.target_url, headers),
        is_previous=head.is_previous,
    )


@dataclass
class Gate:
    """A gateway that is being served."""

    port: int
    loop: asyncio.AbstractEventLoop
    journal: Path
    begin_stop: Callable[[], object]
    key: str = ""
    settings: Settings = field(default_factory=Settings)
    gateway: Gateway | None = None
    clients: list[Wire] = field(default_factory=list)

    def connect(self) -> Wire:
        self.clients.append(Wire(socket.create_connection(("127.0.0.1", self.port))))
        return self.clients[-1]

    def head(
        self, path: str = "/v1/x", *, method: str = "GET", headers: Sequence[str] = (), key: str | None = None
    ) -> bytes:
        """Return the head of a request with a valid key, or with the given one (empty: none)."""
        key = self.key if key is None else key
        lines = [f"{method} {path} HTTP/1.1", "host: gateway.test", *headers]
        lines += [f"authorization: Bearer {key}"] if key else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def send(self, path: str = "/v1/x", *, body: bytes | None = None, **options: Any) -> Wire:
        """Send a request on a connection of its own."""
        client = self.connect()
        headers = list(options.pop("headers", ()))
        if body is not None:
            headers.append(f"content-length: {len(body)}")
            options.setdefault("method", "POST")
        client.send(self.head(path, headers=headers, **options) + (body or b""))
        return client

    def ask(self, path: str = "/v1/x", **options: Any) -> Reply:
        """Send a request that needs no backend and return the answer."""
        return self.send(path, **options).read_reply(options.get("method", "GET"))

    def events(self) -> list[AuditEvent]:
        """Return everything that the journal holds."""
        return [event for segment in list_segments(self.journal) for event in segment.read(0, 1 << 30)[0]]

    def ends(self) -> list[End]:
        return [event for event in self.events() if isinstance(event, End)]

    def begins(self) -> list[Begin]:
        return [spell_out(event) for event in self.events() if isinstance(event, BriefBegin)]

    def wait_for_end(self, ulid: str | None = None) -> End:
        """Return the one `End` of a request, of the newest one by default; fails if there are more."""
        wanted = ulid or self.begins()[-1].ulid
        self.wait_until(lambda: any(event.ulid == wanted for event in self.ends()))
        (end,) = [event for event in self.ends() if event.ulid == wanted]
        return end

    def end_of(self, reply: Reply) -> End:
        """Return the `End` of the request that a reply answers."""
        return self.wait_for_end(reply.request_id.removeprefix("req_"))

    def hang_up(self) -> None:
        """Close every connection of a client."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    @staticmethod
    def wait_until(condition: Callable[[], object], seconds: float = TIMEOUT_SECONDS) -> None:
        """Return as soon as a condition that nobody signals holds; fails if it does not in time."""
        wait_until(condition, seconds)

    def count_tasks(self) -> int:
        """Return how many tasks the gateway's event loop has, without the one that counts."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(TIMEOUT_SECONDS)


class MakeGate(Protocol):
    """Serve a gateway of one's own, or, without one, that of some settings and routes."""

    def __call__(
        self,
        gateway: Gateway | None = None,
        *,
        routes: Sequence[NewRoute] = (),
        proxy: ProxySettings = ...,
        audit: AuditSettings = ...,
        grace_seconds: float = ...,
        security: SecuritySettings = ...,
        rate_limiting: RateLimitingSettings = ...,
        cors: CorsSettings = ...,
    ) -> Gate: ...


class PartsSite:
    """A gateway that a test has put together, on a socket."""

    def __init__(self, gateway: Gateway, listener: socket.socket, settings: Settings) -> None:
        self._gateway = gateway
        self._listener = listener
        self._settings = settings

    async def serve(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        gateway = self._gateway
        gateway.start()
        server = HttpServer(gateway, read_limits(self._settings), gateway.counters, write_refusal)
        await server.start(self._listener, 512)
        await stopping.wait()
        await server.drain(grace_seconds)
        await server.stop()
        await gateway.upstream.close()


@contextmanager
def _serve(site: Site, gate: Gate, loop: asyncio.AbstractEventLoop, grace: float) -> Iterator[Gate]:
    stop = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(site.serve(stop, grace))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    stop_now = gate.begin_stop = partial(loop.call_soon_threadsafe, stop.set)
    try:
        yield gate
    finally:
        gate.hang_up()
        with suppress(RuntimeError):  # the loop is closed: the test has stopped it itself
            stop_now()
        thread.join(10)
    assert not thread.is_alive()


def make_database(folder: Path, routes: Sequence[NewRoute]) -> tuple[Database, str]:
    """Return a new database with a key and routes, and the key's secret."""
    database = open_database(folder / "fastgate.db", create=True)
    now = datetime.now(UTC)
    _, secret = create_key(database, key_prefix="fg_", now=now)
    for route in routes:
        add_route(database, route, now)
    return database, secret


@contextmanager
def _run_gate(
    folder: Path,
    gateway: Gateway | None = None,
    *,
    routes: Sequence[NewRoute] = (),
    proxy: ProxySettings | None = None,
    audit: AuditSettings | None = None,
    security: SecuritySettings | None = None,
    rate_limiting: RateLimitingSettings | None = None,
    cors: CorsSettings | None = None,
    grace_seconds: float = 0.2,
) -> Iterator[Gate]:
    settings = Settings(
        database=DatabaseSettings(url=f"sqlite:///{folder / 'fastgate.db'}"),
        proxy=proxy or ProxySettings(),
        security=security or SecuritySettings(),
        rate_limiting=replace(rate_limiting or UNLIMITED, file=folder / "limits"),
        cors=cors or CorsSettings(),
        audit=replace(audit or AuditSettings(), directory=folder / "journal"),
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    loop = uvloop.new_event_loop()
    gate = Gate(listener.getsockname()[1], loop, settings.audit.directory, lambda: None, settings=settings)
    if gateway is None:
        database, gate.key = make_database(folder, routes)
        database.close()
        worker = Worker(settings)
        gate.gateway = worker.gateway
        site: Site = GatewaySite(worker, listener)
    else:
        gate.gateway = gateway
        site = PartsSite(gateway, listener, settings)
    with _serve(site, gate, loop, grace_seconds):
        yield gate


@pytest.fixture(scope="module")
def module_backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.close()


@pytest.fixture
def backend(module_backend: Backend) -> Iterator[Backend]:
    """The backend of `gate`; connections that a test leaves open are closed after it."""
    yield module_backend
    module_backend.hang_up()


@pytest.fixture(scope="module")
def module_gate(module_backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    routes = [NewRoute("/v1/*", module_backend.host, route_id="rt_v1")]
    with _run_gate(tmp_path_factory.mktemp("gate"), routes=routes) as served:
        yield served


@pytest.fixture
def gate(module_gate: Gate) -> Iterator[Gate]:
    """A gateway with the usual settings and `/v1/*` leading to the backend; one for each module."""
    yield module_gate
    module_gate.hang_up()
    # What a test leaves in flight is over before the next one begins.
    module_gate.wait_until(lambda: len(module_gate.ends()) == len(module_gate.begins()))


@pytest.fixture
def make_gate(tmp_path: Path) -> Iterator[MakeGate]:
    """Start one more gateway, with what a test needs otherwise."""
    with ExitStack() as running:
        yield lambda gateway=None, **options: running.enter_context(_run_gate(tmp_path, gateway, **options))


@pytest.fixture
def log() -> Iterator[LogLines]:
    """Everything that is logged during a test, whatever the level."""
    lines, root = LogLines(), logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(lines)
    root.setLevel(level)
