"""Rows 34 to 37 and 39: odd but valid answers pass as they are, and nothing is sent twice or remembered."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.hardening.answers import answer, chunk, chunked, cut, head, in_turn, plain, stick
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import Call, Play

GARBAGE = bytes(range(256)) * 3
ENCODED = {
    "gzip": ("gzip", gzip.compress(b"hello " * 500, mtime=0)),
    "br": ("br", bytes.fromhex("8b0180") + b"hello" + b"\x03"),
    "zstd": ("zstd", bytes.fromhex("28b52ffd240541000068656c6c6f")),
    "gzip-garbage": ("gzip", GARBAGE),
    "unknown": ("x-unheard-of, gzip", GARBAGE),
    "cut-gzip": ("gzip", gzip.compress(b"hello " * 500, mtime=0)[:-4]),
}
LOCATIONS = ["http://127.0.0.1:1/away", "/f/elsewhere", "//evil.test/", "https://gateway.test/f/x?y#z", "%"]
# What a backend does to a POST that has reached it, and what is left for the client.
FAILURES: dict[str, tuple[Play, int]] = {
    "500": (answer(plain(b"no", status="500 Internal Server Error")), 500),
    "502": (answer(plain(b"no", status="502 Bad Gateway")), 502),
    "503": (answer(plain(b"no", status="503 Service Unavailable", headers=["retry-after: 0"])), 503),
    "429": (answer(plain(b"no", status="429 Too Many Requests", headers=["retry-after: 0"])), 429),
    "closed": (cut(b"", 0), 502),
    "reset": (cut(b"", 0, reset=True), 502),
    "cut-in-head": (cut(plain(), 10), 502),
    "cut-in-body": (cut(plain(b"0123456789"), len(plain(b"0123456789")) - 5), 200),
    "invalid": (answer(b"no HTTP at all\r\n\r\n"), 502),
    "silent": (stick(), 504),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    late = ("--match", "/late/*", "--timeout", "1")
    with run_gate(tmp_path_factory.mktemp("gate"), routes=[late]) as served:
        yield served


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Odd"])
def test_an_interim_answer_does_not_hide_the_final_one(gate: Gate, status: str) -> None:
    client = gate.connect()
    interim = head("link: </style.css>", status=status)
    gate.backend.play("/f/interim", answer(interim * 3 + plain(b"final")))
    answered = client.ask(gate.request("/f/interim", method="POST", body=b"{}"))
    assert (answered.status, answered.body) == (200, b"final")
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_interim_answers_without_end_are_a_502(gate: Gate) -> None:
    async def play(call: Call) -> None:
        for _ in range(10_000):
            await call.send(head(status="103 Early Hints"))

    endless = gate.ask("/late/endless", play)
    assert (endless.status, endless.error_code) == (502, "upstream_invalid")


@pytest.mark.parametrize("waits", [True, False], ids=["reset-later", "reset-at-once"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
def test_an_early_answer_reaches_a_client_that_is_still_sending(
    gate: Gate, is_chunked: bool, waits: bool
) -> None:
    steps = gate.backend.steps()

    async def play(call: Call) -> None:
        await call.send(plain(b"too much", status="413 Content Too Large"))
        if waits:
            await steps.wait()
        call.connection.close(reset=True)

    piece = chunk(b"x" * 1000) if is_chunked else b"x" * 1000
    framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {500 * len(piece)}"
    gate.backend.play("/f/early", play)
    client = gate.connect()
    client.send(gate.request("/f/early", method="POST", headers=[framing]) + piece)
    early = client.read_answer()
    assert (early.status, early.body, early.is_whole) == (413, b"too much", True)
    steps.confirm()
    with suppress(ConnectionError):  # a gateway may also close on a body that nobody wants
        client.send(piece * 499 + (chunk(b"") if is_chunked else b""))
    row = gate.row(early)
    assert (row["status_code"], row["error_message"]) == (413, None)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Odd", "308 Odd"])
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_redirect_is_passed_on_and_not_followed(gate: Gate, status: str, location: str) -> None:
    before = len(gate.backend.calls)
    redirect = plain(b"moved", status=status, headers=[f"location: {location}"])
    redirected = gate.ask("/f/redirect", answer(redirect))
    assert redirected.status == int(status[:3])
    assert redirected.header(b"location") == [location.encode()]
    assert redirected.body == b"moved"
    assert len(gate.backend.calls) == before + 1


def test_a_cookie_of_one_client_never_comes_with_the_request_of_another(gate: Gate) -> None:
    headers = ["set-cookie: session=a; Path=/", "set-cookie: second=b", "set-cookie: third=c"]
    first = gate.connect()
    gate.backend.play("/f/cookie", in_turn(answer(plain(headers=headers)), answer(plain())))
    given = first.ask(gate.request("/f/cookie"))
    assert given.header(b"set-cookie") == [b"session=a; Path=/", b"second=b", b"third=c"]
    for client in (gate.connect(), first):
        assert client.ask(gate.request("/f/cookie")).header(b"set-cookie") == []
    own = gate.ask("/f/cookie", headers=["cookie: own=1"])
    assert own.status == 200
    cookies = [call.header(b"cookie") for call in gate.backend.calls_of("/f/cookie")]
    assert cookies == [[], [], [], [b"own=1"]]
    # They did share a connection to the backend: it is there that one could have met the other.
    assert len({call.connection.number for call in gate.backend.calls_of("/f/cookie")}) == 1


@pytest.mark.parametrize("is_chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize(("encoding", "body"), ENCODED.values(), ids=ENCODED)
def test_an_encoded_body_passes_to_the_byte(gate: Gate, encoding: str, body: bytes, is_chunked: bool) -> None:
    headers = [f"content-encoding: {encoding}", "content-type: text/plain"]
    data = chunked(body[:7], body[7:], headers=headers) if is_chunked else plain(body, headers=headers)
    encoded = gate.ask("/f/encoded", answer(data), headers=["accept-encoding: gzip, br, zstd"])
    assert (encoded.body, encoded.is_whole) == (body, True)
    assert encoded.header(b"content-encoding") == [encoding.encode()]
    assert gate.backend.calls[-1].header(b"accept-encoding") == [b"gzip, br, zstd"]


def test_no_encoding_is_asked_for_that_the_client_did_not_ask_for(gate: Gate) -> None:
    assert gate.ask("/f/unasked").status == 200
    assert gate.backend.calls_of("/f/unasked")[0].header(b"accept-encoding") == []


@pytest.mark.parametrize(("script", "status"), FAILURES.values(), ids=FAILURES)
def test_a_post_that_fails_is_sent_once(gate: Gate, script: Play, status: int) -> None:
    path = "/late/once"
    # The connection has served before: a failure on a new one could be told from one on a kept one.
    assert gate.ask(path, answer(plain(b"kept")), method="POST", body=b"{}").body == b"kept"
    before = len(gate.backend.calls_of(path))
    failed = gate.ask(path, script, method="POST", body=b'{"once": true}')
    assert failed.status == status
    assert gate.ask("/f/next").body == b"ok"
    calls = gate.backend.calls_of(path)[before:]
    assert [call.body for call in calls] == [b'{"once": true}']


def test_a_post_after_the_backend_has_closed_an_idle_connection_is_sent_once_and_answered(gate: Gate) -> None:
    path = "/f/idle"

    async def play(call: Call) -> None:
        await call.read_body()
        await call.send(plain(b"kept"))
        call.connection.finish()

    assert gate.ask(path, play, method="POST", body=b"{}").body == b"kept"
    (first,) = gate.backend.calls_of(path)
    assert first.connection.wait_ended() in ("fin", "reset")  # the gateway has seen the end
    assert gate.ask(path, answer(plain(b"new")), method="POST", body=b"{}").body == b"new"
    assert len(gate.backend.calls_of(path)) == 2


@pytest.mark.parametrize(
    "data",
    [
        plain(b'{"error": "busy"}', status="500 Internal Server Error", headers=["x-reason: busy"]),
        plain(b"slow down", status="429 Too Many Requests", headers=["retry-after: 17"]),
        plain(b"", status="503 Service Unavailable", headers=["retry-after: Fri, 31 Dec 1999 23:59:59 GMT"]),
        chunked(
            b'data: {"choices": []}\n\n',
            b'event: error\ndata: {"error": {"message": "out of memory"}}\n\n',
            headers=["content-type: text/event-stream"],
        ),
    ],
    ids=["500", "429", "503", "error-event"],
)
def test_an_error_of_the_backend_passes_as_it_is(gate: Gate, data: bytes) -> None:
    client = gate.connect()
    gate.backend.play("/f/error", answer(data))
    failed = client.ask(gate.request("/f/error", method="POST", body=b"{}"))
    status = int(data.split(b" ")[1])
    expected, _, body = data.partition(b"\r\n\r\n")
    assert (failed.status, failed.is_whole) == (status, True)
    assert failed.body == (body if b"content-length" in expected else unchunk(body))
    for line in expected.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        assert failed.header(name) == [value]
    row = gate.row(failed)
    assert (row["status_code"], row["error_message"]) == (status, None)
    assert client.ask(gate.request("/f/next")).body == b"ok"


def unchunk(data: bytes) -> bytes:
    """Return the body of whole chunks."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body
