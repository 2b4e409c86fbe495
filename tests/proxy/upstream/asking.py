"""What tests of the backend's side have in common: an exchange that keeps what it is told, and a worker's
upstream.

Backends are played by the tests on real sockets, in the same event loop, of either kind.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvloop

from proxy.errors import UpstreamError
from proxy.policy.model import HeaderPairs, Route
from proxy.policy.routing import CompiledRoute, compile_route
from proxy.settings import ProxySettings
from proxy.upstream.answers import KnownAnswer
from proxy.upstream.request import CHUNKED, OutgoingRequest, build_template
from proxy.upstream.sending import Sending
from proxy.upstream.upstream import Upstream

BOUND_SECONDS = 20
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(work: Coroutine[Any, Any, None], loop: str = "uvloop") -> None:
    """Run a test in an event loop; fails if it takes too long, or if something in the loop has failed."""
    failures: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        async with asyncio.timeout(BOUND_SECONDS):
            await work

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())
    assert not failures, failures


def full_reason(error: UpstreamError) -> str:
    """Return the code and the detail of an error, whether or not a row would have both."""
    return f"{error.code}: {error.detail}" if error.detail else error.code


class Asked:
    """An exchange of a test. `told` has every call in order: its name, and what is worth comparing."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.status = 0
        self.headers: HeaderPairs = ()
        self.body = bytearray()
        self.is_held_back = False
        self.error: Exception | None = None
        self.sending: Sending
        self._changed = asyncio.Event()

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        self.status, self.headers = status, headers
        self._tell("head")

    def take_answer(self, data: bytes, pieces: int) -> None:
        assert data
        assert pieces
        self.body += data
        self._tell("answer")

    def take_answer_end(self) -> None:
        self._tell("end")

    def take_whole(self, known: KnownAnswer, body: bytes) -> None:
        self.take_head(known.status, [*known.headers, (b"content-length", b"%d" % len(body))])
        if body:
            self.take_answer(body, 1)
        self.take_answer_end()

    def fail(self, error: UpstreamError) -> None:
        self.error = error
        self._tell("fail")

    def crash(self, error: Exception) -> None:
        self.error = error
        self._tell("crash")

    def hold_body_back(self) -> None:
        self.is_held_back = True
        self._changed.set()

    def go_on_with_body(self) -> None:
        self.is_held_back = False
        self._changed.set()

    @property
    def is_over(self) -> bool:
        return bool(self.told) and self.told[-1] in ("end", "fail", "crash")

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def head(self) -> int:
        """Return the status once the head has come; raises what came instead."""
        await self.until(lambda: bool(self.status) or self.is_over)
        if not self.status and self.error is not None:
            raise self.error
        return self.status

    async def whole(self) -> bytes:
        """Return the body once it is whole; raises what came instead."""
        await self.until(lambda: self.is_over)
        if self.error is not None:
            raise self.error
        return bytes(self.body)

    async def failure(self) -> UpstreamError:
        """Return what it has failed with."""
        await self.until(lambda: self.is_over)
        assert isinstance(self.error, UpstreamError), (self.error, self.told)
        return self.error

    def _tell(self, what: str) -> None:
        assert not self.is_over, (self.told, what)
        self.told.append(what)
        self._changed.set()


class Told(Asked):
    """Both an exchange, and what its connection tells of it, without a sending between them."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange: Any = self
        self.connection: Any = None
        self.is_untouched = self.is_unsent = False

    def take_whole(self, known: KnownAnswer, body: bytes) -> bool:  # type: ignore[override]
        super().take_whole(known, body)
        self.connection.note_whole(known)
        return True

    def finish(self) -> None:
        self._tell("end")

    def fail(self, error: UpstreamError, *, is_untouched: bool = False, is_unsent: bool = False) -> None:
        self.error, self.is_untouched, self.is_unsent = error, is_untouched, is_unsent
        self._tell("fail")


class Wire(asyncio.Transport):
    """The socket's side of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_aborted = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        self.is_aborted = True


def route_to(origin: str, **fields: Any) -> CompiledRoute:
    """Return a route to one backend, `http://host:port`."""
    scheme, _, host = origin.partition("://")
    return compile_route(Route("rt_1", "rt_1", "/*", host, target_protocol=scheme, **fields))


@asynccontextmanager
async def upstream_of(**options: Any) -> AsyncIterator[Upstream]:
    """A worker's upstream; what is no option of its own is a setting of `proxy`."""
    own = {name: options.pop(name) for name in ("resolver", "observe", "chance") if name in options}
    upstream = Upstream(ProxySettings(**options), **own)
    upstream.start()
    yield upstream
    await upstream.close()


def ask(
    upstream: Upstream,
    compiled: CompiledRoute,
    body: bytes | None = None,
    *,
    method: str = "",
    target: bytes = b"/x",
    headers: Sequence[tuple[bytes, bytes]] = ((b"x-request-id", b""),),
    length: int | None = None,
    is_whole: bool = True,
    seconds: float = 10.0,
) -> Asked:
    """Send a request; with a `length`, which may be `CHUNKED`, its body comes later."""
    asked = Asked()
    method = method or ("GET" if body is None and length is None else "POST")
    plan = upstream.find_plan(compiled)
    template = build_template(method, target, [(b"host", compiled.header_rules.host), *headers])
    if length is None and body is not None:
        length = len(body)
    request = OutgoingRequest(template, b"id-1", length, [body] if body else [], is_whole=is_whole)
    asked.sending = upstream.open(plan, upstream.choose(plan), request, asked, seconds)
    asked.sending.start()
    return asked


def stream(upstream: Upstream, compiled: CompiledRoute, **options: Any) -> Asked:
    """Send a request whose body is to come, in chunks where there are any."""
    return ask(upstream, compiled, length=options.pop("length", CHUNKED), is_whole=False, **options)


class Served:
    """A listener of a test. `url` is its origin, and `connections` counts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.connections = 0


@asynccontextmanager
async def serving(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Have a function play every connection; what a connection that ends does to it is passed over."""
    tasks: set[asyncio.Task[Any]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=context, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    served = Served(f"{'https' if context else 'http'}://127.0.0.1:{port}")
    yield served
    server.close()
    for task in [*tasks]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
