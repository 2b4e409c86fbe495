"""HTTP/2 to a backend of a few lines: what goes out, when a connection is used again, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from proxy.relay.bodies import BytesBody
from proxy.relay.exclusive import ExclusiveTransport, TargetURL

TIMEOUTS = {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 2.0}
Answer = Callable[[H2Connection, int], None]


class Http2Backend:
    """Answers each request as `answer` says, once it is whole, and notes what came."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[dict[bytes, bytes]] = []
        self.body = b""
        self.connections = 0
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.close: Callable[[], None] = lambda: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.close = writer.transport.abort
        connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        with suppress(ConnectionError):
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                self._take(connection, data)
                writer.write(connection.data_to_send())
        self.ended.set()
        writer.close()

    def _take(self, connection: H2Connection, data: bytes) -> None:
        try:
            events = connection.receive_data(data)
        except ProtocolError:
            return
        for event in events:
            if isinstance(event, RequestReceived):
                self.heads.append({bytes(name): bytes(value) for name, value in event.headers})
            elif isinstance(event, DataReceived):
                self.body += event.data
            elif isinstance(event, StreamEnded) and event.stream_id is not None:
                self.asked.set()
                self.answer(connection, event.stream_id)


def answer_ok(connection: H2Connection, stream_id: int) -> None:
    connection.send_headers(stream_id, [(b":status", b"200"), (b"x-a", b"1")])
    connection.send_data(stream_id, b"ok", end_stream=True)


def answer_without_end(connection: H2Connection, stream_id: int) -> None:
    connection.send_headers(stream_id, [(b":status", b"200")])
    connection.send_data(stream_id, b"some")


def answer_nothing(connection: H2Connection, stream_id: int) -> None:
    pass


def run(answer: Answer, test: Callable[[ExclusiveTransport, str, Http2Backend], Awaitable[None]]) -> None:
    async def with_backend() -> None:
        backend = Http2Backend(answer)
        server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
        transport = ExclusiveTransport(lambda: httpx.AsyncHTTPTransport(http1=False, http2=True))
        async with asyncio.timeout(10):
            await test(transport, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", backend)
        await transport.aclose()
        server.close()

    asyncio.run(with_backend())


async def ask(
    transport: ExclusiveTransport, url: str, body: bytes = b"", read_seconds: float = 2.0
) -> httpx.Response:
    headers = [(b"host", b"api.test"), (b"x-b", b"2")]
    if body:
        headers.append((b"content-length", b"%d" % len(body)))
    extensions = {"target": b"/a/%7e//b?x=%20&&y", "timeout": {**TIMEOUTS, "read": read_seconds}}
    method = "POST" if body else "GET"
    request = httpx.Request(method, url, headers=headers, stream=BytesBody(body), extensions=extensions)
    return await transport.handle_async_request(request)


async def read(response: httpx.Response) -> bytes:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    content = b"".join([chunk async for chunk in response.stream])
    await response.stream.aclose()
    return content


def test_requests_one_after_the_other_share_a_connection_and_go_out_as_they_are() -> None:
    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        for body in (b"", b"hello"):
            response = await ask(transport, url, body)
            assert response.status_code == 200
            assert response.headers.raw == [(b"x-a", b"1")]
            assert await read(response) == b"ok"
        assert backend.connections == 1
        assert backend.body == b"hello"
        assert backend.heads[0] == {
            b":method": b"GET",
            b":authority": b"api.test",
            b":scheme": b"http",
            b":path": b"/a/%7e//b?x=%20&&y",
            b"x-b": b"2",
        }

    run(answer_ok, test)


def test_a_connection_that_the_backend_has_closed_meanwhile_is_not_used() -> None:
    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        for connections in (1, 2):
            backend.ended.clear()
            assert await read(await ask(transport, url, b"hello")) == b"ok"
            assert backend.connections == connections
            backend.close()
            await backend.ended.wait()

    run(answer_ok, test)


def test_two_at_once_do_not_share_a_connection() -> None:
    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        first, second = await asyncio.gather(ask(transport, url), ask(transport, url))
        assert [await read(first), await read(second)] == [b"ok", b"ok"]
        assert backend.connections == 2

    run(answer_ok, test)


def test_leaving_a_stream_ends_its_connection() -> None:
    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        response = await ask(transport, url)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = aiter(response.stream)
        assert await anext(chunks) == b"some"
        await response.stream.aclose()
        await backend.ended.wait()

    run(answer_without_end, test)


def test_leaving_before_the_head_ends_the_connection() -> None:
    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        asking = asyncio.create_task(ask(transport, url))
        await backend.asked.wait()
        asking.cancel()
        await backend.ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(answer_nothing, test)


def test_silence_is_a_read_timeout_and_an_answer_cut_short_an_error() -> None:
    async def silence(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await ask(transport, url, read_seconds=0.05)
        await backend.ended.wait()

    def answer_and_leave(connection: H2Connection, stream_id: int) -> None:
        answer_without_end(connection, stream_id)
        connection.close_connection()

    async def cut(transport: ExclusiveTransport, url: str, _: Http2Backend) -> None:
        with pytest.raises(httpx.TransportError):
            await read(await ask(transport, url))

    run(answer_nothing, silence)
    run(answer_and_leave, cut)


def test_a_head_that_is_too_long_is_refused() -> None:
    def answer(connection: H2Connection, stream_id: int) -> None:
        headers = [(b":status", b"200"), *((b"x-%d" % number, b"") for number in range(201))]
        connection.send_headers(stream_id, headers, end_stream=True)

    async def test(transport: ExclusiveTransport, url: str, backend: Http2Backend) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, url)
        await backend.ended.wait()

    run(answer, test)


def test_a_target_is_not_normalised() -> None:
    url = TargetURL(httpx.URL("http://host:81"), b"/a/../%7e?q=%zz")
    assert (url.raw_path, url.raw_host, url.port) == (b"/a/../%7e?q=%zz", b"host", 81)


class Stream(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"


class Canned(httpx.AsyncBaseTransport):
    """Answers with a given head."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], version: bytes) -> None:
        self.head = status, headers, version
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        status, headers, version = self.head
        return httpx.Response(status, headers=headers, stream=Stream(), extensions={"http_version": version})

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("status", "headers", "version"),
    [
        (101, [], b"HTTP/1.1"),
        (999, [], b"HTTP/1.1"),
        (200, [(b"transfer-encoding", b"gzip")], b"HTTP/1.1"),
        (200, [(b"transfer-encoding", b"chunked")], b"HTTP/1.0"),
        (200, [(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], b"HTTP/1.1"),
    ],
)
def test_the_rules_of_a_head_hold_here_too(
    status: int, headers: list[tuple[bytes, bytes]], version: bytes
) -> None:
    async def test() -> None:
        canned = Canned(status, headers, version)
        transport = ExclusiveTransport(lambda: canned)
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, "http://x")
        await transport.aclose()
        assert canned.is_closed

    asyncio.run(test())
