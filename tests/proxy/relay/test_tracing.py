"""A trace is told of the connections that are made, by our transport and by httpx's alike."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme

from proxy.policy.model import Route
from proxy.policy.routing import compile_route
from proxy.relay.direct import DirectTransport
from proxy.relay.tracing import ConnectionTrace, TracedTransport
from proxy.relay.transports import Transports
from proxy.relay.upstream import build_upstream
from proxy.settings import ProxySettings

TIMEOUTS = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(ANSWER)
        await writer.drain()


@asynccontextmanager
async def running(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def ask(transport: httpx.AsyncBaseTransport, url: str) -> None:
    extensions = {"target": b"/", "timeout": TIMEOUTS}
    response = await transport.handle_async_request(
        httpx.Request("GET", url, headers=[(b"host", b"x")], extensions=extensions)
    )
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for _ in response.stream:
        pass
    await response.stream.aclose()


def test_a_connection_is_told_once_and_its_next_use_not_at_all() -> None:
    async def test() -> None:
        trace = ConnectionTrace()
        transport = TracedTransport(DirectTransport(ssl.create_default_context()), trace)
        async with running() as port:
            assert not trace.is_made
            await ask(transport, f"http://127.0.0.1:{port}")
            assert (trace.is_made, trace.peer, trace.tls) == (True, f"127.0.0.1:{port}", "")
            assert trace.seconds > 0
            trace.is_made = False
            await ask(transport, f"http://127.0.0.1:{port}")
            assert not trace.is_made
            await transport.aclose()

    asyncio.run(test())


def test_a_secure_connection_is_made_when_its_tls_is() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()

    async def test() -> None:
        async with running(context) as port:
            trace = ConnectionTrace()
            transport = TracedTransport(DirectTransport(trusting), trace)
            with pytest.raises(httpx.ConnectError):
                await ask(transport, f"https://127.0.0.1:{port}")
            assert not trace.is_made
            authority.configure_trust(trusting)
            await ask(transport, f"https://127.0.0.1:{port}")
            assert (trace.is_made, trace.tls) == (True, "TLSv1.3")
            await transport.aclose()

    asyncio.run(test())


def test_httpx_tells_of_its_connections_too() -> None:
    async def test() -> None:
        async with running() as port:
            trace = ConnectionTrace()
            proxied = Transports(
                DirectTransport(ssl.create_default_context()), egress_proxy=f"http://127.0.0.1:{port}"
            )
            transport = proxied.find(Route("rt", "rt", "/*", "x"))
            await ask(TracedTransport(transport, trace), "http://backend.test")
            assert (trace.is_made, trace.peer) == (True, f"127.0.0.1:{port}")
            await proxied.close()

    asyncio.run(test())


def test_the_way_to_the_backends_tells_only_who_asks() -> None:
    async def test() -> None:
        trace = ConnectionTrace()
        async with running() as port:
            for told in (None, trace):
                upstream = build_upstream(ProxySettings(), trace=told)
                compiled = compile_route(Route("rt", "rt", "/*", f"127.0.0.1:{port}"))
                response = await upstream.send("GET", compiled, b"/", [(b"host", b"x")], None, 5.0)
                await upstream.release(response, is_whole=False)
                await upstream.close()
                assert trace.is_made is (told is not None)

    asyncio.run(test())


def test_steps_other_than_connecting_say_nothing() -> None:
    async def test() -> None:
        trace = ConnectionTrace(iter((1.0, 3.0)).__next__)
        await trace("http11.send_request_headers.complete", {})
        await trace("connection.connect_tcp.started", {})
        await trace("connection.close.complete", {})
        assert (trace.is_made, trace.seconds) == (False, 2.0)

    asyncio.run(test())
