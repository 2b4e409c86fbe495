"""A trace is told of the connections that are made, by whatever protocol they speak."""

from __future__ import annotations

import asyncio
import ssl

import trustme

from proxy.insight.tracing import ConnectionTrace
from proxy.policy.model import Route
from proxy.upstream.balance import Backend
from proxy.upstream.resolve import Resolver
from proxy.upstream.ways import Ways


async def connect(trace: ConnectionTrace, origin: str, **fields: object) -> None:
    way = Ways(Resolver(), observe=trace).find(Route("rt", "rt", "/*", "x", **fields))  # type: ignore[arg-type]
    (await way.connect(Backend(origin))).close()


async def listen(context: ssl.SSLContext | None = None) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _reader, writer: None, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1]


def test_a_connection_is_told_with_its_address_and_how_long_it_took() -> None:
    async def test() -> None:
        server, port = await listen()
        trace = ConnectionTrace(iter((1.0, 3.5)).__next__)
        assert not trace.is_made
        await connect(trace, f"http://127.0.0.1:{port}")
        assert (trace.is_made, trace.peer, trace.tls) == (True, f"127.0.0.1:{port}", "")
        assert trace.seconds == 2.5
        server.close()

    asyncio.run(test())


def test_a_secure_connection_is_made_when_its_tls_is() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])

    async def test() -> None:
        server, port = await listen(context)
        for version in ("1.1", "2"):
            trace = ConnectionTrace()
            try:
                await connect(trace, f"https://127.0.0.1:{port}", http_version=version)
            except ssl.SSLError:
                assert not trace.is_made
            else:
                raise AssertionError("nobody vouches for it")
            await connect(trace, f"https://127.0.0.1:{port}", http_version=version, tls_verify=False)
            assert (trace.is_made, trace.peer, trace.tls) == (True, f"127.0.0.1:{port}", "TLSv1.3")
        server.close()

    asyncio.run(test())


def test_the_newest_connection_counts() -> None:
    trace = ConnectionTrace()
    trace("started", None)
    trace("complete", None)
    assert trace.is_made
    trace("started", None)
    assert not trace.is_made
