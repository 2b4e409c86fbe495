"""Requests in one stream of bytes: an exchange sees the same however that is cut, and answers come in order.

Heads that are recognised go another way than those that are parsed, and so do requests that wait: what comes
of all these together is compared with what was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.limits import FEED_BYTES_MAX, QUEUED_BODY_BYTES_MAX
from proxy.http1.wire import NEVER
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.played import Played, get, post, post_chunks, write_echo

_ANSWER = re.compile(rb"HTTP/1\.1 200 OK\r\ncontent-length: (\d+)\r\n(connection: close\r\n)?\r\n")
SIZES = st.one_of(
    st.integers(0, 60), st.sampled_from([QUEUED_BODY_BYTES_MAX - 1, FEED_BYTES_MAX + 1, 3 * FEED_BYTES_MAX])
)
# When an exchange answers: at once, when it has the body, or when the test says so.
WAYS = st.sampled_from(["/first", "/whole", "/later"])
HEADERS = st.sampled_from(
    [(), (), ("X-A: b",), ("Expect: 100-continue",), ("Connection: upgrade", "Upgrade: h2c")]
)


@dataclass
class Sent:
    """A request, and what its exchange is to see of it; `body` None if that is not waited for."""

    data: bytes
    path: str
    body: bytes | None
    is_last: bool

    def __repr__(self) -> str:
        return f"{self.data[:150]!r} ({len(self.data)} bytes)"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    way, headers, size = draw(WAYS), draw(HEADERS), draw(SIZES)
    framing = draw(st.sampled_from(["none", "length", "length", "chunks"]))
    is_last = draw(st.integers(0, 9)) == 0
    if is_last:
        headers = ("Connection: close", *headers)
    body = (b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * (size // 30))[:size].ljust(size, b"x")
    if framing == "none":
        return Sent(get(way, *headers), way, b"" if way != "/first" else None, is_last)
    if (
        framing == "length"
        and way == "/first"
        and (size > QUEUED_BODY_BYTES_MAX or "Expect: 100-continue" in headers)
    ):
        way = "/whole"  # passed over, such a body would end the connection
    if framing == "length":
        return Sent(post(body, way, *headers), way, body if way != "/first" else None, is_last)
    step = draw(st.sampled_from([7, 5000])) if size < 1000 else 5000
    pieces = [body[at : at + step] for at in range(0, size, step)]
    way = "/whole" if way == "/first" else way
    trailer = draw(st.sampled_from([b"", b"X-T: u\r\n"]))
    return Sent(post_chunks(pieces, way, *headers, trailer=trailer), way, body, is_last)


@st.composite
def cuts(draw: st.DrawFn, stream: bytes) -> list[int]:
    """Return where a stream is cut: often at the end of a line, where states change."""
    ends = [match.end() for match in re.finditer(b"\r\n", stream[:20_000])]
    places = st.one_of(st.integers(0, len(stream)), st.sampled_from(ends))
    return [0, *sorted(draw(st.lists(places, max_size=8))), len(stream)]


def play(exchange: Played, event: str) -> None:
    if event == "start":
        if exchange.path == "/first":
            exchange.answer(b"early")
        else:
            exchange.client.want_body()
    elif event == "body_end" and exchange.path == "/whole":
        exchange.answer(write_echo(exchange))


def answer_one(bench: Bench) -> bool:
    """Answer what the test has left open; return whether there was anything."""
    exchange = bench.handler.exchanges[-1] if bench.handler.exchanges else None
    if exchange is None or exchange.is_over or not exchange.has_body or exchange.path != "/later":
        return False
    exchange.answer_whole(write_echo(exchange))
    bench.run()
    return True


def read_answers(sent: bytes) -> list[bytes]:
    """Return the bodies of all answers; nothing is allowed to stand beside them."""
    sent, bodies = sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""), []
    while sent:
        match = _ANSWER.match(sent)
        assert match, sent[:200]
        end = match.end() + int(match[1])
        bodies.append(sent[match.end() : end])
        assert not match[2] or end == len(sent)
        sent = sent[end:]
    return bodies


@settings(max_examples=200, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=6), st.data(), st.booleans(), st.booleans())
def test_requests_are_the_same_however_their_bytes_are_cut_and_answers_come_in_order(
    stream: list[Sent], data: st.DataObject, is_warm: bool, recognises: bool
) -> None:
    bench = Bench(play, recognises=recognises)
    if is_warm:  # every head has come before, on another connection
        for each in stream:
            warm = Bench(play, recognises=recognises).feed(each.data)
            bench.handler.known |= warm.handler.known
    whole = b"".join(each.data for each in stream)
    marks = data.draw(cuts(whole))
    for start, end in pairwise(marks):
        while bench.transport.is_paused and not bench.transport.is_closing():
            assert answer_one(bench), "it reads nothing, and waits for nothing"
        bench.feed(whole[start:end])
        if data.draw(st.booleans()):
            answer_one(bench)
    while answer_one(bench):
        pass

    served = stream[: next((number for number, each in enumerate(stream, 1) if each.is_last), len(stream))]
    exchanges = bench.handler.exchanges
    assert [exchange.path for exchange in exchanges] == [each.path for each in served]
    assert not bench.handler.mistakes
    assert not bench.handler.errors
    for exchange, each in zip(exchanges, served, strict=True):
        assert each.body is None or exchange.body == each.body
        assert exchange.fault is None
    expected = [
        b"early" if each.body is None else write_echo(exchange)
        for exchange, each in zip(exchanges, served, strict=True)
    ]
    assert read_answers(bench.sent) == expected
    connection = bench.connection
    assert connection.is_closing is served[-1].is_last
    assert bench.is_lost or connection.deadline < NEVER
    assert bench.is_lost or not bench.transport.is_paused
    assert (connection._exchange, connection._pipeline, connection._backlog) == (None, None, None)


def test_a_head_that_has_come_before_is_recognised_behind_one_of_any_kind() -> None:
    bench = Bench(play, recognises=True)
    for data in (
        post(b"a" * 10, "/whole"),
        get("/whole"),
        post_chunks([b"a"], "/whole"),
        post(b"", "/first"),
    ):
        bench.feed(data, post(b"b" * 5, "/whole", "X: y"))
    assert bench.handler.recognised == 3
    assert [each.body for each in bench.handler.exchanges[1::2]] == [b"bbbbb"] * 4


def test_line_ends_before_a_head_do_not_make_another_one_of_it() -> None:
    """The first empty line is then not the end of the head: nothing may be remembered under it."""
    bench = Bench(play, recognises=True).feed(b"\n\r\n\r\n" + get("/whole"))
    bench.feed(b"\n\r\n\r\n", get("/first"))
    assert bench.handler.paths == ["/whole", "/first"]
