"""TLS over plain transports of both event loops: whole whatever the end looks like, and ends that are told
once.

The other side is the standard library's `ssl`, by hand on a blocking socket in a thread of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import trustme
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.tls import TlsAdapter

CA = trustme.CA()
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
BOUND_SECONDS = 40
KB = 1024


def server_context(ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


SERVER, CLIENT = server_context(), client_context()
# Without tickets: a client that has not read them when it closes resets the connection.
QUIET_SERVER = server_context()
QUIET_SERVER.num_tickets = 0


def content(size: int) -> bytes:
    """Return bytes of which no piece is like another at another place."""
    return Random(size).randbytes(size)


class Peer:
    """The other side of a connection: a blocking socket with TLS by hand, so that its end is the test's to
    say.
    """

    def __init__(self, sock: socket.socket, *, server_side: bool) -> None:
        self.sock = sock
        self.sock.settimeout(BOUND_SECONDS)
        self.received = bytearray()
        self.has_ended = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if server_side:
            self.tls = SERVER.wrap_bio(self._incoming, self._outgoing, server_side=True)
        else:
            self.tls = CLIENT.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def shake_hands(self) -> None:
        self._go_on(self.tls.do_handshake)

    def read(self, size: int = 65536) -> bytes:
        """Return what has come; nothing at the end, of TLS or of the connection."""
        try:
            data: bytes = self._go_on(lambda: self.tls.read(size))
        except (ssl.SSLEOFError, ConnectionError):
            return b""
        except ssl.SSLZeroReturnError:
            data = b""
        self.has_ended = not data  # it has said so
        return data

    def read_all(self) -> bytes:
        while data := self.read():
            self.received += data
        return bytes(self.received)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view[:65536]) :]
            self.sock.sendall(self._outgoing.read())

    def notify_close(self) -> None:
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        self.sock.sendall(self._outgoing.read())

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _go_on(self, work: Callable[[], Any]) -> Any:
        while True:
            try:
                result = work()
                self.sock.sendall(self._outgoing.read())
                return result
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                if data := self.sock.recv(65536):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                with suppress(OSError):
                    self.sock.sendall(self._outgoing.read())
                raise


class Inner(asyncio.Protocol):
    """A protocol that keeps what it is told. `slow`: after each read it pauses for a few rounds of
    the loop.
    """

    def __init__(self, *, slow: bool = False) -> None:
        self.told: list[str] = []
        self.received = bytearray()
        self.lost: Exception | None = None
        self.transport: TlsAdapter
        self.ended = asyncio.Event()
        self.got = asyncio.Event()
        self.eof = asyncio.Event()
        self.full = asyncio.Event()
        self.room = asyncio.Event()
        self.keeps_open = False
        self._slow = slow

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsAdapter)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        assert data
        assert self.told[-1] in ("made", "data"), self.told
        if self.told[-1] != "data":
            self.told.append("data")
        self.received += data
        self.got.set()
        if self._slow:
            self.transport.pause_reading()
            self._wait(5)

    def _wait(self, rounds: int) -> None:
        if rounds:
            asyncio.get_running_loop().call_soon(self._wait, rounds - 1)
        else:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        self.told.append("eof")
        self.eof.set()
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost = exc
        self.ended.set()

    def pause_writing(self) -> None:
        self.full.set()

    def resume_writing(self) -> None:
        self.room.set()


def run(work: Coroutine[Any, Any, None], loop: str) -> None:
    failures: list[dict[str, Any]] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        async with asyncio.timeout(BOUND_SECONDS):
            await work

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())
    assert not failures, failures


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["client", "server"])
def side(request: pytest.FixtureRequest) -> str:
    """Which side of the connection the adapter is."""
    return str(request.param)


async def connect(
    side: str, inner: Inner, context: ssl.SSLContext | None = None
) -> tuple[TlsAdapter, socket.socket]:
    """Return an adapter on one end of a connection over TCP, and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    if side == "server":
        adapter = TlsAdapter(inner, context or QUIET_SERVER, server_side=True)
    else:
        adapter = TlsAdapter(inner, context or CLIENT, server_hostname="127.0.0.1")
    await asyncio.get_running_loop().create_connection(lambda: adapter, sock=ours)
    return adapter, theirs


async def meet(side: str, inner: Inner) -> tuple[TlsAdapter, Peer]:
    """Return the two ends of a connection, after the handshake."""
    adapter, sock = await connect(side, inner)
    peer = Peer(sock, server_side=side == "client")
    await asyncio.gather(asyncio.to_thread(peer.shake_hands), adapter.ready)
    return adapter, peer


def assert_ended(inner: Inner, *, notifies: bool) -> None:
    """An end without close_notify is a loss: anybody on the way may have made it."""
    if notifies:
        assert inner.told == ["made", "data", "eof", "lost"]
        assert inner.lost is None
    else:
        assert inner.told == ["made", "data", "lost"]
        assert isinstance(inner.lost, ssl.SSLEOFError)


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
@pytest.mark.parametrize("notifies", [False, True], ids=["without-notify", "notify"])
@pytest.mark.parametrize(("size", "times"), [(1, 5), (66 * KB, 25), (100 * KB, 25), (5000 * KB, 2)])
def test_what_is_sent_before_an_abrupt_end_arrives_whole(
    loop: str, side: str, size: int, times: int, notifies: bool, slow: bool
) -> None:
    sent = content(size)

    def send(peer: Peer) -> None:
        peer.write(sent)
        if notifies:
            peer.notify_close()
        peer.sock.close()

    async def work() -> None:
        for _ in range(times):
            inner = Inner(slow=slow)
            _, peer = await meet(side, inner)
            await asyncio.gather(asyncio.to_thread(send, peer), inner.ended.wait())
            assert inner.received == sent
            assert_ended(inner, notifies=notifies)

    run(work(), loop)


@pytest.mark.parametrize("notifies", [False, True], ids=["without-notify", "notify"])
def test_an_end_that_comes_while_reading_is_paused_is_told_after_the_rest(
    loop: str, side: str, notifies: bool
) -> None:
    sent = content(100 * KB)

    def send(peer: Peer) -> None:
        peer.write(sent)
        if notifies:
            peer.notify_close()
        peer.sock.close()

    async def work() -> None:
        inner = Inner()
        adapter, peer = await meet(side, inner)
        adapter.pause_reading()
        await asyncio.to_thread(send, peer)  # all of it has been sent, and the connection is ended
        assert not adapter.is_reading()
        adapter.resume_reading()
        await inner.ended.wait()
        assert inner.received == sent
        assert_ended(inner, notifies=notifies)

    run(work(), loop)


def test_fifty_megabytes_arrive_whole() -> None:
    sent = content(50_000 * KB)

    def send(peer: Peer) -> None:
        peer.write(sent)
        peer.sock.close()

    async def work() -> None:
        inner = Inner(slow=True)
        _, peer = await meet("client", inner)
        await asyncio.gather(asyncio.to_thread(send, peer), inner.ended.wait())
        assert inner.received == sent

    run(work(), "uvloop")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(("size", "times"), [(66 * KB, 10), (5000 * KB, 1)])
def test_what_is_written_before_a_close_arrives_whole_with_a_close_notify(
    loop: str, side: str, kind: Callable[[bytes], bytes], size: int, times: int
) -> None:
    sent = content(size)

    async def work() -> None:
        for _ in range(times):
            inner = Inner()
            adapter, peer = await meet(side, inner)
            adapter.write(kind(sent))
            adapter.close()
            adapter.write(b"too late")
            assert adapter.is_closing()
            assert await asyncio.to_thread(peer.read_all) == sent
            assert peer.has_ended
            peer.sock.close()
            await inner.ended.wait()
            assert inner.told == ["made", "lost"]
            assert inner.lost is None

    run(work(), loop)


def test_a_slow_reader_holds_writing_back_until_it_has_read(loop: str, side: str) -> None:
    sent = content(8000 * KB)

    async def work() -> None:
        inner = Inner()
        adapter, peer = await meet(side, inner)
        adapter.set_write_buffer_limits(64 * KB)
        adapter.write(sent)
        await inner.full.wait()
        assert adapter.get_write_buffer_size() > 64 * KB
        reading = asyncio.create_task(asyncio.to_thread(peer.read_all))
        await inner.room.wait()
        adapter.close()
        assert await reading == sent

    run(work(), loop)


def test_half_a_connection_can_be_ended(loop: str, side: str) -> None:
    def answer(peer: Peer) -> None:
        assert peer.read_all() == b"question"
        peer.write(b"answer")
        peer.notify_close()
        peer.sock.close()

    async def work() -> None:
        inner = Inner()
        adapter, peer = await meet(side, inner)
        adapter.write(b"question")
        assert adapter.can_write_eof()
        adapter.write_eof()
        await asyncio.gather(asyncio.to_thread(answer, peer), inner.ended.wait())
        assert inner.received == b"answer"

    run(work(), loop)


def test_after_the_other_sides_notify_more_can_be_sent_if_the_protocol_wants_it(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        inner.keeps_open = True
        adapter, peer = await meet(side, inner)
        peer.write(b"question")
        peer.notify_close()
        await inner.eof.wait()
        adapter.write(b"answer")
        adapter.close()
        assert await asyncio.to_thread(peer.read_all) == b"answer"
        peer.sock.close()
        await inner.ended.wait()

    run(work(), loop)


def test_another_protocol_can_take_over(loop: str, side: str) -> None:
    async def work() -> None:
        first, second = Inner(), Inner()
        adapter, peer = await meet(side, first)
        second.connection_made(adapter)
        adapter.set_protocol(second)
        assert adapter.get_protocol() is second
        peer.write(b"for the second")
        await second.got.wait()
        adapter.abort()
        await second.ended.wait()
        assert first.told == ["made"]
        peer.sock.close()

    run(work(), loop)


def test_an_abort_is_told_once_and_drops_what_was_not_sent(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, peer = await meet(side, inner)
        adapter.write(content(8000 * KB))
        adapter.abort()
        adapter.abort()
        await inner.ended.wait()
        assert inner.told == ["made", "lost"]
        assert adapter.is_closing()
        adapter.write(b"x")
        adapter.close()
        adapter.pause_reading()
        adapter.resume_reading()
        assert adapter.get_write_buffer_size() == 0
        assert adapter.get_extra_info("peername", "none") == "none"
        peer.sock.close()

    run(work(), loop)


def test_a_reset_is_told_as_one(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        _, peer = await meet(side, inner)
        peer.reset()
        await inner.ended.wait()
        assert inner.told[-1] == "lost"
        assert isinstance(inner.lost, ConnectionError)

    run(work(), loop)


def test_what_is_no_record_ends_an_open_connection(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        _, peer = await meet(side, inner)
        peer.write(b"fine")
        peer.sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        await inner.ended.wait()
        assert isinstance(inner.lost, ssl.SSLError)
        assert inner.received == b"fine"
        assert inner.told == ["made", "data", "lost"]
        peer.sock.close()

    run(work(), loop)


def test_what_is_asked_of_the_transport_is_answered(loop: str) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, peer = await meet("client", inner)
        assert adapter.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert adapter.get_extra_info("peername") == peer.sock.getsockname()
        assert adapter.get_extra_info("socket") is not None
        adapter.abort()
        peer.sock.close()

    run(work(), loop)


# Handshakes that come to nothing.


async def fail(adapter: TlsAdapter) -> BaseException:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - any
        await adapter.ready
    return caught.value


def test_who_is_not_trusted_is_told_so_and_the_protocol_hears_nothing(loop: str) -> None:
    def shake(peer: Peer) -> str:
        try:
            peer.shake_hands()
            peer.read()
        except ssl.SSLError as error:
            return str(error.reason)
        return ""

    async def work() -> None:
        inner = Inner()
        nobodys = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        adapter, sock = await connect("client", inner, nobodys)
        told, error = await asyncio.gather(
            asyncio.to_thread(shake, Peer(sock, server_side=True)), fail(adapter)
        )
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert "UNKNOWN_CA" in told
        assert inner.told == []
        sock.close()

    run(work(), loop)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x16", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\0" * 100],
    ids=repr,
)
def test_an_end_before_the_handshake_is_over_fails_it(loop: str, side: str, data: bytes) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, sock = await connect(side, inner)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert isinstance(await fail(adapter), ssl.SSLError)
        assert inner.told == []
        sock.close()

    run(work(), loop)


def test_an_end_in_the_middle_of_a_handshake_is_one_of_tls(loop: str) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, sock = await connect("client", inner)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = SERVER.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await asyncio.to_thread(sock.recv, 65536))
        with pytest.raises(ssl.SSLWantReadError):
            server.do_handshake()
        sock.sendall(outgoing.read()[:200])
        sock.close()
        assert isinstance(await fail(adapter), ssl.SSLEOFError | ConnectionResetError)
        assert inner.told == []

    run(work(), loop)


def test_an_abort_in_the_middle_of_a_handshake_fails_it(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, sock = await connect(side, inner)
        adapter.abort()
        assert isinstance(await fail(adapter), ConnectionResetError)
        assert inner.told == []
        sock.close()

    run(work(), loop)


def test_nobody_has_to_wait_for_a_handshake_that_fails(loop: str, side: str) -> None:
    async def work() -> None:
        inner = Inner()
        adapter, sock = await connect(side, inner)
        sock.sendall(b"no TLS at all, and more than a record's head")
        sock.close()
        await asyncio.wait([adapter.ready])
        del adapter  # what its future holds is nobody's to fetch

    run(work(), loop)


# Without a socket: two adapters that hand each other bytes, cut anywhere.


class Wire(asyncio.Transport):
    """One direction of a connection in memory: keeps what is written until `carry` takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def carry(wire: Wire, to: TlsAdapter, cuts: list[int]) -> None:
    data, wire.written = bytes(wire.written), bytearray()
    at = 0
    for cut in [*cuts, len(data)]:
        if cut > 0 and at < len(data):
            to.data_received(data[at : at + cut])
            at += cut


@settings(max_examples=40)
@given(
    st.lists(st.binary(max_size=40_000), max_size=5),
    st.lists(st.integers(1, 20_000), max_size=30),
    st.lists(st.integers(1, 300), max_size=30),
)
def test_what_arrives_is_the_same_however_the_records_are_cut(
    pieces: list[bytes], cuts: list[int], early_cuts: list[int]
) -> None:
    async def work() -> None:
        sender, receiver = Inner(), Inner()
        client = TlsAdapter(sender, CLIENT, server_hostname="127.0.0.1")
        server = TlsAdapter(receiver, SERVER, server_side=True)
        forth, back = Wire(), Wire()
        server.connection_made(back)
        client.connection_made(forth)
        while forth.written or back.written:
            carry(forth, server, early_cuts)
            carry(back, client, early_cuts)
        for piece in pieces:
            client.write(piece)
        client.close()
        carry(forth, server, cuts)
        assert bytes(receiver.received) == b"".join(pieces)
        assert receiver.told[-1] == "eof"

    asyncio.run(work())
