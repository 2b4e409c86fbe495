"""HTTP/2 to backends of a few lines: what goes out, which answers are taken, and when a connection ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, PingAckReceived, RequestReceived, StreamEnded, WindowUpdated
from h2.exceptions import ProtocolError
from hpack import Encoder
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamInvalidError, UpstreamTimeoutError, UpstreamTruncatedError
from proxy.policy.routing import CompiledRoute
from proxy.upstream.answers import HEAD_BYTES_MAX, HEADERS_MAX
from proxy.upstream.base import INTERIM_ANSWERS_MAX, NEVER
from proxy.upstream.http2 import WINDOW_BYTES, Http2Connection
from proxy.upstream.request import OutgoingRequest, build_template
from proxy.upstream.resolve import Resolver
from proxy.upstream.upstream import Upstream
from tests.proxy.upstream.asking import (
    Served,
    Told,
    Wire,
    ask,
    full_reason,
    route_to,
    run,
    serving,
    stream,
    upstream_of,
)

OK = (b":status", b"200")
REFUSED_STREAM, HTTP_1_1_REQUIRED, NO_ERROR = 7, 13, 0


def head(*fields: tuple[bytes, bytes], stream_id: int = 1, ends: bool = False) -> bytes:
    """Return a HEADERS frame with exactly these fields, whatever they are."""
    frame = HeadersFrame(stream_id)
    frame.flags.add("END_HEADERS")
    if ends:
        frame.flags.add("END_STREAM")
    # Sensitive, so that nothing is added to the table of the connection.
    frame.data = Encoder().encode([(name, value, True) for name, value in fields])
    return frame.serialize()


def data(body: bytes, *, stream_id: int = 1, ends: bool = False) -> bytes:
    frame = DataFrame(stream_id, body)
    if ends:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def farewell(last_stream_id: int) -> bytes:
    return GoAwayFrame(0, last_stream_id=last_stream_id).serialize()


def reset(code: int, stream_id: int = 1) -> bytes:
    return RstStreamFrame(stream_id, error_code=code).serialize()


class Http2Backend:
    """Answers each whole request with frames, and notes what came. `on_head` answers before it is whole."""

    def __init__(self, *answers: bytes, on_head: bytes = b"", takes_all: bool = True) -> None:
        self.answers = [*answers]
        self.on_head = on_head
        self.takes_all = takes_all  # and makes room for more
        self.heads: list[dict[bytes, bytes]] = []
        self.body = b""
        self.room = 0  # that was made for more of an answer
        self.got = asyncio.Event()
        self.ended = asyncio.Event()
        self.takes_more = asyncio.Event()
        self.on_ping: Callable[[], bytes] = lambda: b""
        self.close: Callable[[], None] = lambda: None
        self.send: Callable[[bytes], None] = lambda _: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended.clear()
        self.close, self.send = writer.transport.abort, writer.write
        connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        try:
            while received := await reader.read(65536):
                self._take(connection, received, writer)
                writer.write(connection.data_to_send())
        finally:
            self.ended.set()

    def _take(self, connection: H2Connection, received: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            events = connection.receive_data(received)
        except ProtocolError:
            return
        for event in events:
            if isinstance(event, RequestReceived):
                self.heads.append({bytes(name): bytes(value) for name, value in event.headers})
                writer.write(self.on_head)
                self.got.set()
            elif isinstance(event, DataReceived):
                self.body += event.data
                if self.takes_all or self.takes_more.is_set():
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded) and self.answers:
                writer.write(connection.data_to_send())
                writer.write(self.answers.pop(0))
            elif isinstance(event, WindowUpdated):
                self.room += event.delta or 0
            elif isinstance(event, PingAckReceived):
                writer.write(self.on_ping())


Test = Callable[[Upstream, str, Http2Backend, Served], Awaitable[None]]


def with_backend(make: Callable[[], Http2Backend], test: Test) -> None:
    async def work() -> None:
        backend = make()
        async with serving(backend.serve) as served, upstream_of() as upstream:
            await test(upstream, served.url, backend, served)

    run(work())


def to(url: str, **fields: Any) -> CompiledRoute:
    return route_to(url, http_version="2", **fields)


def ok(stream_id: int = 1, body: bytes = b"ok") -> bytes:
    return head(OK, (b"x-a", b"1"), stream_id=stream_id) + data(body, stream_id=stream_id, ends=True)


def test_requests_one_after_the_other_share_a_connection_and_go_out_as_they_are() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        headers = [(b"x-b", b"2"), (b"x-request-id", b"")]
        target = b"/a/%7e//b?x=%20&&y"
        for body in (None, b"hello"):
            asked = ask(upstream, to(url), body, target=target, headers=headers)
            assert await asked.head() == 200
            assert asked.headers == [(b"x-a", b"1")]
            assert await asked.whole() == b"ok"
        assert served.connections == 1
        assert backend.body == b"hello"
        assert backend.heads[0] == {
            b":method": b"GET",
            b":authority": url.removeprefix("http://").encode(),
            b":scheme": b"http",
            b":path": target,
            b"x-b": b"2",
            b"x-request-id": b"id-1",
        }
        assert backend.heads[1][b"content-length"] == b"5"

    with_backend(lambda: Http2Backend(ok(), ok(3)), test)


def test_a_connection_that_the_backend_has_closed_meanwhile_is_not_used() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        for connections in (1, 2):
            assert await ask(upstream, to(url), b"hello").whole() == b"ok"
            assert served.connections == connections
            backend.close()
            await backend.ended.wait()

    with_backend(lambda: Http2Backend(ok(), ok()), test)


def test_two_at_once_do_not_share_a_connection() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        first, second = ask(upstream, to(url)), ask(upstream, to(url))
        assert [await first.whole(), await second.whole()] == [b"ok", b"ok"]
        assert served.connections == 2

    with_backend(lambda: Http2Backend(ok(), ok()), test)


@pytest.mark.parametrize("on_head", [b"", head(OK) + data(b"some")])
def test_what_is_given_up_ends_its_connection(on_head: bytes) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        await (asked.until(lambda: bool(asked.body)) if on_head else backend.got.wait())
        asked.sending.cancel()
        await backend.ended.wait()
        assert "fail" not in asked.told

    with_backend(lambda: Http2Backend(on_head=on_head), test)


def test_silence_is_a_time_out() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        error = await ask(upstream, to(url), seconds=0.05).failure()
        assert isinstance(error, UpstreamTimeoutError)
        assert "silent" in error.words
        await backend.ended.wait()

    with_backend(Http2Backend, test)


def test_pings_instead_of_an_answer_give_no_more_time() -> None:
    def make() -> Http2Backend:
        ping = PingFrame(0, opaque_data=b"12345678").serialize()
        backend = Http2Backend(on_head=ping)
        backend.on_ping = lambda: ping
        return backend

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        # Whichever bound is met first: of silence, or of bytes that are no answer.
        assert (await ask(upstream, to(url), seconds=0.3).failure()).code.startswith("upstream_")
        await backend.ended.wait()

    with_backend(make, test)


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (b"", UpstreamInvalidError),
        (head(OK), UpstreamTruncatedError),
        (head(OK) + data(b"some"), UpstreamTruncatedError),
        (head(OK, (b"content-length", b"9")) + data(b"some", ends=True), UpstreamTruncatedError),
    ],
)
def test_an_answer_that_is_cut_short_is_an_error(frames: bytes, kind: type[Exception]) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        await backend.got.wait()
        if kind is UpstreamTruncatedError:
            await asked.head()
        backend.close()
        assert type(await asked.failure()) is kind

    with_backend(lambda: Http2Backend(on_head=frames), test)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-a", b"1\r\nset-cookie: evil=1")],
        [(b"x-a", b"1\0")],
        [(b"x-a", b"\x1b[2J")],
        [(b"x-a", b" 1")],
        [(b"x-a", b"1\x7f")],
        [(b"x a", b"1")],
        [(b"x\r\na", b"1")],
        [(b"", b"1")],
        [(b"X-A", b"1")],
        [(b"x-\xe9", b"1")],
        [(b"x:a", b"1")],
        [(b"x(a)", b"1")],
        [(b"connection", b"close")],
        [(b"transfer-encoding", b"chunked")],
        [(b"keep-alive", b"timeout=1")],
        [(b"content-length", b"2"), (b"content-length", b"2")],
        [(b"content-length", b"2"), (b"content-length", b"3")],
        [(b"content-length", b"2, 2")],
        [(b"content-length", b"+2")],
        [(b"content-length", b"two")],
        [(b":path", b"/")],
        [(b":odd", b"1")],
        [(b"x-a", b"1"), (b":late", b"1")],
        [(b"x-%d" % number, b"1") for number in range(HEADERS_MAX + 1)],
        [(b"x-a", b"1" * HEAD_BYTES_MAX)],
    ],
    ids=lambda fields: repr(fields)[:40],
)
def test_a_head_that_breaks_a_rule_is_invalid(fields: Sequence[tuple[bytes, bytes]]) -> None:
    assert_invalid(head(OK, *fields) + data(b"ok", ends=True))


@pytest.mark.parametrize(
    "statuses",
    [[], [b"200", b"200"], [b"abc"], [b"20"], [b"0200"], [b"+20"], [b"099"], [b"600"], [b"101"], [b""]],
    ids=repr,
)
def test_a_status_that_is_none_is_invalid(statuses: Sequence[bytes]) -> None:
    fields = [(b":status", status) for status in statuses]
    assert_invalid(head(*fields, (b"x-a", b"1")) + data(b"ok", ends=True))


@pytest.mark.parametrize(
    "frames",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"\xff" * 9,
        b"\0\0\x08\x06\0\0\0\0\x0112345678",  # a ping of a stream
        data(b"before the head"),
        head(OK, stream_id=3),
        head((b":status", b"103")) * 3000,
        bytes(9) * (HEAD_BYTES_MAX // 9 + 1),  # empty frames of no stream
    ],
    ids=lambda frames: repr(frames[:20]),
)
def test_frames_that_break_a_rule_are_invalid(frames: bytes) -> None:
    assert_invalid(frames)


def assert_invalid(frames: bytes) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        error = await asked.failure()
        assert isinstance(error, UpstreamInvalidError), error.reason
        assert asked.told == ["fail"]
        assert error.status == 502
        await backend.ended.wait()

    with_backend(lambda: Http2Backend(frames), test)


def test_the_rule_that_was_broken_is_told() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        assert full_reason(await ask(upstream, to(url)).failure()) == "upstream_invalid: bad header value"

    with_backend(lambda: Http2Backend(head(OK, (b"x-a", b"\x1b"))), test)


def test_interim_answers_and_trailers_are_read_over() -> None:
    frames = (
        head((b":status", b"103"), (b"link", b"</a>")) * INTERIM_ANSWERS_MAX
        + head(OK)
        + data(b"ok")
        + head((b"x-trailer", b"1"), (b"content-length", b"7"), ends=True)
    )

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        assert await asked.whole() == b"ok"
        assert asked.told.count("head") == 1
        assert asked.headers == []

    with_backend(lambda: Http2Backend(frames), test)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("HEAD", [OK, (b"content-length", b"100")]),
        ("GET", [(b":status", b"204")]),
        ("GET", [(b":status", b"304")]),
    ],
)
def test_an_answer_that_has_no_body_is_whole_with_its_head(
    method: str, fields: Sequence[tuple[bytes, bytes]]
) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url), method=method)
        assert await asked.whole() == b""
        assert await ask(upstream, to(url)).whole() == b"ok"
        assert served.connections == 1

    with_backend(lambda: Http2Backend(head(*fields, ends=True), ok(3)), test)


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_the_body_of_an_answer_that_has_none_reaches_nobody(status: bytes) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        assert await asked.whole() == b""
        assert asked.told == ["head", "end"]

    with_backend(lambda: Http2Backend(head((b":status", status)) + data(b"evil", ends=True)), test)


def test_an_answer_that_comes_before_the_upload_ends_is_told_at_once() -> None:
    refusal = head((b":status", b"413")) + data(b"too long", ends=True) + reset(NO_ERROR)

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = stream(upstream, to(url))
        asked.sending.send_body(b"x" * 1000)
        assert await asked.head() == 413
        assert await asked.whole() == b"too long"
        await backend.ended.wait()  # what was not sent whole is not used again

    with_backend(lambda: Http2Backend(on_head=refusal), test)


def test_an_upload_waits_for_room_and_holds_its_client_back_meanwhile() -> None:
    body = bytes(range(256)) * 4096

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = stream(upstream, to(url), length=2 * len(body))
        asked.sending.send_body(body)
        await asked.until(lambda: asked.is_held_back)
        backend.takes_more.set()
        for stream_id in (0, 1):  # what it has not made room for yet
            backend.send(window_update(stream_id, len(body)))
        await asked.until(lambda: not asked.is_held_back)
        asked.sending.send_body(body)
        asked.sending.end_body()
        assert await asked.whole() == b"ok"
        assert backend.body == 2 * body

    with_backend(lambda: Http2Backend(ok(), takes_all=False), test)


def window_update(stream_id: int, size: int) -> bytes:
    return b"\0\0\4\x08\0" + stream_id.to_bytes(4, "big") + size.to_bytes(4, "big")


def test_an_upload_for_which_no_room_is_made_is_late() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url), b"x" * (1 << 20), seconds=0.1)
        assert isinstance(await asked.failure(), UpstreamTimeoutError)

    with_backend(lambda: Http2Backend(takes_all=False), test)


def test_a_long_answer_is_whole_for_a_reader_that_pauses() -> None:
    frames = head(OK) + b"".join(
        data(bytes([number % 256]) * 16000) for number in range(WINDOW_BYTES // 16000)
    )

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        taken = 0
        while taken < 16000 * (WINDOW_BYTES // 16000):
            await asked.until(lambda: len(asked.body) > taken)  # noqa: B023
            asked.sending.pause()
            taken = len(asked.body)
            await asyncio.sleep(0)
            asked.sending.resume()
        backend.send(data(b"", ends=True))
        whole = await asked.whole()
        # Of the connection and of the stream, but for what is told with the next.
        await ask(upstream, to(url)).whole()
        assert backend.room - WINDOW_BYTES > len(whole)
        assert whole == b"".join(bytes([number % 256]) * 16000 for number in range(WINDOW_BYTES // 16000))

    with_backend(lambda: Http2Backend(frames, ok(3)), test)


def test_a_connection_whose_reader_paused_at_its_end_serves_the_next() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        await asked.head()
        asked.take_answer = lambda *_: asked.sending.pause()  # type: ignore[method-assign]
        backend.send(data(b"ok", ends=True))
        await asked.whole()
        assert await ask(upstream, to(url)).whole() == b"ok"
        assert served.connections == 1

    with_backend(lambda: Http2Backend(head(OK), ok(3)), test)


def test_a_backend_that_says_farewell_still_answers_what_it_has_seen() -> None:
    frames = farewell(1) + head(OK) + data(b"o"), data(b"k", ends=True)

    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url))
        assert await asked.head() == 200
        backend.send(frames[1])
        assert await asked.whole() == b"ok"
        await backend.ended.wait()

    with_backend(lambda: Http2Backend(frames[0]), test)


@pytest.mark.parametrize("refusal", [farewell(0), reset(REFUSED_STREAM)])
def test_a_request_that_the_backend_says_it_has_not_seen_may_be_sent_again(refusal: bytes) -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        asked = ask(upstream, to(url, retry_count=1), b"a POST")
        assert await asked.whole() == b"ok"
        assert (served.connections, asked.sending.tries) == (2, 2)

    with_backend(lambda: Http2Backend(refusal, ok()), test)


def test_a_farewell_to_an_idle_connection_ends_it() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        await ask(upstream, to(url)).whole()
        backend.send(farewell(1))
        await backend.ended.wait()

    with_backend(lambda: Http2Backend(ok()), test)


def secure(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "backend.test").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@pytest.mark.parametrize("context", [secure(), secure("http/1.1")], ids=["no-alpn", "http/1.1"])
def test_a_backend_that_does_not_choose_http2_is_sent_none(context: ssl.SSLContext) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())

    async def work() -> None:
        async with serving(serve, context) as served, upstream_of() as upstream:
            error = await ask(upstream, to(served.url, tls_verify=False)).failure()
            assert error.reason == "upstream_unreachable: no HTTP/2"
        assert not any(received)

    run(work())


async def old_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n" if await reader.read(1) else b"")
    await writer.drain()
    await reader.read()


@pytest.mark.parametrize(
    "context", [None, secure(), secure("http/1.1")], ids=["clear", "no-alpn", "http/1.1"]
)
def test_a_backend_that_does_not_speak_http2_is_told(context: ssl.SSLContext | None) -> None:
    async def work() -> None:
        async with serving(old_server, context) as served, upstream_of() as upstream:
            error = await ask(upstream, to(served.url, tls_verify=False)).failure()
            assert error.reason == "upstream_unreachable: no HTTP/2"
            assert "fastgate routes update rt_1 --no-http2" in error.hint

    run(work())


def test_a_backend_that_wants_the_old_protocol_is_told() -> None:
    async def test(upstream: Upstream, url: str, backend: Http2Backend, served: Served) -> None:
        assert (await ask(upstream, to(url)).failure()).detail == "no HTTP/2"

    with_backend(lambda: Http2Backend(reset(HTTP_1_1_REQUIRED)), test)


def test_over_tls_by_a_name_that_the_workers_own_resolver_knows_and_follows() -> None:
    addresses = ["127.0.0.1"]
    time = [0.0]

    async def work() -> None:
        backend = Http2Backend(ok(), ok(3), ok())
        resolver = Resolver(lambda _host, port: [(addresses[0], port)], clock=lambda: time[0])
        async with serving(backend.serve, secure("h2")) as served, upstream_of(resolver=resolver) as upstream:
            compiled = to(f"https://backend.test:{served.port}", tls_verify=False)
            for _ in range(2):
                assert await ask(upstream, compiled).whole() == b"ok"
            assert served.connections == 1
            time[0], addresses[0] = 61.0, "127.0.0.2"  # where nobody listens
            await resolver.resolve("backend.test", served.port)
            assert (await ask(upstream, compiled).failure()).detail == "refused"

    run(work())


# Without a socket: what a connection makes of frames, however they are cut.


async def feed(pieces: Sequence[bytes]) -> tuple[Told, Wire, Http2Connection]:
    connection, wire, told = Http2Connection("https"), Wire(), Told()
    connection.connection_made(wire)
    template = build_template("POST", b"/", [(b"host", b"x")])
    connection.send(told, OutgoingRequest(template, b"", 2, [b"ab"], is_whole=True), template, 5.0)
    for piece in pieces:
        if not wire.is_aborted:
            connection.data_received(piece)
    return told, wire, connection


FRAMES = b"\0\0\0\4\0\0\0\0\0" + head((b":status", b"103")) + farewell(1) + head(OK) + data(b"ok", ends=True)


@given(st.lists(st.integers(1, len(FRAMES) - 1), unique=True).map(sorted))
def test_an_answer_is_the_same_however_its_bytes_are_cut(cuts: list[int]) -> None:
    pieces = [FRAMES[start:end] for start, end in zip([0, *cuts], [*cuts, len(FRAMES)], strict=True)]
    told, _, connection = asyncio.run(feed(pieces))
    assert (told.status, bytes(told.body), told.told[-1]) == (200, b"ok", "end")
    assert connection.deadline == NEVER


parts = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda kind, flags, stream_id, payload: (
            len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload
        ),
        st.integers(0, 12),
        st.integers(0, 255),
        st.sampled_from((0, 1, 2, 3, 1 << 31)),
        st.one_of(st.binary(max_size=40), st.just(head(OK)[9:])),
    ),
    st.sampled_from((FRAMES, head(OK), data(b"x"), data(b"", ends=True), farewell(1), farewell(0), reset(0))),
)


@given(st.lists(parts, max_size=8))
def test_whatever_comes_an_exchange_is_told_in_order_and_ends_at_most_once(frames: list[bytes]) -> None:
    told, wire, _ = asyncio.run(feed(frames))
    assert "crash" not in told.told
    assert told.told.count("head") <= 1
    if "answer" in told.told:
        assert told.told[0] == "head"
    if "fail" in told.told:
        assert wire.is_aborted
