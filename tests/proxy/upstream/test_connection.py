"""A backend's bytes as a connection reads them: split anywhere, broken anywhere, never a byte too many."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError, UpstreamTruncatedError
from proxy.recognised import Recognised
from proxy.upstream.answers import HEAD_BYTES_MAX, HEADERS_MAX, KnownAnswer
from proxy.upstream.base import INTERIM_ANSWERS_MAX, NEVER
from proxy.upstream.connection import BackendConnection
from proxy.upstream.faults import InvalidAnswerError
from proxy.upstream.request import CHUNKED as IN_CHUNKS
from proxy.upstream.request import OutgoingRequest, build_template
from tests.proxy.upstream.asking import Told, Wire

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED_HEAD = OK_HEAD + b"transfer-encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + PLAIN


class Exchange(Told):
    """An exchange on a connection whose socket is in memory."""

    def __init__(
        self,
        method: str = "GET",
        length: int | None = None,
        *pieces: bytes,
        answers: Recognised[KnownAnswer] | None = None,
    ) -> None:
        super().__init__()
        self.connection, self.wire = BackendConnection(answers=answers), Wire()
        self.connection.connection_made(self.wire)
        self.begin(method, length, *pieces)

    def begin(self, method: str = "GET", length: int | None = None, *pieces: bytes) -> None:
        template = build_template(method, b"/", [(b"host", b"x")])
        request = OutgoingRequest(template, b"", length, [*pieces], is_whole=length is None)
        self.connection.send(self, request, template, 5.0)

    def come(self, data: bytes) -> None:
        """Bytes come, as long as the connection takes them."""
        if not self.wire.is_aborted:
            self.connection.data_received(data)

    def end(self) -> None:
        """The backend closes."""
        if not self.wire.is_aborted:
            self.connection.eof_received()
        self.connection.connection_lost(None)

    @property
    def is_whole(self) -> bool:
        return self.told[-1:] == ["end"]


def run(test: Callable[[], None]) -> None:
    """Run a test where an event loop runs."""

    async def work() -> None:
        test()

    asyncio.run(work())


def failed(exchange: Exchange) -> UpstreamError:
    """Return what an exchange has failed with; its connection is closed."""
    assert isinstance(exchange.error, UpstreamError), exchange.told
    assert exchange.wire.is_aborted or exchange.connection.transport is None
    assert not exchange.connection.is_reusable()
    assert exchange.connection.deadline == exchange.connection.total_deadline == NEVER
    return exchange.error


@pytest.mark.parametrize(
    ("answer", "body"), [(PLAIN, b"hello"), (CHUNKED, b"hello world"), (INTERIM, b"hello")]
)
@given(data=st.data())
@settings(max_examples=30)
def test_an_answer_split_anywhere_reads_the_same(answer: bytes, body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1), max_size=8)))

    def test() -> None:
        exchange = Exchange()
        for start, end in itertools.pairwise([0, *cuts, len(answer)]):
            exchange.come(answer[start:end])
        assert (exchange.status, bytes(exchange.body), exchange.is_whole) == (200, body, True)
        assert exchange.connection.is_reusable()
        assert exchange.connection.deadline == NEVER
        assert exchange.wire.sent == b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        assert not exchange.wire.is_aborted

    run(test)


def test_repeated_headers_and_their_case_are_kept() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(PLAIN)
        assert exchange.headers == [(b"Content-Length", b"5"), (b"X-A", b"1"), (b"x-a", b"2")]

    run(test)


def test_what_one_read_brings_of_a_body_is_told_at_once_and_counted() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(CHUNKED_HEAD + b"1\r\na\r\n" * 1000)
        assert exchange.told == ["head", "answer"]
        assert exchange.body == b"a" * 1000
        exchange.come(b"0\r\n\r\n")
        assert exchange.told == ["head", "answer", "end"]

    run(test)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED])
def test_an_answer_cut_at_any_byte_is_never_whole(answer: bytes) -> None:
    def test() -> None:
        head_size = answer.index(b"\r\n\r\n") + 4
        for size in range(len(answer)):
            exchange = Exchange()
            exchange.come(answer[:size])
            exchange.end()
            kind = UpstreamInvalidError if size < head_size else UpstreamTruncatedError
            assert type(failed(exchange)) is kind
            assert exchange.is_untouched is (size == 0)

    run(test)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_without_a_length_ends_with_the_connection(version: bytes) -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(b"HTTP/%b 200 OK\r\n\r\nuntil the end" % version)
        exchange.end()
        assert (bytes(exchange.body), exchange.is_whole) == (b"until the end", True)
        assert not exchange.connection.is_reusable()

    run(test)


def test_a_connection_that_is_lost_without_an_end_ends_no_body() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(b"HTTP/1.1 200 OK\r\n\r\nuntil the")
        exchange.connection.connection_lost(ConnectionResetError())
        assert type(failed(exchange)) is UpstreamTruncatedError

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
    def test() -> None:
        exchange = Exchange()
        exchange.come(answer)
        assert failed(exchange).code in ("upstream_invalid", "upstream_truncated")
        assert b"hello world" not in exchange.body
        in_pieces = Exchange()
        for byte in answer[:2000]:
            in_pieces.come(bytes([byte]))
        in_pieces.end()
        assert not in_pieces.is_whole

    run(test)


@pytest.mark.parametrize("extra", [b"x", PLAIN, b"\r\n\r\n"])
def test_bytes_after_the_answer_reach_nobody(extra: bytes) -> None:
    def test() -> None:
        together, later = Exchange(), Exchange()
        together.come(PLAIN + extra)
        assert (bytes(together.body), together.is_whole) == (b"hello", True)
        assert not together.connection.is_reusable() or not extra.strip()
        later.come(PLAIN)
        assert (bytes(later.body), later.is_whole) == (b"hello", True)
        later.come(extra)
        assert later.wire.is_aborted
        assert not later.connection.is_reusable()

    run(test)


@pytest.mark.parametrize("body", [b"", b"hello"])
def test_the_body_of_an_answer_to_head_is_not_read(body: bytes) -> None:
    def test() -> None:
        exchange = Exchange("HEAD")
        exchange.come(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        assert (exchange.told, bytes(exchange.body)) == (["head", "end"], b"")
        assert exchange.connection.is_reusable() is (body == b"")

    run(test)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_the_body_of_an_answer_that_has_none_reaches_nobody(status: bytes) -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(b"HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nhello" % status)
        assert (exchange.told, bytes(exchange.body)) == (["head", "end"], b"")
        assert not exchange.connection.is_reusable()

    run(test)


def test_a_connection_that_the_backend_will_close_is_not_used_again() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        assert exchange.is_whole
        assert not exchange.connection.is_reusable()

    run(test)


def test_the_next_answer_knows_nothing_of_the_one_before() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(PLAIN)
        assert exchange.is_whole
        exchange.told.clear()
        exchange.begin()
        exchange.come(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")
        assert (exchange.status, exchange.headers) == (404, [(b"content-length", b"0")])
        assert exchange.told == ["head", "end"]

    run(test)


def test_a_reader_that_paused_at_the_end_of_an_answer_does_not_hold_the_next_one_up() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.take_answer = lambda *_: exchange.connection.pause()  # type: ignore[method-assign]
        exchange.come(PLAIN)
        assert exchange.is_whole
        assert not exchange.wire.is_paused

    run(test)


@pytest.mark.parametrize(("length", "sent"), [(5, b"content-length: 5\r\n\r\nhello"), (IN_CHUNKS, b"chunks")])
def test_a_body_goes_out_as_it_comes_with_its_framing(length: int, sent: bytes) -> None:
    def test() -> None:
        exchange = Exchange("POST", length, b"he")
        exchange.connection.send_body(b"llo")
        exchange.connection.end_body()
        framed = b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        assert exchange.wire.sent.endswith(framed if length == IN_CHUNKS else sent)
        exchange.come(PLAIN)
        assert exchange.connection.is_reusable()

    run(test)


def test_an_answer_before_the_end_of_an_upload_is_told_and_the_connection_given_up() -> None:
    def test() -> None:
        exchange = Exchange("POST", 100, b"some")
        exchange.come(PLAIN)
        assert exchange.is_whole
        assert not exchange.connection.is_reusable()

    run(test)


def test_silence_is_waited_for_only_while_it_is_the_backends_turn() -> None:
    def test() -> None:
        exchange = Exchange("POST", 100)
        connection = exchange.connection
        assert connection.deadline == NEVER  # the client has yet to send its body
        connection.pause_writing()
        assert exchange.is_held_back
        assert connection.deadline < NEVER
        connection.resume_writing()
        assert not exchange.is_held_back
        assert connection.deadline == NEVER
        connection.end_body()
        assert connection.deadline < NEVER
        connection.pause()
        assert exchange.wire.is_paused
        assert connection.deadline == NEVER  # the client does not read
        connection.resume()
        assert not exchange.wire.is_paused
        assert connection.deadline < NEVER

    run(test)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"])
@pytest.mark.parametrize(("total", "words"), [(NEVER, "silent"), (0.0, "longer than it may")])
def test_a_deadline_that_has_passed_is_a_time_out_before_and_after_the_head(
    answer: bytes, total: float, words: str
) -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(answer or b"")
        exchange.connection.total_deadline = total
        exchange.connection.expire()
        error = failed(exchange)
        assert type(error) is UpstreamTimeoutError
        assert words in error.words
        exchange.connection.expire()  # it is over: nothing more is told

    run(test)


@pytest.mark.parametrize(
    "endless", [b"x: y\r\n", b"5;extension\r\n", b"endless"], ids=["trailers", "extensions", "one"]
)
def test_what_frames_a_body_has_an_end_too(endless: bytes) -> None:
    def test() -> None:
        exchange = Exchange()
        start = {b"x": b"0\r\n", b"5": b"5;", b"e": b"0\r\nx: "}[endless[:1]]
        exchange.come(CHUNKED_HEAD + b"5\r\nhello\r\n" + start)
        piece = endless * 100 if endless[:1] != b"5" else b"e" * 1000
        for _ in range(2 + HEAD_BYTES_MAX // len(piece)):
            exchange.come(piece)
        assert type(failed(exchange)) is InvalidAnswerError

    run(test)


def test_trailers_are_not_taken_for_headers() -> None:
    def test() -> None:
        exchange = Exchange()
        exchange.come(CHUNKED_HEAD + b"5\r\nhello\r\n0\r\nset-cookie: late\r\n\r\n")
        assert (bytes(exchange.body), exchange.is_whole) == (b"hello", True)
        assert exchange.headers == [(b"transfer-encoding", b"chunked")]
        assert exchange.connection.is_reusable()

    run(test)


def test_a_long_body_in_one_read_does_not_make_a_short_head_long() -> None:
    def test() -> None:
        exchange, size = Exchange(), HEAD_BYTES_MAX * 3
        exchange.come(OK_HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size)
        assert exchange.body == b"x" * size
        assert exchange.connection.is_reusable()

    run(test)


def test_a_bug_in_what_is_told_costs_the_one_exchange() -> None:
    def test() -> None:
        exchange = Exchange()

        def fail(status: int, headers: object) -> None:
            raise ZeroDivisionError

        exchange.take_head = fail  # type: ignore[method-assign]
        exchange.come(PLAIN)
        assert exchange.told == ["crash"]

    run(test)


@given(
    st.lists(
        st.sampled_from(
            (PLAIN, PLAIN.replace(b"5", b"05"), PLAIN.replace(b"200", b"407"), CHUNKED, INTERIM, OK_HEAD)
        ),
        min_size=1,
    ),
    st.lists(st.integers(1, 30), max_size=3),
)
def test_an_answer_whose_head_is_known_is_told_like_any_other(answers: list[bytes], cuts: list[int]) -> None:
    def test() -> None:
        known: Recognised[KnownAnswer] = Recognised()
        for answer in [*answers, *answers]:
            told = []
            for exchange in (Exchange(answers=known), Exchange()):
                for start, end in itertools.pairwise([0, *sorted(cuts), len(answer)]):
                    exchange.come(answer[start:end])
                is_reusable = exchange.connection.is_reusable()
                headers = sorted((name.lower(), value) for name, value in exchange.headers)
                told.append((exchange.told, exchange.status, headers, exchange.body, is_reusable))
            assert told[0] == told[1]

    run(test)


@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from((PLAIN, CHUNKED, INTERIM, OK_HEAD))), max_size=6
    )
)
def test_whatever_comes_an_exchange_is_told_in_order_and_ends_at_most_once(pieces: list[bytes]) -> None:
    def test() -> None:
        exchange = Exchange()
        for piece in pieces:
            exchange.come(piece)
        exchange.end()
        assert exchange.told[-1] in ("end", "fail")
        assert exchange.told.count("head") <= 1
        if "answer" in exchange.told:
            assert exchange.told[0] == "head"

    run(test)
