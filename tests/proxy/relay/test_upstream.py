"""The way to the backends: what is added to a request (nothing), and what its failures are called."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError, UpstreamTruncatedError
from proxy.policy.model import Route
from proxy.policy.routing import CompiledRoute, compile_route
from proxy.relay.upstream import Upstream, build_transport, translate_error
from proxy.settings import ProxySettings
from proxy.store.routes import NewRoute

Fixture = Any
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class SlowClosingStream(httpx.AsyncByteStream):
    """A body whose closing takes its time."""

    def __init__(self) -> None:
        self.may_close = asyncio.Event()
        self.closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        await self.may_close.wait()
        self.closed.set()


def to(host: str, **wishes: Any) -> CompiledRoute:
    """Return a route to a backend."""
    return compile_route(Route("rt_1", "one", "/*", host, **wishes))


def run(test: Callable[[Upstream], Awaitable[None]], connect_timeout: float = 2.0) -> None:
    async def with_upstream() -> None:
        upstream = Upstream(build_transport(), connect_timeout)
        async with asyncio.timeout(5):
            await test(upstream)
        await upstream.close()

    asyncio.run(with_upstream())


@contextmanager
def full_listener() -> Iterator[str]:
    """A port whose queue is full: a connection to it is neither accepted nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as filler:
        address = listener.getsockname()
        filler.connect(address)
        extra = [socket.socket() for _ in range(4)]
        for one in extra:
            one.setblocking(False)
            one.connect_ex(address)
        yield f"127.0.0.1:{address[1]}"
        for one in extra:
            one.close()


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (httpx.ConnectTimeout(""), UpstreamTimeoutError, 504),
        (httpx.ReadTimeout(""), UpstreamTimeoutError, 504),
        (httpx.WriteTimeout(""), UpstreamTimeoutError, 504),
        (httpx.PoolTimeout(""), UpstreamTimeoutError, 504),
        (httpx.ConnectError("secret"), UpstreamError, 502),
        (httpx.ProxyError("secret"), UpstreamError, 502),
        (httpx.ReadError("secret"), UpstreamInvalidError, 502),
        (httpx.RemoteProtocolError("secret"), UpstreamInvalidError, 502),
        (httpx.LocalProtocolError("secret"), UpstreamInvalidError, 502),
    ],
)
def test_a_failure_before_the_head_is_named(
    error: httpx.TransportError, kind: type[UpstreamError], status: int
) -> None:
    ours = translate_error(error, UpstreamInvalidError)
    assert (type(ours), ours.status) == (kind, status)
    assert "secret" not in ours.message


def test_a_failure_after_the_head_is_a_truncation_unless_it_is_a_time_out() -> None:
    assert type(translate_error(httpx.ReadError(""), UpstreamTruncatedError)) is UpstreamTruncatedError
    assert type(translate_error(httpx.ReadTimeout(""), UpstreamTruncatedError)) is UpstreamTimeoutError


def test_a_request_goes_out_as_it_was_given(backend: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    seen: list[bytes] = []

    async def test(upstream: Upstream) -> None:
        headers = [(b"host", b"name"), (b"x-a", b"1"), (b"x-a", b"2")]

        def answer() -> None:
            wire = backend.accept()
            seen.append(wire.read_head())
            wire.send(OK)

        answering = asyncio.get_running_loop().run_in_executor(None, answer)
        response = await upstream.send("GET", to(backend.host), b"/a/%7e//b?x=%20&&y", headers, None, 2.0)
        await answering
        assert isinstance(response.stream, httpx.AsyncByteStream)
        assert b"".join([chunk async for chunk in response.stream]) == b"ok"
        await upstream.release(response, is_whole=True)

    run(test)
    assert seen == [b"GET /a/%7e//b?x=%20&&y HTTP/1.1\r\nhost: name\r\nx-a: 1\r\nx-a: 2\r\n\r\n"]


def test_no_such_host_and_no_such_port_are_unreachable(refusing: str) -> None:
    async def test(upstream: Upstream) -> None:
        for host in (refusing, "no-such-host.invalid"):
            with pytest.raises(UpstreamError) as caught:
                await upstream.send("GET", to(host), b"/", [(b"host", b"x")], None, 2.0)
            assert caught.value.code == "upstream_unreachable"

    run(test)


def test_a_backend_that_accepts_nobody_is_a_time_out() -> None:
    with full_listener() as host:

        async def test(upstream: Upstream) -> None:
            with pytest.raises(UpstreamTimeoutError):
                await upstream.send("GET", to(host), b"/", [(b"host", b"x")], None, 2.0)

        run(test, connect_timeout=0.1)


def test_a_backend_that_speaks_no_tls_is_unreachable(backend: Fixture) -> None:
    async def test(upstream: Upstream) -> None:
        def answer() -> None:
            wire = backend.accept()
            wire.send(b"this is no TLS\r\n")
            wire.finish_sending()

        answering = asyncio.get_running_loop().run_in_executor(None, answer)
        with pytest.raises(UpstreamError) as caught:
            await upstream.send(
                "GET", to(backend.host, target_protocol="https"), b"/", [(b"host", b"x")], None, 2.0
            )
        assert caught.value.code == "upstream_unreachable"
        await answering

    run(test)


def test_a_connection_is_closed_to_the_end_even_if_the_caller_is_cancelled_twice() -> None:
    async def test(upstream: Upstream) -> None:
        stream = SlowClosingStream()
        response = httpx.Response(200, stream=stream)
        releasing = asyncio.create_task(upstream.release(response, is_whole=False))
        for _ in range(2):
            await asyncio.sleep(0)
            releasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await releasing
        stream.may_close.set()
        await stream.closed.wait()

    run(test)


def test_a_cookie_for_one_client_is_not_sent_for_another(gate: Fixture, backend: Fixture) -> None:
    first, second = gate.send(), None
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\nset-cookie: session=first\r\ncontent-length: 0\r\n\r\n")
    assert first.read_reply().header("set-cookie") == "session=first"
    second = gate.send()
    assert b"cookie" not in wire.read_head().lower()
    wire.send(OK)
    assert second.read_reply().status == 200


def test_the_gateway_turns_to_the_next_backend_of_a_route(
    make_gate: Fixture, backend: Fixture, refusing: str
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", refusing, targets=[f"http://{backend.host}"])])
    client = gate.send(body=b"hello")
    wire = backend.accept()
    assert f"host: {backend.host}\r\n".encode() in wire.read_head()
    assert wire.read_exactly(5) == b"hello"
    wire.send(OK)
    assert client.read_reply("POST").body == b"ok"


def test_a_stream_that_takes_longer_than_the_whole_may_is_broken_off(
    make_gate: Fixture, backend: Fixture
) -> None:
    proxy = ProxySettings(total_timeout=0.2)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=proxy)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    wire.send_chunk(b"data: 1\n\n")
    assert not client.read_rest().endswith(b"0\r\n\r\n")
    wire.wait_closed()
    assert gate.wait_for_end().error == "upstream_timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 000 None\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 201 + b"\r\n",
    ],
    ids=["coding in 1.0", "no status", "101", "headers"],
)
def test_an_answer_that_could_be_misread_is_a_502(gate: Fixture, backend: Fixture, answer: bytes) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(answer)
    reply = client.read_reply()
    assert reply.status == 502
    assert gate.end_of(reply).error == "upstream_invalid"
    wire.wait_closed()


def test_a_client_that_leaves_frees_a_backend_of_http_2(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, http_version="2")])
    client = gate.send()
    wire = backend.accept()
    assert wire.read_until(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    client.reset()
    wire.wait_closed()
    assert gate.wait_for_end().error == "client_abort"


def test_an_egress_proxy_is_used_by_the_gateway(make_gate: Fixture, backend: Fixture) -> None:
    proxy = ProxySettings(egress_proxy=f"http://{backend.host}")
    gate = make_gate(routes=[NewRoute("/v1/*", "backend.test:81")], proxy=proxy)
    client = gate.send("/v1/a%20b?q=%zz")
    wire = backend.accept()
    assert wire.read_head().startswith(b"GET http://backend.test:81/v1/a%20b?q=%zz HTTP/1.1\r\n")
    wire.send(OK)
    assert client.read_reply().body == b"ok"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the HTTP version, the target and the body."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
    target = scope["raw_path"] + b"?" + scope["query_string"]
    await send(
        {"type": "http.response.body", "body": b" ".join((scope["http_version"].encode(), target, body))}
    )


@pytest.fixture
def http2_port() -> Iterator[int]:
    """The port of `echo` on Hypercorn, which speaks HTTP/2 in clear text too."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config, stop = Config(), threading.Event()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    config.graceful_timeout = 0.2
    trigger = partial(asyncio.to_thread, stop.wait)
    thread = threading.Thread(target=lambda: asyncio.run(serve(echo, config, shutdown_trigger=trigger)))
    thread.start()
    yield port
    stop.set()
    thread.join(10)


@pytest.mark.parametrize("size", [0, 5, 300_000])
def test_a_route_marked_so_is_served_over_http_2(make_gate: Fixture, http2_port: int, size: int) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", f"127.0.0.1:{http2_port}", http_version="2")])
    for _ in range(2):
        client = gate.send("/v1/a%7e?q=%20", body=b"x" * size)
        reply = client.read_reply("POST")
        assert reply.body == b"2 /v1/a%7e?q=%20 " + b"x" * size
        assert reply.header("x-a") == "1"
