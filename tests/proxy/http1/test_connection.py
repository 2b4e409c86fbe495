"""Connections: kept and closed, requests in order, refusals that can be read, applications that fail."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from proxy.http1.limits import LINE_BYTES_MAX, PIPELINED_REQUESTS_MAX
from proxy.http1.request import FAULT_KEY
from tests.proxy.http1.conftest import LogLines, Serve, answer, echo, get, post, read_body
from tests.proxy.relay.conftest import TIMEOUT_SECONDS, Wire

CLOSED = b"\r\nconnection: close\r\n"


class Gated:
    """Answers `echo`, but a request to `/wait` only when it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.is_waiting = threading.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        if scope["path"] == "/wait":
            self.is_waiting.set()
            await self.go.wait()
        await echo(scope, receive, send)


def read_answer(client: Wire, method: str = "GET") -> bytes:
    """Return the body of an answer of `echo`, of which others may follow."""
    head = client.read_head()
    assert head.startswith(b"HTTP/1.1 200"), head
    return client.read_exactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]))


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive", True),
    ],
)
def test_a_connection_is_kept_as_the_client_has_it(
    serve: Serve, version: str, header: str, is_kept: bool
) -> None:
    request = get("/", *([header] if header else []), version=version)
    client = serve(echo).connect(request)
    head = client.read_head()
    client.read_exactly(6)
    assert (CLOSED in head) is not is_kept
    if is_kept:
        client.send(request)
        assert client.read_head() == head
    else:
        assert client.read_rest() == b""


@pytest.mark.parametrize(
    "offer", ["Connection: upgrade\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket"]
)
def test_an_offer_to_upgrade_is_answered_in_http_1(serve: Serve, offer: str) -> None:
    client = serve(echo).connect(get("/a", offer) + post(b"abc", "/b", offer) + get("/c"))
    assert [read_answer(client) for _ in range(3)] == [b"GET /a ", b"POST /b abc", b"GET /c "]


def test_pipelined_requests_are_answered_in_order_one_at_a_time(serve: Serve) -> None:
    app = Gated()
    served = serve(app)
    client = served.connect(get("/wait") + post(b"body", "/2") + get("/3") + get("/4")[:10])
    assert app.is_waiting.wait(TIMEOUT_SECONDS)
    assert app.begun == ["/wait"]
    served.call(app.go.set)
    client.send(get("/4")[10:])
    assert [read_answer(client) for _ in range(4)] == [b"GET /wait ", b"POST /2 body", b"GET /3 ", b"GET /4 "]


def test_more_pipelined_requests_than_there_is_room_for_are_answered_as_far_as_they_were_taken(
    serve: Serve,
) -> None:
    app = Gated()
    served = serve(app)
    client = served.connect(get("/wait"))
    assert app.is_waiting.wait(TIMEOUT_SECONDS)
    for number in range(200):
        client.send(get(f"/{number}"))
    served.call(app.go.set)
    assert read_answer(client) == b"GET /wait "
    for number in range(PIPELINED_REQUESTS_MAX - 1):
        assert read_answer(client) == b"GET /%d " % number
    assert CLOSED in client.read_head()  # the client knows that the rest has to be sent again
    assert client.read_rest() == b"GET /%d " % (PIPELINED_REQUESTS_MAX - 1)
    assert len(app.begun) == PIPELINED_REQUESTS_MAX + 1


def test_pipelined_bodies_that_fill_the_queue_are_all_read_in_the_end(serve: Serve) -> None:
    app = Gated()
    served = serve(app)
    bodies = [bytes([number]) * size for number, size in enumerate((100_000, 10, 70_000, 300_000, 1))]
    client = served.connect(get("/wait"))
    stream = b"".join(post(body, f"/{number}") for number, body in enumerate(bodies))
    sender = threading.Thread(target=client.send, args=(stream,))
    sender.start()
    assert app.is_waiting.wait(TIMEOUT_SECONDS)
    served.call(app.go.set)
    assert read_answer(client) == b"GET /wait "
    for number, body in enumerate(bodies):
        assert read_answer(client) == b"POST /%d " % number + body
    sender.join()


def test_unread_pipelined_bodies_do_not_stop_what_follows_them(serve: Serve) -> None:
    client = serve(echo).connect(
        (post(b"x" * 60_000, "/a?unread") + post(b"y" * 60_000, "/b")) * 5 + get("/c")
    )
    for _ in range(5):
        assert read_answer(client) == b"POST /a "
        assert read_answer(client) == b"POST /b " + b"y" * 60_000
    assert read_answer(client) == b"GET /c "


def test_what_follows_a_response_that_ends_the_connection_does_not_cost_the_client_that_response(
    serve: Serve,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        is_begun.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"abc"})

    is_begun, go = threading.Event(), asyncio.Event()
    served = serve(app)
    client = served.connect(get("/", "Connection: keep-alive", version="1.0"))
    assert is_begun.wait(TIMEOUT_SECONDS)
    client.send(get("/next", "Content-Length: 20000000", method="POST") + b"x" * 50_000)
    served.call(go.set)
    client.send(b"x" * 19_950_000)
    assert client.read_rest() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"


def test_a_short_body_that_nobody_reads_leaves_the_connection_in_use(serve: Serve) -> None:
    client = serve(echo).connect(get("/?unread", "Content-Length: 60000", method="POST"))
    assert read_answer(client) == b"POST / "
    client.send(b"x" * 60000 + get("/next"))
    assert read_answer(client) == b"GET /next "


@pytest.mark.parametrize("framing", [f"Content-Length: {20_000_000}", "Transfer-Encoding: chunked"])
def test_the_refusal_of_a_long_upload_can_be_read_and_closes(serve: Serve, framing: str) -> None:
    client = serve(echo).connect(get("/?unread", framing, method="POST"))
    for _ in range(200):  # before anything is read
        client.send_chunk(b"x" * 99_990)
    assert CLOSED in client.read_head()
    assert client.read_rest() == b"POST / "


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
def test_a_fault_reaches_the_application_which_answers_it_last(
    serve: Serve, bad: bytes, status: bytes, reason: str
) -> None:
    reasons: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fault := scope["extensions"].get(FAULT_KEY):
            reasons.append(fault.reason)
            assert (await receive())["type"] == "http.disconnect"
            await answer(send, fault.message.encode(), fault.status)
        else:
            await echo(scope, receive, send)

    client = serve(app).connect(get("/good") + bad + get("/never"))
    assert read_answer(client) == b"GET /good "
    head = client.read_head()
    assert head.startswith(b"HTTP/1.1 " + status)
    assert CLOSED in head
    assert b"HTTP/1.1" not in client.read_rest()
    assert reasons == [reason]


def test_what_is_no_request_is_refused_behind_the_answers_to_those_before_it(serve: Serve) -> None:
    app = Gated()
    served = serve(app)
    client = served.connect(get("/wait") + get("/2") + b"\x16\x03\x01\r\n\r\n" + get("/never"))
    assert app.is_waiting.wait(TIMEOUT_SECONDS)
    served.call(app.go.set)
    assert [read_answer(client) for _ in range(2)] == [b"GET /wait ", b"GET /2 "]
    assert client.read_head().startswith(b"HTTP/1.1 400")
    assert client.read_rest() == b""
    assert served.server.refusals == {"bad_request": 1}


@pytest.mark.parametrize("failing", ["raises", "returns", "exits"])
@pytest.mark.parametrize("upload", [b"", b"x" * 3_000_000], ids=["bare", "uploading"])
def test_an_application_that_does_not_answer_costs_a_500(
    serve: Serve, log: LogLines, failing: str, upload: bytes
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if failing == "raises":
            raise ValueError("a bug")
        if failing == "exits":
            raise asyncio.CancelledError

    client = serve(app).connect(post(upload))
    assert (
        client.read_rest()
        == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    assert ("a bug" in log.text) is (failing == "raises")


def test_work_behind_a_response_delays_the_next_request_of_its_connection_alone(serve: Serve) -> None:
    begun: list[str] = []
    is_over = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        await read_body(receive)
        await answer(send, b"abc")
        if scope["path"] == "/slow":
            await is_over.wait()

    served = serve(app)
    client = served.connect(get("/slow"))
    assert read_answer(client) == b"abc"
    client.send(get("/next"))
    assert read_answer(served.connect(get("/other"))) == b"abc"
    assert "/next" not in begun
    served.call(is_over.set)
    assert read_answer(client) == b"abc"
