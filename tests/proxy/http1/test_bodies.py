"""Bodies as an exchange meets them, when they are asked for, and a client that leaves: once."""

from __future__ import annotations

import pytest

from proxy.http1.connection import ClientConnection
from proxy.http1.handler import ABORTED, BAD_BODY
from proxy.http1.limits import FEED_BYTES_MAX, QUEUED_BODY_BYTES_MAX
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.conftest import Serve
from tests.proxy.http1.played import Played, echo, get, hold, post, post_chunks
from tests.proxy.sockets import wait_until

CHUNKED = "Transfer-Encoding: chunked"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, QUEUED_BODY_BYTES_MAX, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("recognises", [False, True])
def test_a_body_of_any_size_arrives_whole(
    serve: Serve, size: int, *, is_chunked: bool, recognises: bool
) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    client = serve(echo, recognises=recognises).connect()
    for _ in range(2):
        pieces = [body[at : at + 100_000] for at in range(0, size, 100_000)]
        client.send(post_chunks(pieces) if is_chunked else post(body))
        assert client.read_reply().body == b"POST / " + body


def test_a_body_is_handed_on_piece_by_piece_as_it_comes(serve: Serve) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "start":
            exchange.begin()
        elif event == "body":
            exchange.client.send_body(exchange.pieces[-1])
        elif event == "body_end":
            exchange.end()

    client = serve(play).connect(get("/", CHUNKED, method="POST"))
    client.read_head()
    for data in (b"one", b"two"):
        client.send_chunk(data)
        assert client.read_until(data) == b"3\r\n" + data
        client.read_until(b"\r\n")
    client.send(b"0\r\n\r\n")
    assert client.read_rest() == b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tiny_chunks_that_come_together_are_told_together(size: int) -> None:
    """Issue 11 a: an exchange is called as often as something is read, not as often as a client
    makes chunks.
    """
    body = bytes(range(256)) * 300
    stream = post_chunks([body[at : at + size] for at in range(0, len(body), size)])
    bench = Bench(echo).feed(*(stream[at : at + 10_000] for at in range(0, len(stream), 10_000)))
    (exchange,) = bench.handler.exchanges
    assert exchange.body == body
    assert exchange.events.count("body") <= len(stream) // 10_000 + 1


def test_a_read_full_of_tiny_chunks_lets_others_have_their_turn_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 11 a: no turn of the loop parses more of one connection than a bound."""
    bench, fed = Bench(echo), [0]
    parse = bench.connection._parser.feed

    def feed(data: bytes) -> None:
        fed[-1] += len(data)
        parse(data)

    monkeypatch.setattr(bench.connection._parser, "feed", feed)
    bench.connection.data_received(post_chunks([b"x"] * 100_000))
    fed.append(0)
    while bench.loop.run_turn():
        fed.append(0)
    assert len(fed) > 8
    assert max(fed) <= FEED_BYTES_MAX
    assert bench.handler.exchanges[0].has_body


# Bodies that wait for a word.


def test_100_is_sent_when_the_body_is_wanted_and_only_once() -> None:
    bench = Bench(echo).feed(get("/", "Expect: 100-continue", "Content-Length: 6", method="POST"))
    assert bench.sent == CONTINUE
    bench.feed(b"abc")
    bench.handler.exchanges[0].client.want_body()
    bench.feed(b"def")
    assert bench.sent.startswith(CONTINUE + b"HTTP/1.1 200")
    assert bench.sent.endswith(b"POST / abcdef")
    assert not bench.connection.is_closing


@pytest.mark.parametrize(
    ("path", "version", "begin"),
    [("/?unread", "1.1", b""), ("/", "1.0", b"abc"), ("/hold", "1.1", b"abc")],
    ids=["unwanted", "a client of 1.0", "a body that comes unasked"],
)
def test_100_is_not_sent_where_nobody_waits_for_it(path: str, version: str, begin: bytes) -> None:
    bench = Bench(hold).feed(
        get(path, "Expect: 100-continue", "Content-Length: 3", method="POST", version=version) + begin
    )
    (exchange,) = bench.handler.exchanges
    exchange.client.want_body()
    if path == "/hold":
        exchange.answer()
    assert bench.sent.startswith(b"HTTP/1.1 200")
    # Whether the body will come is not known, so nothing can follow it.
    assert (b"connection: close" in bench.sent) is (path != "/hold")


def test_100_is_not_sent_into_an_answer_or_for_a_body_that_waited_and_is_whole() -> None:
    expecting = get("/hold/2", "Expect: 100-continue", "Content-Length: 3", method="POST")
    bench = Bench(hold).feed(get("/hold/1") + expecting + b"abc", get("/hold/3"))
    for exchange in iter(lambda: next((e for e in bench.handler.exchanges if not e.is_over), None), None):
        exchange.client.want_body()
        exchange.begin()
        exchange.client.want_body()
        exchange.end()
        bench.run()
    assert len(bench.handler.exchanges) == 3
    assert CONTINUE not in bench.sent


# Bodies that break, and clients that leave.


@pytest.mark.parametrize("ending", [b"zz\r\n", b"RST", b"FIN"])
def test_a_body_that_breaks_is_told_with_its_reason(serve: Serve, ending: bytes) -> None:
    served = serve(echo)
    client = served.connect(get("/", CHUNKED, method="POST"))
    client.send_chunk(b"abc")
    served.wait_for("/", "body")
    if ending == b"zz\r\n":
        client.send(ending)
        assert client.read_reply().status == 400
        client.wait_closed()
    elif ending == b"RST":
        client.reset()
    else:
        client.finish_sending()
    last = f"failed {BAD_BODY}" if ending == b"zz\r\n" else f"left {ABORTED}"
    exchange = served.wait_for("/", last)
    assert (exchange.events[:2], exchange.body) == (["start", "body"], b"abc")
    assert exchange.events[-1] == last


@pytest.mark.parametrize("path", ["/hold", "/wait", "/?unread"])
def test_a_bad_chunk_behind_another_request_breaks_its_own_alone(path: str) -> None:
    chunks = get(path, CHUNKED, method="POST") + b"3\r\nabc\r\nzz\r\n"
    bench = Bench(hold).feed(get("/hold/first") + chunks + get("/never"))
    bench.handler.exchanges[0].answer()
    bench.run()
    exchange = bench.handler.exchanges[1]
    if path != "/?unread":
        assert exchange.events == ["start", "body", f"failed {BAD_BODY}"]
        exchange.answer(b"", 400)
    assert bench.transport.has_eof
    assert len(bench.handler.exchanges) == 2


def test_a_client_that_leaves_is_told_once_and_never_after_its_response(serve: Serve) -> None:
    served = serve(hold)
    client = served.connect(get("/whole"))
    assert client.read_reply().status == 200
    client.send(get("/wait"))
    served.wait_for("/wait")
    client.reset()
    wait_until(lambda: served.server.connections == 0)
    assert [exchange.events[-1] for exchange in served.handler.exchanges] == ["body_end", f"left {ABORTED}"]


@pytest.mark.parametrize("size", [10, 200_000, 3_000_000])
def test_a_client_that_leaves_behind_a_body_of_any_size_is_noticed_before_the_answer(
    serve: Serve, size: int
) -> None:
    served = serve(hold)
    client = served.connect(post(b"x" * size, "/hold"))
    served.wait_for("/hold", "body_end")
    client.close()
    served.wait_for("/hold", f"left {ABORTED}")


def test_a_connection_is_small() -> None:
    assert not hasattr(Bench(echo).connection, "__dict__")
    assert "__dict__" not in dir(ClientConnection)
