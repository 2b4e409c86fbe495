"""A gateway on its server in a thread, and a backend and a client that a test plays by hand.

Both ends are plain sockets: what is sent and when, and what is not, is the test's to say.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvloop

from proxy.app import create_app
from proxy.audit.events import AuditEvent, Begin, End
from proxy.audit.segments import list_segments
from proxy.relay.replies import write_refusal
from proxy.server import Site, read_limits, serve_site
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

TIMEOUT_SECONDS = 5.0
UNLIMITED = RateLimitingSettings(default_requests_per_minute=0)


@dataclass
class Reply:
    """A whole response as a client has it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header that is there once."""
        (value,) = [value for key, value in self.headers if key == name]
        return value

    @property
    def request_id(self) -> str:
        return self.header("x-request-id")


class Wire:
    """One end of a connection. Nothing waits longer than `TIMEOUT_SECONDS`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(TIMEOUT_SECONDS)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def has_data(self) -> bool:
        """Tell whether there is anything to be read now."""
        return bool(self._buffer) or bool(select.select([self._sock], [], [], 0)[0])

    def read_until(self, marker: bytes) -> bytes:
        """Return what comes up to and with the marker; fails if the connection ends before it."""
        while marker not in self._buffer:
            piece = self._sock.recv(65536)
            assert piece, f"closed before {marker!r}: {self._buffer!r}"
            self._buffer += piece
        found, _, self._buffer = self._buffer.partition(marker)
        return found + marker

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = self._sock.recv(65536)
            assert piece, "closed too early"
            self._buffer += piece
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def read_head(self) -> bytes:
        return self.read_until(b"\r\n\r\n")

    def read_rest(self) -> bytes:
        """Return everything until the connection ends, well or badly."""
        rest, self._buffer = self._buffer, b""
        try:
            while piece := self._sock.recv(65536):
                rest += piece
        except ConnectionResetError:
            pass
        return rest

    def read_reply(self, method: str = "GET") -> Reply:
        """Return a whole response; raises `http.client.IncompleteRead` for one that breaks off."""
        assert not self._buffer, self._buffer
        response = HTTPResponse(self._sock, method=method)
        response.begin()
        body = response.read()
        return Reply(response.status, response.getheaders(), body)

    def wait_closed(self, seconds: float = 1.0) -> None:
        """Return when the other end has closed; fails if it has not in time."""
        self._sock.settimeout(seconds)
        self.read_rest()

    def finish_sending(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()


class Backend:
    """A listening socket; the test answers what the gateway sends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(TIMEOUT_SECONDS)
        self._wires: list[Wire] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> Wire:
        """Return the next connection that the gateway makes."""
        sock, _ = self._listener.accept()
        self._wires.append(Wire(sock))
        return self._wires[-1]

    def has_connection(self) -> bool:
        """Tell whether the gateway has connected, without waiting."""
        self._listener.settimeout(0)
        try:
            self.accept()
        except BlockingIOError:
            return False
        finally:
            self._listener.settimeout(TIMEOUT_SECONDS)
        return True

    def hang_up(self) -> None:
        """Close every connection; the gateway then makes new ones."""
        while self.has_connection():
            pass
        for wire in self._wires:
            wire.close()
        self._wires.clear()

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


class LogLines(logging.Handler):
    """Everything that is logged, formatted with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Gate:
    """A gateway that is being served."""

    port: int
    loop: asyncio.AbstractEventLoop
    journal: Path
    begin_stop: Callable[[], object]
    key: str = ""
    settings: Settings = field(default_factory=Settings)
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
        return [event for event in self.events() if isinstance(event, Begin)]

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
    def wait_until(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> None:
        """Return as soon as a condition that nobody signals holds; fails if it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass in time"
            time.sleep(0.005)

    def count_tasks(self) -> int:
        """Return how many tasks the gateway's event loop has, without the one that counts."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(TIMEOUT_SECONDS)


class MakeGate(Protocol):
    """Serve an application of one's own, or, without one, the gateway of some settings and routes."""

    def __call__(
        self,
        app: Any = None,
        *,
        routes: Sequence[NewRoute] = (),
        proxy: ProxySettings = ...,
        audit: AuditSettings = ...,
        grace_seconds: float = ...,
        security: SecuritySettings = ...,
        rate_limiting: RateLimitingSettings = ...,
        cors: CorsSettings = ...,
    ) -> Gate: ...


@contextmanager
def _serve(app: Any, journal: Path, secret: str, settings: Settings, grace: float) -> Iterator[Gate]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    loop = uvloop.new_event_loop()
    stop = asyncio.Event()
    site = Site(app, listener, read_limits(settings), write_refusal=write_refusal)

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve_site(site, grace, stop))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    stop_now = partial(loop.call_soon_threadsafe, stop.set)
    served = Gate(port, loop, journal, stop_now, secret, settings)
    try:
        yield served
    finally:
        served.hang_up()
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
    app: Any = None,
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
    secret = ""
    if app is None:
        database, secret = make_database(folder, routes)
        database.close()
        app = create_app(settings)
    journal = settings.audit.directory
    with _serve(app, journal, secret, settings, grace_seconds) as gate:
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
        yield lambda app=None, **options: running.enter_context(_run_gate(tmp_path, app, **options))


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
