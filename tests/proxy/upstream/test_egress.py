"""Everything through an egress proxy: as without one, whatever the backend does; and what the proxy itself
may do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.errors import UpstreamError, UpstreamTimeoutError
from proxy.policy.routing import CompiledRoute
from proxy.upstream.answers import HEAD_BYTES_MAX
from proxy.upstream.egress import ANSWER_BYTES_MAX, read_proxy
from proxy.upstream.upstream import Upstream
from tests.proxy.upstream.asking import Serve, ask, full_reason, route_to, run, serving, stream, upstream_of
from tests.proxy.upstream.test_http2 import Http2Backend, ok

CA = trustme.CA()
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
WAYS = [
    "http",
    "https",
    "http through http",
    "https through http",
    "http through https",
    "https through https",
]
THROUGH = WAYS[2:]
Handle = Callable[[Upstream, CompiledRoute], Coroutine[Any, Any, None]]


def context_for(*names: str, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(*names).configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tests' authority be one of the system's."""
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # which is nobody's business
    monkeypatch.setenv("NO_PROXY", "*")


class PlayedProxy:
    """A forward proxy that knows one backend by any name, and keeps the heads it was sent."""

    def __init__(self, port: int, *, answer: bytes = b"", before: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._port = port
        self._answer = answer  # instead of doing what it is asked
        self._before = before  # it says what it does

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._answer:
            writer.write(self._answer)
            await writer.drain()
            await reader.read()
            return
        theirs = await asyncio.open_connection("127.0.0.1", self._port)
        method, target, rest = head.split(b" ", 2)
        if method == b"CONNECT":
            writer.write(self._before + b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n")
        else:
            assert target.startswith(b"http://")
            _, _, path = target.removeprefix(b"http://").partition(b"/")
            theirs[1].write(method + b" /" + path + b" " + rest)
        await asyncio.gather(pump(reader, theirs[1]), pump(theirs[0], writer), return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def reached(
    way: str, serve: Serve, **proxy: Any
) -> AsyncIterator[tuple[Upstream, CompiledRoute, PlayedProxy]]:
    """A backend, a route to it, and an upstream that goes that way."""
    scheme, _, through = way.partition(" through ")
    context = context_for("127.0.0.1", "backend.test") if scheme == "https" else None
    async with serving(serve, context) as served:
        played = PlayedProxy(served.port, **proxy)
        if not through:
            async with upstream_of() as upstream:
                yield upstream, route_to(served.url), played
            return
        proxy_context = context_for("127.0.0.1") if through == "https" else None
        async with (
            serving(played.serve, proxy_context) as proxied,
            upstream_of(egress_proxy=f"{through}://user:se%63ret@127.0.0.1:{proxied.port}") as upstream,
        ):
            yield upstream, route_to(f"{scheme}://backend.test:{served.port}"), played


def answering(answer: bytes, *, closes: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if not closes:
            await reader.read()

    return serve


@pytest.mark.parametrize("way", WAYS)
def test_a_request_is_what_it_is_whichever_way_it_goes(way: str) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(5))
        writer.write(OK)
        await reader.read()

    async def work() -> None:
        async with reached(way, serve) as (upstream, compiled, played):
            target = b"/a/%7e//b?x=%20&&y"
            assert await ask(upstream, compiled, b"hello", target=target).whole() == b"ok"
            host = compiled.route.target_host.encode()
            line = b"POST " + target + b" HTTP/1.1\r\n"
            own = b"host: " + host + b"\r\nx-request-id: id-1\r\ncontent-length: 5\r\n\r\nhello"
            authorization = b"proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"
            if way.startswith("http through"):
                assert seen == [line + authorization + own]
                assert played.heads[0].startswith(b"POST http://" + host + target + b" HTTP/1.1\r\n")
            else:
                assert seen == [line + own]
            if way.startswith("https through"):
                connect = b"CONNECT " + host + b" HTTP/1.1\r\nhost: " + host + b"\r\n"
                assert played.heads == [connect + authorization + b"\r\n"]
            assert "secret" not in repr(upstream._ways.proxy)

    run(work())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx-a: \x1b[2J\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx-a: 1\rb\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\0K\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nbad name: 1\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 99 Low\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 1000 High\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"ICE/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"SSH-2.0-none\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * (HEAD_BYTES_MAX + 1),
    ],
    ids=lambda answer: repr(answer[:44]),
)
def test_what_breaks_a_rule_is_invalid_whichever_way_it_comes(way: str, answer: bytes) -> None:
    async def work() -> None:
        async with reached(way, answering(answer)) as (upstream, compiled, _):
            error = await ask(upstream, compiled).failure()
            assert (error.code, error.status) == ("upstream_invalid", 502), error.reason

    run(work())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "body",
    [
        b"2\r\nok\r\n",
        b"2\r\nok\r\nxyz\r\n",
        b"2\r\nok!\r\n0\r\n\r\n",
        b"2\nok\n0\n\n",
        b"2\r\nok\r\n-1\r\n\r\n",
    ],
    ids=repr,
)
def test_chunks_that_break_a_rule_or_do_not_end_are_a_truncated_answer(way: str, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    async def work() -> None:
        async with reached(way, answering(head + body, closes=True)) as (upstream, compiled, _):
            error = await ask(upstream, compiled).failure()
            assert error.code in ("upstream_truncated", "upstream_invalid")

    run(work())


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_before_the_upload_ends_is_told_and_interim_ones_are_read_over(way: str) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno"

    async def work() -> None:
        async with reached(way, answering(answer)) as (upstream, compiled, _):
            asked = stream(upstream, compiled)
            asked.sending.send_body(b"x" * 1000)
            assert await asked.head() == 413
            assert await asked.whole() == b"no"

    run(work())


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_the_end_of_its_connection_ends_is_whole(way: str) -> None:
    body = bytes(range(256)) * 1024

    async def work() -> None:
        async with reached(way, answering(b"HTTP/1.0 200 OK\r\n\r\n" + body, closes=True)) as (
            upstream,
            compiled,
            _,
        ):
            assert await ask(upstream, compiled).whole() == body

    run(work())


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_is_used_again(way: str) -> None:
    connections: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(None)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async def work() -> None:
        async with reached(way, serve) as (upstream, compiled, _):
            for _ in range(3):
                assert await ask(upstream, compiled).whole() == b"ok"
            assert len(connections) == 1

    run(work())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("through", ["http", "https"])
def test_http2_goes_through_a_tunnel(scheme: str, through: str) -> None:
    async def work() -> None:
        backend = Http2Backend(ok(), ok(3))
        context = context_for("backend.test", protocols=("h2",)) if scheme == "https" else None
        async with serving(backend.serve, context) as served:
            played = PlayedProxy(served.port)
            proxy_context = context_for("127.0.0.1") if through == "https" else None
            async with (
                serving(played.serve, proxy_context) as proxied,
                upstream_of(egress_proxy=f"{through}://127.0.0.1:{proxied.port}") as upstream,
            ):
                compiled = route_to(f"{scheme}://backend.test:{served.port}", http_version="2")
                for _ in range(2):
                    assert await ask(upstream, compiled).whole() == b"ok"
                assert served.connections == 1
                assert played.heads[0].startswith(b"CONNECT backend.test:")

    run(work())


@pytest.mark.parametrize("through", ["http", "https"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "it answered 403"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it answered 407"),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n" + b"x" * 9, "it answered 502"),
        (b"HTTP/1.1 2000 Odd\r\n\r\n", "it does not answer with HTTP/1.1"),
        (b"HTTP/1.1 2xx Odd\r\n\r\n", "it does not answer with HTTP/1.1"),
        (b"SSH-2.0-none\r\n\r\n", "it does not answer with HTTP/1.1"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "it does not answer with HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * ANSWER_BYTES_MAX, "it does not answer with HTTP/1.1"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_a_proxy_that_makes_no_tunnel_is_told_as_such(through: str, answer: bytes, words: str) -> None:
    async def work() -> None:
        async with reached(f"https through {through}", answering(OK), answer=answer) as (
            upstream,
            compiled,
            _,
        ):
            error = await ask(upstream, compiled).failure()
            assert error.reason == "upstream_unreachable: egress proxy"
            assert words in error.words
            assert "proxy.egress_proxy" in error.hint
            assert "secret" not in repr(error) + error.explanation

    run(work())


def test_interim_answers_of_the_proxy_are_read_over() -> None:
    async def work() -> None:
        before = b"HTTP/1.1 100 Continue\r\n\r\n"
        async with reached("https through http", answering(OK), before=before) as (upstream, compiled, _):
            assert await ask(upstream, compiled).whole() == b"ok"

    run(work())


def test_that_the_proxy_wants_other_credentials_is_not_told_to_the_client() -> None:
    async def work() -> None:
        answer = b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"
        async with reached("http through http", answering(OK), answer=answer) as (upstream, compiled, _):
            error = await ask(upstream, compiled).failure()
            assert (error.status, error.detail) == (502, "egress proxy")
        # Of a backend it is an answer like any other.
        async with reached("http", answering(answer)) as (upstream, compiled, _):
            assert await ask(upstream, compiled).head() == 407

    run(work())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("http_version", ["1.1", "2"])
def test_a_proxy_that_is_down_is_told_as_such(refusing: str, scheme: str, http_version: str) -> None:
    async def work() -> None:
        async with upstream_of(egress_proxy=f"http://user:secret@{refusing}") as upstream:
            compiled = route_to(f"{scheme}://backend.test", http_version=http_version)
            error = await ask(upstream, compiled).failure()
            assert error.reason == "upstream_unreachable: egress proxy"
            assert error.words == "the egress proxy cannot be reached: nothing listens there"

    run(work())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 No\r\n\r\n")
    await writer.drain()
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


@pytest.mark.parametrize(
    ("serve", "through", "reason"),
    [
        (silent, "http", "upstream_timeout: egress proxy"),
        (silent, "https", "upstream_timeout: egress proxy"),
        (hang_up, "http", "upstream_unreachable: egress proxy"),
        (hang_up, "https", "upstream_unreachable: egress proxy"),
        (speak_plainly, "https", "upstream_unreachable: egress proxy"),
    ],
)
def test_a_proxy_that_says_nothing_or_the_wrong_thing_is_told_as_such(
    serve: Serve, through: str, reason: str
) -> None:
    async def work() -> None:
        async with (
            serving(serve) as proxied,
            upstream_of(
                egress_proxy=f"{through}://127.0.0.1:{proxied.port}", connect_timeout=0.2
            ) as upstream,
        ):
            asked = ask(upstream, route_to("https://backend.test"))
            assert full_reason(await asked.failure()) == reason
            assert not upstream._ways.connections

    run(work())


def test_a_proxy_that_nobody_vouches_for_is_told_as_such() -> None:
    async def work() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with (
            serving(silent, context) as proxied,
            upstream_of(egress_proxy=f"https://127.0.0.1:{proxied.port}") as upstream,
        ):
            error = await ask(upstream, route_to("http://backend.test")).failure()
            assert error.detail == "egress proxy"
            assert "certificate is not trusted" in error.words

    run(work())


@pytest.mark.parametrize(
    ("way", "detail"), [("https through http", "TLS handshake"), ("https through https", "TLS handshake")]
)
def test_a_backend_behind_a_tunnel_has_its_own_reasons(way: str, detail: str) -> None:
    async def work() -> None:
        async with serving(silent) as backend:
            played = PlayedProxy(backend.port)
            context = context_for("127.0.0.1") if way.endswith("https") else None
            async with (
                serving(played.serve, context) as proxied,
                upstream_of(
                    egress_proxy=f"{way.rpartition(' ')[2]}://127.0.0.1:{proxied.port}", connect_timeout=0.3
                ) as upstream,
            ):
                error = await ask(upstream, route_to("https://backend.test")).failure()
                assert isinstance(error, UpstreamTimeoutError)
                assert error.detail == detail
        async with reached(way, answering(OK)) as (upstream, compiled, _):
            other = route_to(f"https://other.test:{compiled.origin.rpartition(':')[2]}")
            assert (await ask(upstream, other).failure()).detail == "wrong name"

    run(work())


@pytest.mark.parametrize(
    ("url", "origin", "authorization"),
    [
        ("http://proxy", ("http", "proxy", 80), b""),
        ("https://proxy", ("https", "proxy", 443), b""),
        ("http://[::1]:3128", ("http", "::1", 3128), b""),
        ("http://u:p@proxy:1", ("http", "proxy", 1), b"dTpw"),
        ("http://u@proxy:1", ("http", "proxy", 1), b"dTo="),
        ("http://u:p%40%3a@proxy:1", ("http", "proxy", 1), b"dTpwQDo="),
    ],
)
def test_a_url_names_a_proxy_and_its_credentials(url: str, origin: object, authorization: bytes) -> None:
    proxy = read_proxy(url)
    assert proxy.origin == origin
    expected = b"proxy-authorization: Basic " + authorization + b"\r\n" if authorization else b""
    assert proxy.authorization == expected


def test_what_is_no_url_of_a_proxy_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        read_proxy("socks5://proxy:1")
