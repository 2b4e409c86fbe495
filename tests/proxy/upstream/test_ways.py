"""How connections to backends are made: which routes share them, whom they trust, and what their failures
are.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.errors import NoFilesError, UpstreamError, UpstreamTimeoutError, UpstreamTruncatedError
from proxy.policy.model import Route
from proxy.upstream import dial, ways
from proxy.upstream.balance import Backend
from proxy.upstream.contexts import find_authority_fault
from proxy.upstream.resolve import Resolver
from proxy.upstream.ways import WAYS_MAX, Ways
from tests.proxy.test_tls import Peer
from tests.proxy.upstream.asking import LOOPS, ask, full_reason, route_to, run, serving, stream, upstream_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def route(**fields: Any) -> Route:
    return Route("rt", "rt", "/*", "x", **fields)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def full() -> Iterator[str]:
    """A port whose queue is full: a connection to it is neither accepted nor refused."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(5):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_routes_that_are_reached_alike_share_their_connections(tmp_path: Path) -> None:
    ca_file = str(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(ca_file)

    async def work() -> None:
        made = Ways(Resolver())
        plain = made.find(route())
        assert made.find(route()) is plain
        unverified, second = made.find(route(tls_verify=False)), made.find(route(http_version="2"))
        trusting = made.find(route(tls_ca=ca_file))
        assert len({plain, unverified, second, trusting}) == 4
        assert made.find(route(tls_ca=ca_file)) is trusting
        # A file with other authorities in it is another wish.
        trustme.CA().cert_pem.write_to_path(ca_file, append=True)
        assert made.find(route(tls_ca=ca_file)) is not trusting
        assert made.generation == 0

    run(work())


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_authorities_that_cannot_be_read_are_an_error_with_a_hint(
    tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)

    async def work() -> None:
        with pytest.raises(UpstreamError) as caught:
            Ways(Resolver()).find(route(tls_ca=str(ca_file)))
        assert str(ca_file) in caught.value.hint
        assert caught.value.status == 502

    run(work())


def test_there_are_never_more_ways_than_the_bound_allows(tmp_path: Path) -> None:
    async def work() -> None:
        made, pem = Ways(Resolver()), trustme.CA().cert_pem.bytes()
        first = None
        for number in range(WAYS_MAX + 1):
            ca_file = tmp_path / f"{number}.pem"
            ca_file.write_bytes(pem)
            found = made.find(route(tls_ca=str(ca_file)))
            first = first or found
        assert made.generation == 1
        assert made.find(route(tls_ca=str(tmp_path / "0.pem"))) is not first

    run(work())


def test_a_way_that_was_given_up_is_looked_up_again() -> None:
    async def work() -> None:
        async with serving(answer) as served, upstream_of() as upstream:
            compiled = route_to(served.url)
            assert await ask(upstream, compiled).whole() == b"ok"
            given_up = upstream.find_plan(compiled).way
            upstream._ways.generation += 1
            upstream._ways._ways.clear()
            assert upstream.find_plan(compiled).way is not given_up
            assert await ask(upstream, compiled).whole() == b"ok"

    run(work())


@pytest.mark.parametrize(
    ("trusted", "verify", "name", "detail"),
    [
        (True, True, "localhost", ""),
        (False, True, "localhost", "unknown authority"),
        (True, True, "other.test", "wrong name"),
        (False, False, "other.test", ""),
    ],
)
def test_a_certificate_is_verified_against_the_routes_authorities_unless_it_says_otherwise(
    tmp_path: Path, loop: str, trusted: bool, verify: bool, name: str, detail: str
) -> None:
    authority, ca_file = trustme.CA(), str(tmp_path / "ca.pem")
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1", "h2"])
    authority.issue_cert(name).configure_cert(context)

    async def work() -> None:
        async with serving(answer, context) as served, upstream_of() as upstream:
            compiled = route_to(f"https://localhost:{served.port}", tls_ca=ca_file, tls_verify=verify)
            asked = ask(upstream, compiled)
            if detail:
                assert (await asked.failure()).detail == detail
            else:
                assert await asked.whole() == b"ok"
            assert (served.connections == 1) is (detail == "")

    run(work(), loop)


def test_an_https_answer_before_an_abrupt_end_is_whole_and_slow_readers_get_it_too(loop: str) -> None:
    # HARDENING 50, through the connection and its sending.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    body = os.urandom(300_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async def work() -> None:
        async with serving(serve, context) as served, upstream_of() as upstream:
            for _ in range(20):
                asked = ask(upstream, route_to(served.url, tls_verify=False))
                while not asked.is_over:
                    seen = len(asked.told) + len(asked.body)
                    await asked.until(lambda: asked.is_over or len(asked.told) + len(asked.body) > seen)  # noqa: B023
                    asked.sending.pause()
                    await asyncio.sleep(0)
                    asked.sending.resume()
                assert await asked.whole() == body

    run(work(), loop)


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_body_without_a_length_is_whole_only_if_tls_says_so(loop: str, is_clean: bool) -> None:
    # RFC 9112 section 9.8: without close_notify anybody on the way may have cut it.
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer = Peer(listener.accept()[0], server_side=True)
        peer.shake_hands()
        assert peer.read().endswith(b"\r\n\r\n")
        peer.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        if is_clean:
            peer.notify_close()
        peer.sock.close()

    async def work() -> None:
        async with upstream_of() as upstream:
            serving = asyncio.create_task(asyncio.to_thread(serve))
            asked = ask(
                upstream, route_to(f"https://127.0.0.1:{listener.getsockname()[1]}", tls_verify=False)
            )
            if is_clean:
                assert await asked.whole() == b"until the end"
            else:
                assert type(await asked.failure()) is UpstreamTruncatedError
            await serving

    with listener:
        run(work(), loop)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("serve", "reasons"),
    [
        (speak_plainly, {"upstream_unreachable: not TLS"}),
        (hang_up, {"upstream_unreachable: TLS broken off", "upstream_unreachable: reset"}),
        (silent, {"upstream_timeout: TLS handshake"}),
    ],
)
def test_a_tls_handshake_that_comes_to_nothing_has_its_own_reason(
    loop: str, serve: Any, reasons: set[str]
) -> None:
    async def work() -> None:
        async with serving(serve) as served, upstream_of(connect_timeout=0.3) as upstream:
            asked = ask(upstream, route_to(f"https://127.0.0.1:{served.port}"))
            assert full_reason(await asked.failure()) in reasons
            assert not upstream._ways.connections

    run(work(), loop)


def test_failures_to_connect_have_their_own_reasons(loop: str, refusing: str, full: str) -> None:
    def look_up(host: str, port: int) -> list[Any]:
        if host == "slow.test":
            released.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "x")

    released = threading.Event()
    reasons = {
        f"http://{refusing}": "upstream_unreachable: refused",
        "http://no-such-host.test": "upstream_unreachable: no such host",
        f"http://{'a' * 70}.test": "upstream_unreachable: no such host",
        "http://slow.test": "upstream_timeout: name look-up",
        full: "upstream_timeout: no connection",
    }

    async def work() -> None:
        async with upstream_of(connect_timeout=0.2, resolver=Resolver(look_up)) as upstream:
            asked = {origin: ask(upstream, route_to(origin)) for origin in reasons}
            assert {origin: full_reason(await each.failure()) for origin, each in asked.items()} == reasons
            assert not upstream._ways.connections
        released.set()

    run(work(), loop)


def test_a_name_that_hangs_delays_no_other(loop: str) -> None:

    released = threading.Event()

    def look_up(host: str, port: int) -> list[Any]:
        if host == "slow.test":
            released.wait(10)
        return [("127.0.0.1", port)]

    async def work() -> None:
        async with serving(answer) as served, upstream_of(resolver=Resolver(look_up)) as upstream:
            slow = [ask(upstream, route_to(f"http://slow.test:{served.port}")) for _ in range(8)]
            assert await ask(upstream, route_to(f"http://fast.test:{served.port}")).whole() == b"ok"
            assert not any(each.told for each in slow)
            released.set()
            for each in slow:
                assert await each.whole() == b"ok"

    run(work(), loop)


def test_a_name_that_moves_is_followed_by_idle_connections_too() -> None:
    addresses, time = ["127.0.0.1"], [0.0]

    async def work() -> None:
        resolver = Resolver(lambda _host, port: [(addresses[0], port)], clock=lambda: time[0])
        async with serving(answer) as served, upstream_of(resolver=resolver) as upstream:
            compiled = route_to(f"http://backend.test:{served.port}")
            for _ in range(3):
                assert await ask(upstream, compiled).whole() == b"ok"
            assert served.connections == 1
            time[0], addresses[0] = 61.0, "127.0.0.2"  # where nobody listens
            await resolver.resolve("backend.test", served.port)
            assert (await ask(upstream, compiled).failure()).detail == "refused"

    run(work())


def test_a_socket_to_a_backend_says_that_it_is_alive_and_sends_at_once() -> None:
    async def work() -> None:
        async with serving(answer) as served:
            connection = await Ways(Resolver()).find(route()).connect(Backend(served.url))
            assert connection.transport is not None
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connection.close()

    run(work())


def test_without_a_file_for_a_connection_idle_ones_are_given_up_and_then_the_fault_is_the_gateways_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [0]

    async def open_socket(*arguments: Any, **options: Any) -> socket.socket:
        if left[0] == 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await dial.open_socket(*arguments, **options)

    async def work() -> None:
        async with serving(answer) as served, upstream_of() as upstream:
            compiled = route_to(served.url)
            left[0] = 1
            assert await ask(upstream, compiled).whole() == b"ok"
            pool = upstream.find_plan(compiled).way.pool
            assert pool.size == 1
            left[0] = 0
            other = route_to(f"http://localhost:{served.port}")
            error = await ask(upstream, other).failure()
            assert isinstance(error, NoFilesError)
            assert (error.status, full_reason(error)) == (503, "overloaded: no files")
            assert pool.size == 0

    monkeypatch.setattr(ways, "open_socket", open_socket)
    run(work())


def test_a_slow_upload_and_its_early_answer_pass_over_one_connection(loop: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first")
        writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async def work() -> None:
        async with serving(serve) as served, upstream_of() as upstream:
            asked = stream(upstream, route_to(served.url), length=100)
            asked.sending.send_body(b"first")
            assert await asked.whole() == b""
            assert asked.status == 413

    run(work(), loop)


def test_ten_at_once_do_not_mix_and_what_is_unread_closes_its_connection(loop: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(target) + target)

    async def work() -> None:
        async with serving(serve) as served, upstream_of() as upstream:
            compiled = route_to(served.url)
            for _ in range(3):
                asked = [ask(upstream, compiled, target=b"/%d" % number) for number in range(10)]
                for number, each in enumerate(asked):
                    assert await each.whole() == b"/%d" % number
            assert served.connections == 10
            assert upstream.find_plan(compiled).way.pool.size == 10
            left = ask(upstream, compiled)
            left.sending.cancel()
            assert not left.told
            assert upstream.find_plan(compiled).way.pool.size == 9

    run(work(), loop)


def test_what_takes_longer_than_the_whole_may_is_late_whatever_comes_meanwhile() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)  # a backend that goes on and on

    async def work() -> None:
        async with serving(serve) as served, upstream_of(total_timeout=0.3) as upstream:
            asked = ask(upstream, route_to(served.url))
            error = await asked.failure()
            assert isinstance(error, UpstreamTimeoutError)
            assert "longer than it may" in error.words
            assert asked.body

    run(work())


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
