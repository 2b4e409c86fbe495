"""Connections: kept and closed, requests in order, refusals behind answers, exchanges that fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.http1.limits import FEED_BYTES_MAX, LINE_BYTES_MAX, PIPELINED_REQUESTS_MAX, QUEUED_BODY_BYTES_MAX
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.played import Played, echo, get, hold, post, post_chunks
from tests.proxy.sockets import LogLines

CLOSED = b"\r\nconnection: close"


def take_bodies(bench: Bench, count: int) -> list[bytes]:
    """Return the bodies of the next answers, which are all good."""
    answers = [bench.take_answer() for _ in range(count)]
    assert all(head.startswith(b"HTTP/1.1 200") for head, _ in answers), answers
    return [body for _, body in answers]


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.1", "Proxy-Connection: close", False),
        ("1.1", "Connection: te, Close", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive", True),
    ],
)
@pytest.mark.parametrize("recognises", [False, True])
def test_a_connection_is_kept_as_the_client_has_it(
    version: str, header: str, *, is_kept: bool, recognises: bool
) -> None:
    request = get("/", *([header] if header else []), version=version)
    bench = Bench(echo, recognises=recognises).feed(request)
    head, body = bench.take_answer()
    assert (CLOSED in head, body) == (not is_kept, b"GET / ")
    assert bench.is_lost is not is_kept
    again = Bench(echo, recognises=recognises)
    again.handler.known = bench.handler.known
    for same in [again, bench] if is_kept else [again]:
        assert same.feed(request).take_answer() == (head, body)
        assert same.is_lost is not is_kept


@pytest.mark.parametrize(
    "offer", ["Connection: upgrade\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket"]
)
def test_an_offer_to_upgrade_is_answered_in_http_1(offer: str) -> None:
    bench = Bench(echo).feed(get("/a", offer) + post(b"abc", "/b", offer) + get("/c"))
    assert take_bodies(bench, 3) == [b"GET /a ", b"POST /b abc", b"GET /c "]


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        (("127.0.0.1", 5), "127.0.0.1"),
        (("::1", 5, 0, 0), "::1"),
        (("::ffff:10.1.2.3", 5, 0, 0), "10.1.2.3"),
        (("::ffff:0:1", 5, 0, 0), "::ffff:0:1"),
        ("/run/socket", ""),
        (b"", ""),
    ],
)
def test_a_client_is_known_by_its_address_and_one_of_ipv4_over_ipv6_as_what_it_is(
    peer: object, shown: str
) -> None:
    bench = Bench(echo, peer=peer).feed(get())
    assert [exchange.head.peer for exchange in bench.handler.exchanges] == [shown]


@pytest.mark.parametrize(
    ("target", "path", "query", "is_query_empty"),
    [
        ("/a%20b?q=%20&q", b"/a%20b", b"q=%20&q", False),
        ("/a?", b"/a", b"", True),
        ("/?a?b", b"/", b"a?b", False),
        ("http://X/a?b", b"/a", b"b", False),
    ],
)
def test_a_target_is_split_at_its_first_question_mark_and_nothing_is_decoded(
    target: str, path: bytes, query: bytes, *, is_query_empty: bool
) -> None:
    (exchange,) = Bench(echo).feed(get(target)).handler.exchanges
    head = exchange.head
    assert (head.path, head.query, head.is_query_empty) == (path, query, is_query_empty)
    assert (head.scheme, head.http_version, head.headers) == ("http", "1.1", [(b"host", b"x")])


# Requests one behind another.


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    bench = Bench(hold).feed(get("/wait") + post(b"body", "/2") + get("/3") + get("/4")[:10])
    assert bench.handler.paths == ["/wait"]
    bench.handler.exchanges[0].answer(b"first")
    bench.run()
    bench.feed(get("/4")[10:])
    assert take_bodies(bench, 4) == [b"first", b"POST /2 body", b"GET /3 ", b"GET /4 "]


@pytest.mark.parametrize("bad", ["/a?unread", "/b"])
def test_one_that_is_answered_at_once_does_not_stop_those_that_wait_behind_it(bad: str) -> None:
    bench = Bench(hold).feed(get("/wait") + post(b"x" * 100, bad) * 3 + get("/last"))
    bench.handler.exchanges[0].answer()
    bench.run()
    assert take_bodies(bench, 5)[-1] == b"GET /last "
    assert not bench.connection.is_closing


def test_more_pipelined_requests_than_there_is_room_for_are_answered_as_far_as_they_were_taken() -> None:
    bench = Bench(hold).feed(get("/wait"), *(get(f"/{number}") for number in range(200)))
    bench.handler.exchanges[0].answer()
    bench.run()
    take_bodies(bench, 1)
    expected = [b"GET /%d " % number for number in range(PIPELINED_REQUESTS_MAX - 1)]
    assert take_bodies(bench, len(expected)) == expected
    head, body = bench.take_answer()
    assert CLOSED in head  # the client knows that the rest has to be sent again
    assert body == b"GET /%d " % (PIPELINED_REQUESTS_MAX - 1)
    assert bench.sent == b""
    assert bench.transport.has_eof  # and can read that, though it has sent more
    assert len(bench.handler.exchanges) == PIPELINED_REQUESTS_MAX + 1


def test_what_follows_a_response_that_ends_the_connection_does_not_cost_the_client_that_response() -> None:
    bench = Bench(hold).feed(get("/wait", "Connection: keep-alive", version="1.0"))
    bench.feed(get("/next", "Content-Length: 20000000", method="POST") + b"x" * 50_000)
    (exchange,) = bench.handler.exchanges
    exchange.begin()
    exchange.client.send_body(b"abc")
    exchange.end()
    bench.feed(*[b"x" * 250_000] * 8)
    assert bench.sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    assert bench.transport.has_eof
    assert not bench.is_lost
    assert bench.handler.paths == ["/wait"]


@pytest.mark.parametrize(
    "pieces",
    [
        [get("/hold", "Connection: close"), get("/more")],
        [get("/?unread", "Connection: close") + post(b"x" * 200_000)],
    ],
    ids=["later", "in one read"],
)
def test_nor_does_what_a_client_sends_behind_its_last_request(pieces: list[bytes]) -> None:
    bench = Bench(hold).feed(*pieces)
    if not bench.handler.exchanges[0].is_over:
        bench.handler.exchanges[0].answer()
    bench.feed(b"GET /still")
    assert bench.transport.has_eof
    assert not bench.is_lost
    bench.pass_seconds(6)
    assert bench.is_lost


def test_reading_goes_on_when_enough_of_what_waits_has_been_served() -> None:
    bench = Bench(hold).feed(get("/wait"), *[post(b"x" * 30_000, "/wait")] * 3)
    assert bench.transport.is_paused
    bench.handler.exchanges[0].answer()
    bench.run()
    assert not bench.transport.is_paused
    assert bench.connection._pipeline is not None


@pytest.mark.parametrize("recognises", [False, True])
def test_a_short_body_that_nobody_reads_leaves_the_connection_in_use(*, recognises: bool) -> None:
    request = post(b"x" * 60_000, "/?unread")
    bench = Bench(echo, recognises=recognises)
    for _ in range(3):
        bench.feed(request[:-60_000])
        assert take_bodies(bench, 1) == [b"POST / "]
        bench.feed(request[-60_000:] + get("/next"))
        assert take_bodies(bench, 1) == [b"GET /next "]


@pytest.mark.parametrize(
    "head",
    [
        get("/?unread", f"Content-Length: {20_000_000}", method="POST"),
        get("/?unread", "Transfer-Encoding: chunked", method="POST") + b"1312d00\r\n",
    ],
    ids=["counted", "chunked"],
)
@pytest.mark.parametrize("recognises", [False, True])
def test_the_refusal_of_a_long_upload_closes_when_that_ends(head: bytes, *, recognises: bool) -> None:
    bench = Bench(echo, recognises=recognises)
    for _ in range(2 if recognises and b"Content" in head else 1):
        if bench.is_lost:  # a head is known on the connections that follow, too
            known, bench = bench.handler.known, Bench(echo, recognises=True)
            bench.handler.known = known
        answer, body = bench.feed(head).take_answer()
        assert (CLOSED in answer, body) == (True, b"POST / ")
        assert bench.transport.has_eof
        bench.feed(*[b"x" * 200_000] * 99)
        assert not bench.is_lost
        bench.feed(b"x" * 200_000 + (b"\r\n0\r\n\r\n" if b"chunked" in head else b""))
        assert bench.is_lost
        assert not bench.transport.is_aborted


# What is no request, or a bad one.


@pytest.mark.parametrize(
    ("bad", "status", "reason"),
    [
        (get("/" + "a" * LINE_BYTES_MAX), b"414", "too_large"),
        (get("/", *["A: b"] * 200), b"431", "too_large"),
        (get("/", "A: " + "b" * 1_000_000), b"431", "too_large"),
        (get("/", "Content-Length: 1", "Content-Length: 1"), b"400", "bad_framing"),
        (get("/", "Expect: cake"), b"417", "bad_request"),
    ],
    ids=["line", "headers", "header", "framing", "expectation"],
)
@pytest.mark.parametrize("first", ["/good", "/wait"])
def test_a_fault_reaches_its_exchange_which_answers_it_last(
    bad: bytes, status: bytes, reason: str, first: str
) -> None:
    bench = Bench(hold).feed(get(first) + bad + get("/never"))
    if first == "/wait":
        bench.handler.exchanges[0].answer()
        bench.run()
    take_bodies(bench, 1)
    head, _ = bench.take_answer()
    assert head.startswith(b"HTTP/1.1 " + status)
    assert CLOSED in head
    assert bench.sent == b""
    faults = [exchange.fault for exchange in bench.handler.exchanges]
    assert [fault.reason for fault in faults if fault] == [reason]
    assert bench.connection.is_closing


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\r\n\r\n", b"\x16\x03\x01", b"\0" * 200_000])
def test_what_is_no_request_is_refused_behind_the_answers_to_those_before_it(garbage: bytes) -> None:
    bench = Bench(hold).feed(get("/wait") + post(b"x", "/2?unread") + garbage + get("/never"))
    bench.handler.exchanges[0].answer()
    bench.run()
    assert take_bodies(bench, 2) == [b"", b"POST /2 "]
    assert bench.take_answer()[0].startswith(b"HTTP/1.1 400")
    assert bench.sent == b""
    assert bench.refusals == ["bad_request"]
    assert bench.transport.has_eof


@pytest.mark.parametrize("name", ["Connection", "Proxy-Connection"])
@pytest.mark.parametrize("first", ["/a", "/wait", "/a?unread"])
@pytest.mark.parametrize("is_behind", [False, True], ids=["alone", "behind another"])
def test_a_connection_whose_trailer_says_close_is_closed_at_once(
    name: str, first: str, *, is_behind: bool
) -> None:
    """Issue 11 b: who sends the next request must not wait for an answer that will never come."""
    trailer = f"{name}: close\r\n".encode()
    bench = Bench(hold).feed(
        (get("/hold") if is_behind else b"") + post_chunks([b"abc"], first, trailer=trailer)
    )
    while not (exchange := bench.handler.exchanges[-1]).is_over:
        exchange.answer(b"late")
        bench.run()
    assert bench.sent.count(b"HTTP/1.1 200") == 1 + is_behind
    assert bench.is_lost


@pytest.mark.parametrize(
    "trailer", [b"X-A: b\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Expect: cake\r\n"]
)
def test_other_trailers_change_nothing(trailer: bytes) -> None:
    bench = Bench(echo).feed(post_chunks([b"abc"], "/a", trailer=trailer) + get("/b"))
    assert take_bodies(bench, 2) == [b"POST /a abc", b"GET /b "]
    assert not bench.connection.is_closing


# Exchanges that fail, and clients that go.


def failing_at(event: str) -> Callable[[Played, str], None]:
    def play(exchange: Played, told: str) -> None:
        if told == event:
            raise KeyError("a bug")
        if event != "left client_abort":
            hold(exchange, told)

    return play


@pytest.mark.parametrize("event", ["start", "body", "body_end"])
@pytest.mark.parametrize("recognises", [False, True])
@pytest.mark.parametrize("size", [10, 60_000, 200_000])
def test_what_was_left_of_a_request_that_met_a_bug_is_not_taken_for_another(
    event: str, size: int, *, recognises: bool
) -> None:
    bench = Bench(echo, recognises=recognises).feed(post(b"x" * size))
    take_bodies(bench, 1)
    bench.handler.play = failing_at(event)
    smuggled = get("/smuggled")
    bench.feed(post((smuggled * (size // len(smuggled) + 1))[:size]) + get("/next"), get("/later"))
    head, _ = bench.take_answer()
    assert head.startswith(b"HTTP/1.1 500")
    assert CLOSED in head
    assert bench.sent == b""
    assert bench.handler.paths == ["/", "/"]
    assert bench.connection._backlog is None
    bench.pass_seconds(20)
    assert bench.is_lost


@pytest.mark.parametrize(
    "event", ["failed client_timeout", "left client_abort", "held back", "goes on", "interrupted"]
)
def test_a_bug_at_any_other_event_is_told_to_its_exchange(event: str, log: LogLines) -> None:
    bench = Bench(failing_at(event)).feed(get("/hold", "Content-Length: 5", method="POST"))
    if event in ("held back", "goes on"):
        bench.fill()
        bench.drain()
    elif event.startswith("failed"):
        bench.pass_seconds(31)
    elif event == "interrupted":
        bench.connection.interrupt()
    else:
        bench.lose()
    (exchange,) = bench.handler.exchanges
    assert exchange.events[-1] == "crashed"
    assert log.text == ""


def test_a_bug_before_there_is_an_exchange_costs_the_connection(log: LogLines) -> None:
    bench = Bench(echo)

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    bench.handler.open = fail  # type: ignore[assignment, method-assign]
    bench.feed(get())
    assert bench.transport.is_aborted
    assert "a bug" in log.text


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        get("/wait"),
        get("/hold", "Content-Length: 9", method="POST") + b"abc",
        post_chunks([b"x"] * 10, "/wait")[:-7],
        get("/wait") + get("/2") + post(b"x" * 100, "/3")[:-5],
        post(b"x" * (3 * FEED_BYTES_MAX), "/wait"),
        get("/answered"),
        get("/?unread", "Content-Length: 10000000", method="POST") + b"abc",
        b"\0",
    ],
    ids=["new", "head", "request", "body", "chunks", "pipeline", "backlog", "idle", "lingering", "refused"],
)
def test_a_client_that_vanishes_in_any_state_is_told_once_and_leaves_nothing(sent: bytes) -> None:
    bench = Bench(hold).feed(sent)
    bench.connection.data_received(b"x" * 200_000 if b"chunked" in sent else b"")
    bench.lose()
    bench.pass_seconds(200)
    for exchange in bench.handler.exchanges:
        assert exchange.events.count("left client_abort") == (exchange.path in ("/wait", "/hold"))
        exchange.client.end()  # a backend that is drained ends its answer later
    bench.run()
    connection = bench.connection
    assert (connection._pipeline, connection._backlog, connection._exchange) == (None, None, None)
    assert bench.handler.mistakes == []
    assert len(bench.handler.exchanges) <= 1


@pytest.mark.parametrize("event", ["start", "body", "body_end"])
@pytest.mark.parametrize("recognises", [False, True])
def test_an_exchange_can_break_off_at_any_event(event: str, *, recognises: bool) -> None:
    bench = Bench(echo, recognises=recognises).feed(post(b"x" * 10))

    def play(exchange: Played, told: str) -> None:
        if told == event:
            exchange.begin()
            exchange.break_off()

    bench.handler.play = play
    bench.transport.sent = b""
    bench.feed(post(b"x" * 10) + get("/next"))
    assert (bench.transport.is_aborted, bench.is_lost) == (True, True)
    assert not bench.sent.endswith(b"0\r\n\r\n")
    assert bench.handler.paths == ["/", "/"]
    assert bench.handler.mistakes == []


# How a server that stops ends it.


def test_a_request_that_comes_while_the_server_drains_is_no_body_of_the_one_under_way() -> None:
    bench = Bench(hold).feed(get("/hold"))
    bench.connection.close_when_idle()
    bench.feed(post(b"smuggled", "/never") + get("/never"))
    (exchange,) = bench.handler.exchanges
    assert exchange.body == b""
    exchange.answer()
    assert CLOSED in bench.take_answer()[0]
    assert bench.transport.has_eof
    assert bench.handler.mistakes == []


@pytest.mark.parametrize("behind", [b"", get("/2"), get("/2")[:9]], ids=["alone", "pipelining", "in a head"])
def test_a_response_that_has_begun_when_the_server_drains_is_the_last_one(behind: bytes) -> None:
    bench = Bench(hold).feed(get("/hold") + behind)
    (exchange,) = bench.handler.exchanges
    exchange.begin()
    bench.connection.close_when_idle()
    exchange.end()
    bench.run()
    assert bench.is_lost or bench.transport.has_eof
    assert bench.handler.paths == ["/hold"]


def test_draining_between_a_response_and_those_that_wait_closes_all_the_same() -> None:
    bench = Bench(hold).feed(get("/hold") + get("/2"))
    bench.handler.exchanges[0].answer()
    bench.connection.close_when_idle()  # in the same turn
    bench.run()
    assert bench.transport.has_eof
    assert bench.handler.paths == ["/hold"]


def test_a_short_body_that_is_passed_over_when_the_server_drains_does_not_cost_its_answer() -> None:
    bench = Bench(echo).feed(get("/?unread", "Content-Length: 9", method="POST"))
    bench.connection.close_when_idle()
    assert bench.transport.has_eof
    assert not bench.is_lost
    assert bench.feed(b"x" * 9).is_lost


def test_a_draining_connection_reads_no_more_than_its_exchange_has_room_for() -> None:
    bench = Bench(hold).feed(get("/hold", "Content-Length: 1000000", method="POST"))
    (exchange,) = bench.handler.exchanges
    bench.connection.close_when_idle()
    exchange.client.pause()
    assert bench.transport.is_paused
    exchange.client.resume()
    assert not bench.transport.is_paused


def test_a_long_answer_that_a_client_does_not_take_holds_back_the_next_one() -> None:
    bench = Bench(hold).feed(get("/hold") + get("/hold/2"))
    bench.handler.exchanges[0].answer(b"x" * 1000)
    bench.fill()
    bench.run()
    second = bench.handler.exchanges[1]
    assert second.events[:2] == ["held back", "start"]
    bench.drain()
    assert second.events[-1] == "goes on"
    second.answer()


def test_a_body_larger_than_a_turn_takes_is_parsed_in_many_and_nothing_overtakes_it() -> None:
    bodies = [bytes([65 + number]) * (3 * QUEUED_BODY_BYTES_MAX) for number in range(3)]
    bench = Bench(echo)
    stream = b"".join(post(body, f"/{number}") for number, body in enumerate(bodies))
    bench.connection.data_received(stream[:500_000])
    assert bench.transport.is_paused
    bench.connection.data_received(stream[500_000:])  # that was on its way
    bench.run()
    assert take_bodies(bench, 3) == [b"POST /%d " % number + body for number, body in enumerate(bodies)]
    assert not bench.transport.is_paused


def test_a_connection_too_many_is_refused_and_closed() -> None:
    bench = Bench(echo, has_room=False)
    bench.run()
    assert bench.sent.startswith(b"HTTP/1.1 503")
    assert bench.is_lost
