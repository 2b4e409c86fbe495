"""Requests out of bytes: the same events however they are cut, and bounds that hold however they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.faults import Fault
from proxy.http1.limits import HEADER_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX, UNPARSED_BYTES_MAX
from proxy.http1.parser import Head, RequestParser

UPGRADE = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Recorder:
    """Writes down what it is told; pieces of one body are joined."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def begin_head(self) -> None:
        self.events.append("begin")

    def take_head(self, head: Head) -> None:
        self.events.append(head)

    def take_body(self, data: bytes) -> None:
        before = self.events.pop() if isinstance(self.events[-1], bytes) else b""
        self.events.append(before + data)

    def take_end(self, *, is_last: bool) -> None:
        self.events.append("end")

    def take_fault(self, fault: Fault, head: Head | None) -> None:
        self.events.append((fault, head))

    def take_broken_body(self) -> None:
        self.events.append("broken")

    @property
    def fault(self) -> tuple[int, str]:
        """Return status and reason of the fault, which is the last event."""
        fault, _ = self.events[-1]
        return fault.status, fault.reason

    @property
    def faulty_line(self) -> tuple[str, bytes] | None:
        _, head = self.events[-1]
        return (head.method, head.target) if head else None


def parse(*pieces: bytes) -> Recorder:
    recorder = Recorder()
    parser = RequestParser(recorder)
    for piece in pieces:
        parser.feed(piece)
    return recorder


def heads(recorder: Recorder) -> list[tuple[str, bytes]]:
    return [(event.method, event.target) for event in recorder.events if isinstance(event, Head)]


def request(line: bytes = b"GET / HTTP/1.1", *headers: bytes) -> bytes:
    return b"".join(each + b"\r\n" for each in (line, *headers)) + b"\r\n"


TOKEN = st.text("abcdefgXYZ-", min_size=1, max_size=6).map(lambda text: b"X-" + text.encode())
VALUE = st.binary(max_size=12).map(lambda data: bytes(0x21 + byte % 0x5E for byte in data))
BODY = st.one_of(st.just(b""), st.binary(min_size=1, max_size=40))


@st.composite
def valid_requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"CONNECT")))
    target = b"a:1" if method == b"CONNECT" else b"/" + draw(VALUE).replace(b"#", b"")
    head = b"%b %b HTTP/1.1\r\nHost: a\r\n" % (method, target)
    head += b"".join(b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=4)))
    head += draw(st.sampled_from((b"", UPGRADE)))
    body = draw(BODY)
    if draw(st.booleans()):
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks = [body[at : at + 7] for at in range(0, len(body), 7)]
    extension, trailer = (
        draw(st.sampled_from((b"", b";a=b", b';a="b;c"'))),
        draw(st.sampled_from((b"", b"T: u\r\n"))),
    )
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return head + CHUNKED + framed + b"0\r\n" + trailer + b"\r\n"


@settings(max_examples=150)
@given(st.lists(valid_requests(), min_size=1, max_size=3), st.data())
def test_requests_are_the_same_however_their_bytes_are_cut(
    requests: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(requests)
    first, second = sorted((data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, len(stream)))))
    whole = parse(stream)
    assert len(heads(whole)) == len(requests)
    assert whole.events.count("end") == len(requests)
    assert parse(stream[:first], stream[first:second], stream[second:]).events == whole.events
    assert [event for one in requests for event in parse(one).events] == whole.events


@pytest.mark.parametrize("offer", [b"", UPGRADE], ids=["plain", "offering"])
@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 3 \r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    ],
    ids=["none", "empty", "counted", "chunked"],
)
def test_every_cut_of_two_requests_is_one_and_the_same(offer: bytes, body: bytes) -> None:
    stream = (b"POST /a HTTP/1.1\r\nHost: a\r\n" + offer + body) * 2
    whole = parse(stream)
    assert heads(whole) == [("POST", b"/a")] * 2
    assert whole.events[-1] == "end"
    for cut in range(len(stream)):
        assert parse(stream[:cut], stream[cut:]).events == whole.events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))).events == whole.events


def test_a_head_is_told_as_it_was_sent_but_for_the_case_of_names_and_outer_white_space() -> None:
    (_, head, _) = parse(
        request(b"GET /%41?b=c%20 HTTP/1.1", b"X-A:\t b  c \t", b"x-a:", b"Host: \xe4")
    ).events
    assert head == Head(
        "GET", b"/%41?b=c%20", "1.1", [(b"x-a", b"b  c"), (b"x-a", b""), (b"host", b"\xe4")], True
    )


@pytest.mark.parametrize(
    ("version", "connection", "is_kept_alive"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "keep-alive", True)],
)
def test_a_connection_is_kept_as_version_and_header_have_it(
    version: str, connection: str, is_kept_alive: bool
) -> None:
    header = [f"Connection: {connection}".encode()] if connection else []
    (head,) = [
        each
        for each in parse(request(f"GET / HTTP/{version}".encode(), *header)).events
        if type(each) is Head
    ]
    assert (head.version, head.is_kept_alive) == (version, is_kept_alive)


def test_many_offers_to_upgrade_in_one_read_are_passed_over_one_by_one() -> None:
    assert len(heads(parse(request(b"GET / HTTP/1.1", UPGRADE[:-2]) * 2000))) == 2000


def test_a_transfer_coding_that_is_none_is_a_broken_body_with_an_offer_and_without() -> None:
    for offer in (b"", UPGRADE):
        recorder = parse(
            b"POST / HTTP/1.1\r\n" + offer + b"Transfer-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        )
        assert recorder.events[-1] == "broken"
        assert len(heads(recorder)) == 1


def test_nothing_is_told_behind_a_request_that_is_the_last() -> None:
    assert len(heads(parse(request(b"GET /1 HTTP/1.1", b"Connection: close"), request(), request()))) == 1


def test_a_mistake_of_the_sink_is_raised_and_not_held_against_the_client() -> None:
    class Mistaken(Recorder):
        def take_head(self, head: Head) -> None:
            raise KeyError("a bug")

    recorder = Mistaken()
    with pytest.raises(Exception, match="callback"):
        RequestParser(recorder).feed(request())
    assert recorder.events == ["begin"]


def test_a_body_before_the_head_of_the_next_request_counts_for_no_bound_of_it() -> None:
    stream = (
        b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n"
        + b"x" * 200000
        + request(b"GET /n HTTP/1.1", b"A: b")
    )
    assert heads(parse(stream[:-3], stream[-3:])) == [("POST", b"/"), ("GET", b"/n")]


def test_a_request_that_has_been_read_is_not_held_by_an_idle_connection() -> None:
    parser = RequestParser(Recorder())
    parser.feed(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
    assert not any(value for value in vars(parser).values() if isinstance(value, bytes) and len(value) > 1000)


# What has no end is given up.


@pytest.mark.parametrize(
    ("start", "piece", "status"),
    [
        (b"GET /", b"a" * 100, 414),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 100, 431),
        (b"GET / HTTP/1.1\r\nX", b"a" * 100, 431),
        (b"GET / HTTP/1.1\r\n", b"X: a\r\n", 431),
    ],
    ids=["line", "value", "name", "headers"],
)
@pytest.mark.parametrize("at_once", [1, 50, 2000])
def test_a_head_that_does_not_end_is_refused(start: bytes, piece: bytes, status: int, at_once: int) -> None:
    recorder = Recorder()
    parser = RequestParser(recorder)
    parser.feed(start)
    fed = 0
    while not parser.is_deaf and fed < UNPARSED_BYTES_MAX + 1_000_000:
        parser.feed(piece * at_once)
        fed += len(piece) * at_once
    assert recorder.fault == (status, "too_large")
    assert recorder.faulty_line is not None
    assert fed <= UNPARSED_BYTES_MAX + len(piece) * at_once + len(start)


@pytest.mark.parametrize("start", [b"0\r\nX: ", b"0\r\nX", b"0\r\n", b"3\r\nabc\r\n3;a=", b"1;a"])
def test_what_stands_beside_a_chunked_body_without_end_breaks_it(start: bytes) -> None:
    recorder = Recorder()
    parser = RequestParser(recorder)
    parser.feed(b"POST / HTTP/1.1\r\n" + CHUNKED + start)
    for _ in range(UNPARSED_BYTES_MAX // 1000 + 2):
        parser.feed(b"Y: " + b"a" * 995 + b"\r\n" if start == b"0\r\n" else b"a" * 1000)
    assert recorder.events[-1] == "broken"
    assert parser.is_deaf


def test_a_body_of_any_length_is_taken() -> None:
    recorder = parse(
        b"POST / HTTP/1.1\r\n" + CHUNKED, *[b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 20, b"0\r\n\r\n"
    )
    assert recorder.events[-2:] == [b"x" * 2_000_000, "end"]


@pytest.mark.parametrize("over", [0, 1])
def test_bounds_of_a_head_are_exact(over: int) -> None:
    line = parse(request(b"GET /%b HTTP/1.1" % (b"a" * (LINE_BYTES_MAX - 1 + over))))
    many = parse(request(b"GET / HTTP/1.1", *[b"A: b"] * (HEADERS_MAX + over)))
    long = parse(request(b"GET / HTTP/1.1", b"A: " + b"b" * (HEADER_BYTES_MAX - 5 + over)))
    for recorder, status in ((line, 414), (many, 431), (long, 431)):
        assert recorder.fault == (status, "too_large") if over else recorder.events[-1] == "end"
