"""A backend's bytes as a connection reads them: split anywhere, broken anywhere, never a byte too many."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.relay.answers import HEAD_BYTES_MAX, HEADERS_MAX
from proxy.relay.connection import INTERIM_ANSWERS_MAX, READ_AHEAD_BYTES_MAX, BackendConnection

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED_HEAD = OK_HEAD + b"transfer-encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + PLAIN


class Wire(asyncio.Transport):
    """The socket's side of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_aborted = False
        self.takes_more = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.takes_more = False

    def resume_reading(self) -> None:
        self.takes_more = True


def run(test: Callable[[BackendConnection, Wire], Awaitable[None]]) -> None:
    async def with_connection() -> None:
        connection, wire = BackendConnection(), Wire()
        connection.connection_made(wire)
        connection.send_head("GET", HEAD)
        async with asyncio.timeout(5):
            await test(connection, wire)

    asyncio.run(with_connection())


async def read_all(connection: BackendConnection) -> bytes:
    await connection.wait_for_head(1.0)
    body = b""
    while (chunk := await connection.read_chunk(1.0)) is not None:
        body += chunk
    return body


@pytest.mark.parametrize(
    ("answer", "body"), [(PLAIN, b"hello"), (CHUNKED, b"hello world"), (INTERIM, b"hello")]
)
@given(data=st.data())
@settings(max_examples=30)
def test_an_answer_split_anywhere_reads_the_same(answer: bytes, body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=8)))
    places = [0, *cuts, len(answer)]

    async def test(connection: BackendConnection, wire: Wire) -> None:
        reading = asyncio.create_task(read_all(connection))
        for start, end in itertools.pairwise(places):
            connection.take(answer[start:end])
            await asyncio.sleep(0)
        assert await reading == body
        assert connection.status == 200
        assert connection.is_reusable()
        assert wire.sent == HEAD
        assert not wire.is_aborted

    run(test)


def test_repeated_headers_and_their_case_are_kept() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.take(PLAIN)
        await connection.wait_for_head(1.0)
        assert connection.headers == [(b"Content-Length", b"5"), (b"X-A", b"1"), (b"x-a", b"2")]

    run(test)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
def test_an_answer_cut_at_any_byte_is_never_whole(answer: bytes) -> None:
    for end in range(len(answer)):

        async def test(connection: BackendConnection, _: Wire, end: int = end) -> None:
            if end:
                connection.take(answer[:end])
            connection.eof_received()
            connection.connection_lost(None)
            with pytest.raises(httpx.TransportError):
                await read_all(connection)
            assert not connection.is_reusable()

        run(test)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.take(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        connection.eof_received()
        connection.connection_lost(None)
        assert await read_all(connection) == b"until the end"
        assert not connection.is_reusable()

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES_MAX + 1),
        OK_HEAD + b"x: " + b"y" * HEAD_BYTES_MAX + b"\r\ncontent-length: 5\r\n\r\nhello",
        OK_HEAD + b"x: y\r\n" * HEADERS_MAX + b"content-length: 5\r\n\r\nhello",
        OK_HEAD + b"x: a\r\n folded\r\ncontent-length: 5\r\n\r\nhello",
        OK_HEAD + b"x: a\x00b\r\ncontent-length: 5\r\n\r\nhello",
        OK_HEAD + b"x: a\rb\r\ncontent-length: 5\r\n\r\nhello",
        OK_HEAD + b"x : a\r\ncontent-length: 5\r\n\r\nhello",
        OK_HEAD + b"content-length: 99999999999999999999\r\n\r\nhello",
        OK_HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK_HEAD + b"transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK_HEAD + b"transfer-encoding: identity\r\n\r\nhello",
        OK_HEAD + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/0.9 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 000 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 099 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 99 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 600 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 1000 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello",
        b"HTTP/1.1 101 Switching\r\n\r\n" + PLAIN,
        b"HTTP/1.1 103 Hints\r\ncontent-length: 5\r\n\r\nhello" + PLAIN,
        b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_ANSWERS_MAX + 1) + PLAIN,
        CHUNKED_HEAD + b"5\r\nhelloX\r\n0\r\n\r\n",
        CHUNKED_HEAD + b"ffffffffffffffffff\r\nhello",
        CHUNKED_HEAD + b"0x5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_clearly_http_ends_the_connection(answer: bytes) -> None:
    async def test(connection: BackendConnection, wire: Wire) -> None:
        connection.take(answer)
        with pytest.raises(httpx.RemoteProtocolError):
            await read_all(connection)
        assert wire.is_aborted
        assert not connection.is_reusable()

    run(test)


@pytest.mark.parametrize("extra", [b"x", PLAIN, b"\r\n\r\n"])
def test_bytes_after_the_answer_reach_nobody(extra: bytes) -> None:
    async def together(connection: BackendConnection, wire: Wire) -> None:
        connection.take(PLAIN + extra)
        assert await read_all(connection) == b"hello"
        assert wire.is_aborted or not extra.strip()

    async def later(connection: BackendConnection, wire: Wire) -> None:
        connection.take(PLAIN)
        assert await read_all(connection) == b"hello"
        connection.take(extra)
        assert wire.is_aborted
        assert not connection.is_reusable()

    run(together)
    run(later)


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_the_body_of_an_answer_to_head_is_not_read(body: bytes) -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.send_head("HEAD", HEAD)
        connection.take(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        assert await read_all(connection) == b""
        assert connection.is_reusable() is (body == b"")

    run(test)


def test_a_connection_that_the_backend_will_close_is_not_used_again() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.take(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert await read_all(connection) == b""
        assert not connection.is_reusable()

    run(test)


def test_silence_is_a_read_timeout_and_a_stuck_backend_a_write_timeout() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await connection.wait_for_head(0.01)
        connection.pause_writing()
        with pytest.raises(httpx.WriteTimeout):
            await connection.send_body(b"more", 0.01)

    run(test)


def test_a_backend_that_sends_faster_than_is_read_is_held_back() -> None:
    async def test(connection: BackendConnection, wire: Wire) -> None:
        size = READ_AHEAD_BYTES_MAX + 1
        connection.take(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * 2) + b"x" * size)
        assert not wire.takes_more
        await connection.wait_for_head(1.0)
        assert await connection.read_chunk(1.0) == b"x" * size
        assert wire.takes_more

    run(test)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_the_body_of_an_answer_that_has_none_reaches_nobody(status: bytes) -> None:
    async def test(connection: BackendConnection, wire: Wire) -> None:
        connection.take(b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nhello" % status)
        assert await read_all(connection) == b""
        assert wire.is_aborted
        assert not connection.is_reusable()

    run(test)


@pytest.mark.parametrize(
    "endless", [b"x: y\r\n", b"5;extension\r\n", b"endless"], ids=["trailers", "extensions", "one"]
)
def test_what_frames_a_body_has_an_end_too(endless: bytes) -> None:
    async def test(connection: BackendConnection, wire: Wire) -> None:
        start = {b"x": b"0\r\n", b"5": b"5;", b"e": b"0\r\nx: "}[endless[:1]]
        connection.take(CHUNKED_HEAD + b"5\r\nhello\r\n" + start)
        piece = endless * 100 if endless[:1] != b"5" else b"e" * 1000
        for _ in range(2 + HEAD_BYTES_MAX // len(piece)):
            if not connection.is_closed:
                connection.take(piece)
        assert wire.is_aborted
        with pytest.raises(httpx.RemoteProtocolError):
            await read_all(connection)

    run(test)


def test_trailers_are_not_taken_for_headers() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.take(CHUNKED_HEAD + b"5\r\nhello\r\n0\r\nset-cookie: late\r\n\r\n")
        assert await read_all(connection) == b"hello"
        assert connection.headers == [(b"transfer-encoding", b"chunked")]
        assert connection.is_reusable()

    run(test)


def test_a_long_body_in_one_read_does_not_make_a_short_head_long() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        size = HEAD_BYTES_MAX * 3
        connection.take(OK_HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size)
        assert await read_all(connection) == b"x" * size
        assert connection.is_reusable()

    run(test)


def test_an_answer_of_http_1_0_ends_with_its_connection() -> None:
    async def test(connection: BackendConnection, _: Wire) -> None:
        connection.take(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        connection.eof_received()
        connection.connection_lost(None)
        assert await read_all(connection) == b"until the end"

    run(test)
