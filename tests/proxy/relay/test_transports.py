"""Which transport serves a route; certificates, an egress proxy, and what the environment does not decide."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trustme

from proxy.errors import UpstreamError
from proxy.policy.model import Route
from proxy.relay.bodies import BytesBody
from proxy.relay.direct import DirectTransport
from proxy.relay.exclusive import ExclusiveTransport
from proxy.relay.transports import TRANSPORTS_MAX, Transports, build_context, find_authority_fault

TIMEOUTS = {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 2.0}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def route(*, tls_ca: str = "", tls_verify: bool = True, http_version: str = "1.1") -> Route:
    return Route("rt", "rt", "/*", "x", tls_ca=tls_ca, tls_verify=tls_verify, http_version=http_version)


def make_transports(egress_proxy: str = "") -> tuple[Transports, DirectTransport]:
    plain = DirectTransport(build_context())
    return Transports(plain, egress_proxy=egress_proxy), plain


async def ask(transport: httpx.AsyncBaseTransport, url: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    extensions = {"target": b"/a/%7e//b?x=%20&&y", "timeout": TIMEOUTS}
    request = httpx.Request("GET", url, headers=headers, stream=BytesBody(), extensions=extensions)
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    content = b"".join([chunk async for chunk in response.stream])
    await response.stream.aclose()
    return content


async def serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


def test_plain_routes_share_the_plain_transport_and_others_share_by_their_wishes(tmp_path: Path) -> None:
    ca_file = str(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(ca_file)

    async def test() -> None:
        transports, plain = make_transports()
        assert transports.find(route()) is plain
        unverified = transports.find(route(tls_verify=False))
        assert isinstance(unverified, DirectTransport)
        assert unverified is not plain
        assert transports.find(route(tls_verify=False)) is unverified
        assert isinstance(transports.find(route(http_version="2")), ExclusiveTransport)
        trusting = transports.find(route(tls_ca=ca_file))
        assert trusting is transports.find(route(tls_ca=ca_file))
        # A file with other authorities in it is another wish.
        trustme.CA().cert_pem.write_to_path(ca_file, append=True)
        assert trusting is not transports.find(route(tls_ca=ca_file))
        await transports.close()

    asyncio.run(test())


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_authorities_that_cannot_be_read_are_an_error_with_a_hint(
    tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    transports, _ = make_transports()
    with pytest.raises(UpstreamError) as caught:
        transports.find(route(tls_ca=str(ca_file)))
    assert str(ca_file) in caught.value.hint
    assert caught.value.status == 502


def test_there_are_never_more_transports_than_the_bound_allows(tmp_path: Path) -> None:
    async def test() -> None:
        transports, _ = make_transports()
        pem = trustme.CA().cert_pem.bytes()
        first = None
        for number in range(TRANSPORTS_MAX + 1):
            ca_file = tmp_path / f"{number}.pem"
            ca_file.write_bytes(pem)
            found = transports.find(route(tls_ca=str(ca_file)))
            first = first or found
        assert transports.generation == 1
        assert transports.find(route(tls_ca=str(tmp_path / "0.pem"))) is not first
        await transports.close()

    asyncio.run(test())


@pytest.mark.parametrize("http_version", ["1.1", "2"])
@pytest.mark.parametrize(
    ("trusted", "verify", "name", "works"),
    [
        (True, True, "localhost", True),
        (False, True, "localhost", False),
        (True, True, "other.test", False),
        (False, False, "other.test", True),
    ],
)
def test_a_certificate_is_verified_against_the_routes_authorities_unless_it_says_otherwise(
    tmp_path: Path, trusted: bool, verify: bool, name: str, works: bool, http_version: str
) -> None:
    authority = trustme.CA()
    ca_file = str(tmp_path / "ca.pem")
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1", "h2"])
    authority.issue_cert(name).configure_cert(context)
    offered: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offered.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await serve_ok(reader, writer)

    async def test() -> None:
        server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
        transports, _ = make_transports()
        transport = transports.find(route(tls_ca=ca_file, tls_verify=verify, http_version=http_version))
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        if works and http_version == "1.1":
            assert await ask(transport, url, [(b"host", b"x")]) == b"ok"
        else:
            # This backend answers HTTP/2 in HTTP/1.1, which is found out only after the handshake.
            kind = httpx.RemoteProtocolError if works else httpx.ConnectError
            with pytest.raises(kind):
                await ask(transport, url, [(b"host", b"x")])
        assert offered == ([None if http_version == "1.1" else "h2"] if works else [])
        await transports.close()
        server.close()

    asyncio.run(test())


def test_an_egress_proxy_is_asked_for_everything_with_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        writer.write(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n" if head[:7] == b"CONNECT" else ANSWER)
        await writer.drain()

    async def test() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transports, _ = make_transports(f"http://user:secret@127.0.0.1:{port}")
        transport = transports.find(route())
        for _ in range(2):
            assert await ask(transport, "http://backend:8000", [(b"host", b"backend:8000")]) == b"ok"
        assert heads[0] == (
            b"GET http://backend:8000/a/%7e//b?x=%20&&y HTTP/1.1\r\n"
            b"host: backend:8000\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"
        )
        with pytest.raises(httpx.ProxyError):
            await ask(transport, "https://backend", [(b"host", b"backend")])
        assert heads[2].startswith(b"CONNECT backend:443 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic" in heads[2]
        await transports.close()
        server.close()

    asyncio.run(test())


def test_https_goes_through_a_tunnel_of_the_egress_proxy_verified_and_with_its_target(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca_file = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("backend.test").configure_cert(context)
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Established\r\n\r\n")
        await writer.start_tls(context)
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        await writer.drain()

    async def test() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transports, _ = make_transports(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        transport = transports.find(route(tls_ca=ca_file))
        assert await ask(transport, "https://backend.test", [(b"host", b"backend.test")]) == b"ok"
        assert seen == [b"GET /a/%7e//b?x=%20&&y HTTP/1.1\r\nhost: backend.test\r\n\r\n"]
        await transports.close()
        server.close()

    asyncio.run(test())


def test_a_file_of_authorities_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    wanted = route(tls_ca=str(file))
    assert find_authority_fault(route()) == ""
    assert find_authority_fault(wanted).endswith(f"{file}: No such file or directory")
    file.write_text("no certificate")
    assert find_authority_fault(wanted).endswith("it is no PEM file")
    assert find_authority_fault(route(tls_ca="a\0b")) != ""
    trustme.CA().cert_pem.write_to_path(str(file))
    assert find_authority_fault(wanted) == ""
