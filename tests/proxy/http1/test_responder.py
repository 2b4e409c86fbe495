"""Responses, framed byte for byte, and the mistakes that an exchange can make with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.proxy.http1.bench import Bench
from tests.proxy.http1.played import Play, Played, get

LENGTH = (b"content-length", b"3")
Step = Callable[[Played], None]


def begin(status: int = 200, *headers: tuple[bytes, bytes]) -> Step:
    return lambda exchange: exchange.begin(status, headers)


def part(data: bytes) -> Step:
    return lambda exchange: exchange.client.send_body(data)


def end(exchange: Played) -> None:
    exchange.end()


def does(*steps: Step) -> Play:
    """Return a play that does some steps when the request is whole."""

    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            for step in steps:
                step(exchange)

    return play


@pytest.mark.parametrize(
    ("request_", "steps", "response"),
    [
        (get(), [begin(200, LENGTH), part(b"a"), part(b"bc")], b"200 OK\r\ncontent-length: 3\r\n\r\nabc"),
        (
            get(),
            [begin(), part(b"a"), part(b""), part(b"b" * 17)],
            b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n11\r\n" + b"b" * 17 + b"\r\n0\r\n\r\n",
        ),
        (get(), [begin(), part(b"")], b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (get(method="HEAD"), [begin(), part(b"a")], b"200 OK\r\n\r\n"),
        (get(method="HEAD"), [begin(200, LENGTH)], b"200 OK\r\ncontent-length: 3\r\n\r\n"),
        (get(), [begin(204), part(b"abc")], b"204 No Content\r\n\r\n"),
        (get(), [begin(204, LENGTH), part(b"abc")], b"204 No Content\r\n\r\n"),
        (get(), [begin(304, LENGTH)], b"304 Not Modified\r\ncontent-length: 3\r\n\r\n"),
        (
            get("/", "Connection: keep-alive", version="1.0"),
            [begin(200, LENGTH), part(b"abc")],
            b"200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
        ),
    ],
    ids=["counted", "chunked", "empty", "HEAD", "HEAD counted", "204", "204 counted", "304", "1.0"],
)
def test_a_response_is_framed_byte_for_byte_and_the_connection_is_kept(
    request_: bytes, steps: list[Step], response: bytes
) -> None:
    bench = Bench(does(*steps, end)).feed(request_, request_ + request_)
    assert bench.sent == 3 * (b"HTTP/1.1 " + response)
    assert not bench.connection.is_closing
    assert not bench.handler.mistakes


@pytest.mark.parametrize(
    ("request_", "line", "is_kept"),
    [
        (get(), b"", True),
        (get("/", "Connection: close"), b"connection: close\r\n", False),
        (get("/", version="1.0"), b"connection: close\r\n", False),
        (get("/", "Connection: keep-alive", version="1.0"), b"connection: keep-alive\r\n", True),
    ],
)
@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_whole_response_goes_in_one_write_and_says_how_the_connection_goes_on(
    request_: bytes, line: bytes, *, is_kept: bool, is_stopping: bool
) -> None:
    bench = Bench(does(lambda exchange: exchange.answer_whole(b"abc")))
    bench.is_stopping = is_stopping
    bench.feed(request_)
    line = b"connection: close\r\n" if is_stopping else line
    assert bench.sent == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n" + line + b"\r\nabc"
    assert bench.transport.writes == 1
    assert bench.is_lost is not (is_kept and not is_stopping)


def test_a_whole_response_goes_behind_the_head_of_one_without_a_body() -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            exchange.answer_whole(b"abc") if exchange.path == "/2" else exchange.answer(b"", 204)

    bench = Bench(play).feed(get("/1") + get("/2"))
    assert bench.sent.startswith(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("header", ["", "Connection: keep-alive"])
def test_a_body_of_no_known_length_ends_with_the_connection_of_a_client_of_1_0(header: str) -> None:
    bench = Bench(does(begin(), part(b"a"), part(b"b"), end)).feed(get("/", header, version="1.0"))
    assert bench.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"
    assert bench.is_lost
    assert not bench.transport.is_aborted


@pytest.mark.parametrize(
    ("steps", "sent"),
    [
        ([begin(200, LENGTH), part(b"a")], b"\r\n\r\na"),
        ([begin(200, LENGTH)], b"\r\n\r\n"),
        ([], b""),
    ],
    ids=["short", "empty", "nothing"],
)
def test_a_response_that_ends_before_it_is_whole_breaks_the_connection(
    steps: list[Step], sent: bytes
) -> None:
    bench = Bench(does(*steps, end)).feed(get())
    assert bench.transport.is_aborted
    assert bench.sent.endswith(sent)
    assert bench.is_lost


def test_a_response_longer_than_it_says_is_broken_off_at_its_length() -> None:
    bench = Bench(does(begin(200, LENGTH), part(b"ab"), part(b"cdEVIL"))).feed(get())
    assert bench.sent.endswith(b"\r\n\r\nab")
    assert bench.transport.is_aborted
    assert "longer than its Content-Length" in str(bench.handler.errors[0].__context__)


@pytest.mark.parametrize(
    "bad", [begin(200, (b"x", b"a\r\nset-cookie: b")), begin(200, (b"content-length", b"x"))]
)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_head_that_cannot_be_sent_leaves_nothing_for_the_one_sent_instead(
    bad: Step, *, is_late: bool
) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "body_end" and not is_late:
            bad(exchange)

    bench = Bench(play).feed(get())
    if is_late:  # called by another than the connection, whose way it is to tell of its own mistake
        (exchange,) = bench.handler.exchanges
        with pytest.raises(ValueError, match=r"line break|invalid literal"):
            bad(exchange)
        exchange.answer(b"", 500)
    head = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n"
    assert bench.sent == head + (b"\r\n" if is_late else b"connection: close\r\n\r\n")


@pytest.mark.parametrize("steps", [[part(b"a")], [begin(), begin()]])
def test_what_is_out_of_order_is_a_mistake_and_sends_no_body_without_a_head(steps: list[Step]) -> None:
    bench = Bench(does(*steps)).feed(get())
    assert len(bench.handler.errors) == 1
    assert not bench.sent.endswith(b"a")
    assert bench.is_lost


def test_what_is_sent_to_a_client_that_has_left_goes_nowhere() -> None:
    bench = Bench(does(begin(), part(b"a"))).feed(get())
    bench.lose()
    sent, (exchange,) = bench.sent, bench.handler.exchanges
    exchange.client.send_body(b"b")
    exchange.client.end()
    assert bench.sent == sent
