"""Row 25: several requests on one connection, at once and after every error."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.hardening.arrivals import Arrival
from tests.hardening.client import ClosedError, RawClient
from tests.hardening.gate import Gate
from tests.hardening.plays import Play, answer_plainly, stream_pieces

pytestmark = pytest.mark.usefixtures("serving")
PIPELINED = 20


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 2, max_body_size: 1000B}"


def answer_late(seconds_of: dict[bytes, float]) -> Play:
    """Answer each path after a time of its own, so that answers are ready in another order."""

    async def play(arrival: Arrival) -> None:
        await asyncio.sleep(seconds_of[arrival.target])
        await answer_plainly(arrival)

    return play


def body_of(client: RawClient, method: bytes = b"GET") -> bytes:
    response = client.read_response(method)
    assert response.status == 200
    assert response.is_whole
    return response.body


def test_pipelined_requests_are_answered_in_their_order(gate: Gate) -> None:
    paths = [gate.new_path() for _ in range(PIPELINED)]
    late = {path.encode(): 0.002 * (PIPELINED - number) for number, path in enumerate(paths)}
    for path in paths:
        gate.backend.play(path, answer_late(late))
    client = gate.connect()
    client.send(b"".join(gate.head(path) for path in paths))
    assert [body_of(client) for _ in paths] == [path.encode() for path in paths]


def test_pipelined_bodies_stay_with_their_requests(gate: Gate) -> None:
    paths = [gate.new_path() for _ in range(PIPELINED)]
    bodies = [f"body of {path} GET /t/x HTTP/1.1\r\n\r\n".encode() for path in paths]
    sent = b""
    for number, (path, body) in enumerate(zip(paths, bodies, strict=True)):
        if number % 2:
            sent += gate.head(path, f"content-length: {len(body)}", method="POST") + body
        else:
            chunks = b"%x;ext=1\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(body), body)
            sent += gate.head(path, "transfer-encoding: chunked", method="POST") + chunks
    client = gate.connect()
    client.send(sent)
    assert [body_of(client, b"POST") for _ in paths] == [path.encode() for path in paths]
    assert [bytes(gate.seen_of(path).body) for path in paths] == bodies
    for path in paths:
        assert b"x-trailer" not in gate.seen_of(path).link.received


def test_more_than_are_queued_are_answered_or_left_for_another_connection(gate: Gate) -> None:
    paths = [gate.new_path() for _ in range(10 * PIPELINED)]
    client = gate.connect()
    client.send_all_taken(b"".join(gate.head(path) for path in paths))
    answered: list[bytes] = []
    with suppress(ClosedError):
        while len(answered) < len(paths):
            answered.append(body_of(client))
    assert len(answered) >= PIPELINED
    assert answered == [path.encode() for path in paths[: len(answered)]]
    # What was not answered was not done either.
    assert not any(gate.backend.seen(path) for path in paths[len(answered) :])


def test_requests_cut_anywhere_are_the_same_requests(gate: Gate) -> None:
    first, second = gate.new_path(), gate.new_path()
    sent = gate.head(first, "transfer-encoding: chunked", method="POST") + b"3\r\none\r\n2\r\ntw\r\n0\r\n\r\n"
    sent += gate.head(second, "content-length: 4", method="POST") + b"four"
    client = gate.connect()
    for at in range(len(sent)):
        client.send(sent[at : at + 1])
    assert [body_of(client, b"POST"), body_of(client, b"POST")] == [first.encode(), second.encode()]
    assert [bytes(gate.seen_of(path).body) for path in (first, second)] == [b"onetw", b"four"]


def test_a_connection_is_used_again_and_again(gate: Gate) -> None:
    client = gate.connect()
    for number in range(50):
        path = gate.new_path()
        if number % 3:
            assert client.ask(gate.head(path)).body == path.encode()
        else:
            head = gate.head(path, "content-length: 4", method="POST")
            assert client.ask(head + b"body").body == path.encode()


def test_a_request_behind_a_stream_waits_for_its_end(gate: Gate) -> None:
    stream, behind = gate.new_path(stream_pieces(b"data: 1\n\n", count=100)), gate.new_path()
    client = gate.connect()
    client.send(gate.head(stream) + gate.head(behind))
    assert body_of(client) == b"data: 1\n\n" * 100
    assert body_of(client) == behind.encode()


def errors(gate: Gate) -> dict[str, tuple[int, bytes]]:
    """Return requests that are answered with an error, each with its status."""
    path = "/t/error"
    return {
        "bad key": (401, gate.head(path, key="fg_nobody")),
        "no key": (401, f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()),
        "bad key and a body": (401, gate.head(path, "content-length: 4", method="POST", key="x") + b"body"),
        "bad key and chunks": (
            401,
            gate.head(path, "transfer-encoding: chunked", method="POST", key="x") + b"1\r\na\r\n0\r\n\r\n",
        ),
        "no route": (404, gate.head("/elsewhere")),
        "bad path": (400, gate.head("/t/../x")),
        "bad path and a body": (400, gate.head("/t/../x", "content-length: 4", method="POST") + b"body"),
        "bad host": (400, gate.head(path, "host: b")),
        "bad method": (400, gate.head(path, method="TRACE")),
        "bad framing": (
            400,
            gate.head(path, "content-length: 4", "transfer-encoding: chunked", method="POST"),
        ),
        "malformed": (400, gate.head(path, "x y: 1")),
        "too large": (413, gate.head(path, "content-length: 2000", method="POST") + b"u" * 2000),
        "bad chunk": (400, gate.head(path, "transfer-encoding: chunked", method="POST") + b"zz\r\n"),
        "too many headers": (431, gate.head(path, *["x: y"] * 101)),
    }


ERRORS = (
    "bad key", "no key", "bad key and a body", "bad key and chunks", "no route", "bad path",
    "bad path and a body", "bad host", "bad method", "bad framing", "malformed", "too large", "bad chunk",
    "too many headers",
)  # fmt: skip


@pytest.mark.parametrize("name", ERRORS, ids=lambda name: f"row 25: after {name}")
@pytest.mark.parametrize("is_pipelined", [False, True], ids=["one by one", "at once"])
def test_a_connection_goes_on_after_an_error_or_is_closed(gate: Gate, name: str, is_pipelined: bool) -> None:
    status, request = errors(gate)[name]
    path, before = gate.new_path(), len(gate.backend.seen("/t/error"))
    method = request.partition(b" ")[0]
    client = gate.connect()
    client.send_all_taken(request + (gate.head(path) if is_pipelined else b""))
    response = client.read_response(method)
    assert response.status == status or (name == "bad method" and response.status == 405)
    if not is_pipelined:
        client.send_all_taken(gate.head(path))
    try:
        assert body_of(client) == path.encode()
        assert len(gate.backend.seen(path)) == 1
    except ClosedError:
        assert gate.backend.seen(path) == []
        assert response.values(b"connection") == [b"close"]
    assert not any(arrival.is_whole for arrival in gate.backend.seen("/t/error")[before:])


@pytest.mark.parametrize("name", ["bad key", "no route", "bad path", "bad host"])
def test_a_refusal_alone_costs_no_connection(gate: Gate, name: str) -> None:
    """Row 25."""
    status, request = errors(gate)[name]
    client = gate.connect()
    for _ in range(3):
        assert client.ask(request).status == status
    path = gate.new_path()
    assert client.ask(gate.head(path)).body == path.encode()


def test_one_client_never_gets_what_another_is_sent(gate: Gate) -> None:
    """Row 25: many connections, requests and errors of each mixed."""
    clients = [gate.connect() for _ in range(20)]
    for turn in range(10):
        asked = []
        for number, client in enumerate(clients):
            path = gate.new_path()
            is_refused = (turn + number) % 3 == 0
            client.send(gate.head(path, key="fg_nobody" if is_refused else None))
            asked.append((client, path, is_refused))
        for client, path, is_refused in reversed(asked):
            response = client.read_response()
            assert response.status == (401 if is_refused else 200)
            if not is_refused:
                assert response.body == path.encode()
                assert gate.seen_of(path).request_id == response.request_id
