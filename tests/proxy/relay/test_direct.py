"""The transport over real sockets: reuse, answers before the end of an upload, verified TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import trustme
import uvloop

from proxy.relay.bodies import BytesBody
from proxy.relay.direct import DirectTransport, ResponseBody, StaleConnectionError
from proxy.relay.upstream import build_transport

TIMEOUTS = {"connect": 2.0, "read": 2.0, "write": 2.0}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Body(httpx.AsyncByteStream):
    """A body that is sent as the test releases it."""

    def __init__(self, *pieces: bytes, release: asyncio.Event | None = None) -> None:
        self.pieces = pieces
        self.release = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, piece in enumerate(self.pieces):
            if number and self.release:
                await self.release.wait()
            yield piece


async def ask(
    transport: httpx.AsyncBaseTransport,
    url: str,
    *,
    method: str = "GET",
    headers: list[tuple[bytes, bytes]] | None = None,
    body: httpx.AsyncByteStream | None = None,
    fresh: bool = False,
) -> httpx.Response:
    request = httpx.Request(
        method,
        url,
        headers=[(b"host", b"x"), *(headers or ())],
        stream=body or httpx.ByteStream(b""),
        extensions={"target": b"/raw/%7Epath?q", "timeout": TIMEOUTS, "fresh": fresh},
    )
    return await transport.handle_async_request(request)


async def read(response: httpx.Response) -> bytes:
    assert isinstance(response.stream, ResponseBody)
    content = b"".join([chunk async for chunk in response.stream])
    await response.stream.aclose()
    return content


def run(serve: Serve, test: Callable[[DirectTransport, str], Awaitable[None]]) -> None:
    async def with_server() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = DirectTransport(ssl.create_default_context())
        async with asyncio.timeout(10):
            await test(transport, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await transport.aclose()
        server.close()

    asyncio.run(with_server())


def test_requests_one_after_the_other_share_a_connection_and_ten_at_once_do_not_mix() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            name = head.split(b"x-name: ")[1].split(b"\r\n")[0]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name))

    async def test(transport: DirectTransport, url: str) -> None:
        for number in range(5):
            assert (
                await read(await ask(transport, url, headers=[(b"x-name", b"%d" % number)])) == b"%d" % number
            )
        assert len(connections) == 1
        names = [b"n%d" % number for number in range(10)]
        answers = await asyncio.gather(*(ask(transport, url, headers=[(b"x-name", name)]) for name in names))
        assert [await read(answer) for answer in answers] == names
        assert len(connections) == 10

    run(serve, test)


def test_the_request_goes_out_as_it_is() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(ANSWER)

    async def test(transport: DirectTransport, url: str) -> None:
        headers = [(b"X-Twice", b"1"), (b"X-Twice", b"2"), (b"transfer-encoding", b"chunked")]
        response = await ask(transport, url, method="POST", headers=headers, body=Body(b"one", b"three"))
        assert await read(response) == b"ok"
        assert seen == [
            b"POST /raw/%7Epath?q HTTP/1.1\r\nhost: x\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
            b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
        ]

    run(serve, test)


def test_an_answer_before_the_end_of_an_upload_is_seen_and_the_connection_given_up() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first")
        writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        closed.set()

    async def test(transport: DirectTransport, url: str) -> None:
        body = Body(b"first", b"never", release=asyncio.Event())
        headers = [(b"transfer-encoding", b"chunked")]
        response = await ask(transport, url, method="POST", headers=headers, body=body)
        assert response.status_code == 413
        assert await read(response) == b""
        await closed.wait()

    run(serve, test)


def test_a_request_that_is_cancelled_or_whose_body_fails_closes_its_connection() -> None:
    closings: asyncio.Queue[None] = asyncio.Queue()
    arrived: asyncio.Queue[None] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.put_nowait(None)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        closings.put_nowait(None)

    class FailingBody(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"some"
            raise LookupError

    async def test(transport: DirectTransport, url: str) -> None:
        asking = asyncio.create_task(ask(transport, url))
        await arrived.get()
        asking.cancel()
        await closings.get()
        for framing in ((b"transfer-encoding", b"chunked"), (b"content-length", b"10")):
            with pytest.raises(LookupError):
                await ask(transport, url, method="POST", headers=[framing], body=FailingBody())
            await closings.get()

    run(serve, test)


def test_an_unread_response_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        closed.set()

    async def test(transport: DirectTransport, url: str) -> None:
        response = await ask(transport, url)
        await response.aclose()
        await closed.wait()

    run(serve, test)


@pytest.mark.parametrize(
    ("name", "trusted", "works"),
    [("localhost", True, True), ("localhost", False, False), ("other.test", True, False)],
)
def test_tls_is_verified_certificate_and_name(name: str, trusted: bool, works: bool) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)

    async def test() -> None:
        server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
        transport: httpx.AsyncBaseTransport = build_transport()
        if trusted:
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            transport = DirectTransport(trusting)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        if works:
            assert await read(await ask(transport, url)) == b"ok"
        else:
            with pytest.raises(httpx.ConnectError):
                await ask(transport, url)
        await transport.aclose()
        server.close()

    asyncio.run(test())


def test_an_early_answer_to_a_small_slow_body_is_seen() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"first")
        writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")

    async def test(transport: DirectTransport, url: str) -> None:
        body = Body(b"first", b"never", release=asyncio.Event())
        response = await ask(transport, url, method="POST", headers=[(b"content-length", b"10")], body=body)
        assert response.status_code == 413
        assert await read(response) == b""

    run(serve, test)


def test_a_body_in_memory_goes_out_with_its_head() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.write(ANSWER)

    async def test(transport: DirectTransport, url: str) -> None:
        headers = [(b"content-length", b"4")]
        response = await ask(transport, url, method="POST", headers=headers, body=BytesBody(b"body"))
        assert await read(response) == b"ok"
        assert seen[0].endswith(b"content-length: 4\r\n\r\nbody")

    run(serve, test)


def test_a_body_that_no_header_announces_is_not_sent() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(ANSWER)

    async def test(transport: DirectTransport, url: str) -> None:
        for _ in range(2):
            assert await read(await ask(transport, url, method="POST", body=Body(b"unannounced"))) == b"ok"
        assert seen[0] == seen[1]

    run(serve, test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n2\r\n w\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
def test_an_answer_cut_anywhere_on_the_wire_is_an_error(answer: bytes) -> None:
    cuts = iter(range(len(answer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer[: next(cuts)])
        writer.close()

    async def test(transport: DirectTransport, url: str) -> None:
        for _ in range(len(answer)):
            with pytest.raises(httpx.TransportError):
                await read(await ask(transport, url))

    run(serve, test)


def test_a_connection_that_ends_while_idle_is_not_used_and_one_that_ends_on_reuse_is_told_apart() -> None:
    accepted: list[asyncio.StreamWriter] = []
    closed_by_peer = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        if len(accepted) == 1:
            writer.close()
            closed_by_peer.set()
        elif len(accepted) == 2:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    async def test(transport: DirectTransport, url: str) -> None:
        assert await read(await ask(transport, url)) == b"ok"
        await closed_by_peer.wait()
        await asyncio.sleep(0)  # the end is on its way through the same loop
        while len(accepted) == 1:
            with contextlib.suppress(StaleConnectionError):
                assert await read(await ask(transport, url)) == b"ok"
        with pytest.raises(StaleConnectionError):
            await ask(transport, url)
        assert await read(await ask(transport, url)) == b"ok"
        assert len(accepted) == 3
        assert await read(await ask(transport, url, fresh=True)) == b"ok"
        assert len(accepted) == 4

    run(serve, test)


def test_a_host_name_that_cannot_be_is_a_failure_to_connect() -> None:
    async def test() -> None:
        transport = DirectTransport(ssl.create_default_context())
        request = httpx.Request(
            "GET",
            "http://x",
            extensions={"target": b"/", "timeout": TIMEOUTS, "origin": ("http", "a..b", 80)},
        )
        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(request)

    asyncio.run(test())


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_body_without_a_length_is_whole_only_if_tls_says_so(is_clean: bool) -> None:
    # RFC 9112 section 9.8: without close_notify anybody on the way may have cut it.
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def answer(listener: socket.socket) -> None:
        with serving.wrap_socket(listener.accept()[0], server_side=True) as wire:
            wire.recv(1000)
            wire.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            if is_clean:
                wire.unwrap().close()

    async def test(listener: socket.socket) -> None:
        answering = asyncio.get_running_loop().run_in_executor(None, answer, listener)
        transport = DirectTransport(trusting)
        url = f"https://localhost:{listener.getsockname()[1]}"
        if is_clean:
            assert await read(await ask(transport, url)) == b"until the end"
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await read(await ask(transport, url))
        await transport.aclose()
        await answering

    # The loop that the gateway runs on; asyncio's own takes such an end for a clean one.
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(test(listener))
