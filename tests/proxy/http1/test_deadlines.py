"""Clients that are too slow: with what they send, with what they take, and with their next request.

The clock is the test's, but where it matters what the system has taken of an answer.
"""

from __future__ import annotations

import time

import pytest

from proxy.http1.handler import TIMED_OUT, TOO_SLOW
from proxy.http1.limits import LINGER_BYTES_MAX, LINGER_BYTES_MIN, LINGER_SECONDS, STOPPING_SECONDS
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.conftest import Serve
from tests.proxy.http1.played import Played, echo, get, hold, post
from tests.proxy.sockets import TIMEOUT_SECONDS, wait_until

SHORT_SECONDS = 0.2
LONG_SECONDS = 100.0
SECONDS = 30.0


def test_a_head_that_does_not_come_to_its_end_is_a_408_however_often_a_byte_comes() -> None:
    bench = Bench(echo, client_timeout_seconds=SECONDS).feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(int(SECONDS) - 1):
        bench.feed(b"a").pass_seconds(1)
    assert bench.sent == b""
    bench.pass_seconds(2)
    assert bench.sent.startswith(b"HTTP/1.1 408")
    assert bench.refusals == [TIMED_OUT]
    assert bench.transport.has_eof


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n"])
def test_a_client_that_sends_nothing_or_empty_lines_is_closed_without_a_word(data: bytes) -> None:
    bench = Bench(echo, client_timeout_seconds=SECONDS, keep_alive_seconds=LONG_SECONDS).feed(data)
    bench.pass_seconds(SECONDS + 1)
    assert (bench.sent, bench.is_lost) == (b"", True)


@pytest.mark.parametrize("begin", [b"", b"GET / HT"])
@pytest.mark.parametrize("recognises", [False, True])
def test_an_idle_connection_has_its_time_and_a_head_that_begins_in_it_its_own(
    begin: bytes, *, recognises: bool
) -> None:
    bench = Bench(
        echo, recognises=recognises, client_timeout_seconds=SECONDS, keep_alive_seconds=LONG_SECONDS
    )
    for _ in range(2):
        bench.pass_seconds(SECONDS - 1)
        bench.feed(get()).take_answer()
    bench.pass_seconds(LONG_SECONDS - 1)
    bench.feed(begin).pass_seconds(SECONDS + 1)
    assert bench.is_lost is not bool(begin)
    assert bench.sent.startswith(b"HTTP/1.1 408") is bool(begin)


def test_a_head_that_began_behind_another_request_has_no_more_time_than_any() -> None:
    bench = Bench(echo, client_timeout_seconds=SECONDS, keep_alive_seconds=LONG_SECONDS).feed(
        get() + b"GET / HT"
    )
    bench.take_answer()
    bench.pass_seconds(SECONDS + 1)
    assert bench.sent.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("begin", [b"", b"abc"])
@pytest.mark.parametrize("recognises", [False, True])
def test_a_body_that_stops_is_told_its_answer_can_be_read_and_nothing_follows(
    begin: bytes, *, recognises: bool
) -> None:
    bench = Bench(echo, recognises=recognises).feed(post(b"x" * 9))
    bench.take_answer()
    bench.feed(post(b"x" * 9)[:-9] + begin).pass_seconds(SECONDS + 1)
    head, body = bench.take_answer()
    assert head.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in head
    assert body == b"too late"
    assert bench.transport.has_eof
    bench.feed(b"x" * (9 - len(begin)) + get("/never"))
    assert bench.handler.exchanges[-1].events[-1] == f"failed {TIMED_OUT}"
    assert bench.handler.paths == ["/", "/"]
    assert bench.handler.mistakes == []
    bench.pass_seconds(2 * LINGER_SECONDS + 1)
    assert bench.is_lost


@pytest.mark.parametrize("recognises", [False, True])
def test_one_that_is_answered_already_is_not_told_more_of_a_body_that_stopped(*, recognises: bool) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "start":
            exchange.begin(200, [(b"content-length", b"2")])

    bench = Bench(echo, recognises=recognises).feed(post(b"x" * 9))
    bench.handler.play = play
    bench.feed(post(b"x" * 9)[:-5]).pass_seconds(SECONDS + 1)
    bench.feed(b"x" * 5 + get("/never"))
    exchange = bench.handler.exchanges[-1]
    assert exchange.events == ["start", "body", f"failed {TIMED_OUT}"]
    exchange.client.send_body(b"ok")
    exchange.end()
    bench.run()
    assert bench.sent.endswith(b"\r\n\r\nok")
    assert bench.connection.is_closing


@pytest.mark.parametrize("recognises", [False, True])
def test_a_body_that_comes_slowly_and_an_exchange_that_thinks_long_have_their_time(
    *, recognises: bool
) -> None:
    bench = Bench(hold, recognises=recognises).feed(post(b"x" * 20, "/first"))
    bench.feed(post(b"x" * 20, "/hold")[:-20])
    for _ in range(20):
        bench.pass_seconds(SECONDS - 1)
        bench.feed(b"x")
    bench.pass_seconds(100 * SECONDS)
    exchange = bench.handler.exchanges[-1]
    assert exchange.events == ["start", *["body"] * 20, "body_end"]
    exchange.answer()
    assert not bench.connection.is_closing


def test_the_clock_of_a_body_stands_while_nobody_has_room_for_it() -> None:
    bench = Bench(hold).feed(get("/hold", "Content-Length: 20", method="POST"))
    (exchange,) = bench.handler.exchanges
    exchange.client.pause()
    bench.feed(b"xx").pass_seconds(10 * SECONDS)
    assert exchange.events == ["start", "body"]
    exchange.client.resume()
    bench.pass_seconds(SECONDS + 1)
    assert exchange.events[-1] == f"failed {TIMED_OUT}"


def test_a_client_that_waits_to_be_asked_for_its_body_has_its_time_from_then_on() -> None:
    bench = Bench(hold).feed(get("/hold", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    (exchange,) = bench.handler.exchanges
    bench.pass_seconds(SECONDS - 1)
    exchange.client.want_body()
    bench.pass_seconds(SECONDS - 1)
    assert exchange.events == ["start"]
    bench.pass_seconds(2)
    assert exchange.events[-1] == f"failed {TIMED_OUT}"


def test_a_client_that_takes_nothing_of_a_stream_is_given_up_once() -> None:
    bench = Bench(hold).feed(get("/hold"))
    (exchange,) = bench.handler.exchanges
    exchange.begin()
    bench.fill()
    bench.pass_seconds(SECONDS + 1)
    assert exchange.events == ["start", "body_end", "held back", f"left {TOO_SLOW}"]
    assert bench.transport.is_aborted
    assert not bench.sent.endswith(b"0\r\n\r\n")


def test_a_client_that_takes_some_of_a_stream_has_its_time_again() -> None:
    bench = Bench(hold).feed(get("/hold"))
    bench.handler.exchanges[0].begin()
    bench.fill(1000)
    for unsent in range(900, 0, -100):
        bench.pass_seconds(SECONDS - 1)
        bench.transport.unsent = unsent
    assert not bench.is_lost
    bench.pass_seconds(3 * SECONDS)
    assert bench.is_lost


def test_deadlines_of_one_request_do_not_reach_the_next() -> None:
    bench = Bench(echo, client_timeout_seconds=1, keep_alive_seconds=LONG_SECONDS)
    bench.feed(get("/", "Expect: 100-continue", "Content-Length: 3", method="POST"), b"abc")
    bench.pass_seconds(20)
    assert bench.feed(post(b"next")).sent.endswith(b"POST / next")


# A client that is still sending when it has its answer (issue 11, row 6).


def lingering() -> Bench:
    bench = Bench(echo).feed(get("/?unread", f"Content-Length: {1 << 40}", method="POST"))
    assert bench.transport.has_eof
    return bench


def test_an_upload_that_goes_on_slowly_does_not_cost_the_client_its_answer() -> None:
    bench = lingering()
    for _ in range(100):
        bench.feed(b"x" * LINGER_BYTES_MIN).pass_seconds(LINGER_SECONDS - 0.5)
    assert not bench.is_lost
    bench.pass_seconds(2 * LINGER_SECONDS)
    assert bench.is_lost


def test_one_that_comes_in_drops_is_not_waited_for() -> None:
    bench = lingering()
    for _ in range(5):
        bench.feed(b"x" * (LINGER_BYTES_MIN // 10)).pass_seconds(LINGER_SECONDS / 2)
    assert bench.is_lost


def test_one_that_does_not_end_is_read_up_to_a_bound() -> None:
    bench, piece, fed = lingering(), b"x" * (1 << 20), 0
    while not bench.is_lost and fed <= LINGER_BYTES_MAX + len(piece):
        bench.feed(piece)
        fed += len(piece)
    assert LINGER_BYTES_MAX < fed <= LINGER_BYTES_MAX + len(piece)


def test_a_client_that_does_not_read_its_answer_either_is_given_up() -> None:
    bench = lingering()
    bench.fill()
    bench.pass_seconds(2 * SECONDS)
    assert bench.is_lost


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_connection_that_is_new_when_the_server_stops_has_a_moment(sent: bytes) -> None:
    bench = Bench(echo).feed(sent)
    bench.is_stopping = True
    bench.connection.close_when_idle()
    assert not bench.is_lost
    bench.pass_seconds(STOPPING_SECONDS + 0.25)
    assert (bench.is_lost, bench.sent) == (True, b"")


# With real sockets: what the system has taken is not what the client has.


@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
def test_a_client_that_takes_its_response_slowly_gets_all_of_it(serve: Serve, header: str) -> None:
    size = 8_000_000

    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            exchange.answer(b"x" * size)

    served = serve(play, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=SHORT_SECONDS)
    client = served.connect(get("/", header), receive_bytes=65536)
    client.read_head()
    for _ in range(20):
        assert len(client.read_exactly(size // 20)) == size // 20
        time.sleep(SHORT_SECONDS / 2)
    assert client.read_rest() == b""


@pytest.mark.parametrize("header", ["Connection: keep-alive", "Connection: close"])
def test_a_client_that_stops_taking_its_response_is_given_up_though_the_request_is_over(
    serve: Serve, header: str
) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            exchange.answer(b"x" * 20_000_000)

    served = serve(play, client_timeout_seconds=SHORT_SECONDS, keep_alive_seconds=LONG_SECONDS)
    served.connect(get("/", header), receive_bytes=4096)
    wait_until(lambda: served.server.connections == 1)
    wait_until(lambda: served.server.connections == 0, 2 * TIMEOUT_SECONDS)
