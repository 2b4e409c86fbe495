"""Row 26: offers to speak another protocol, and expectations."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.hardening.arrivals import Arrival
from tests.hardening.client import ClosedError
from tests.hardening.gate import Gate

pytestmark = pytest.mark.usefixtures("serving")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OFFERS = {
    "h2c": (
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAoAAAAAIAAAAA",
    ),
    "websocket": ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="),
    "TLS": ("connection: upgrade", "upgrade: TLS/1.2, HTTP/1.1"),
    "nothing": ("connection: upgrade", "upgrade: "),
    "nonsense": ("upgrade: x", "connection: keep-alive, upgrade, upgrade"),
}


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 2}"


@pytest.mark.parametrize("name", OFFERS, ids=lambda name: f"row 26: {name}")
@pytest.mark.parametrize("body", [b"", b"body"], ids=["without a body", "with a body"])
def test_an_offer_to_upgrade_is_answered_in_http_1_1(gate: Gate, name: str, body: bytes) -> None:
    path, behind = gate.new_path(), gate.new_path()
    lines = OFFERS[name] + ((f"content-length: {len(body)}",) if body else ())
    client = gate.connect()
    response = client.ask(gate.head(path, *lines, method="POST" if body else "GET") + body)
    assert (response.status, response.body, response.interim) == (200, path.encode(), ())
    assert response.values(b"upgrade") == []
    arrival = gate.seen_of(path)
    assert bytes(arrival.body) == body
    assert not {b"upgrade", b"connection", b"http2-settings"} & {name for name, _ in arrival.headers}
    # The connection speaks HTTP/1.1 still.
    assert client.ask(gate.head(behind)).body == behind.encode()


def test_what_follows_an_offer_is_a_request_like_any(gate: Gate) -> None:
    """Row 26: a request behind an offer is not tunnelled past the checks."""
    first, second = gate.new_path(), gate.new_path()
    client = gate.connect()
    client.send(gate.head(first, *OFFERS["h2c"]) + PREFACE + gate.head(second, key="fg_nobody"))
    assert client.read_response().body == first.encode()
    rest = client.read_rest()
    assert rest == b"" or rest.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
    assert gate.backend.seen(second) == []


@pytest.mark.parametrize("more", [b"", b"\0\0\0\4\0\0\0\0\0", b"GET /t/a HTTP/1.1\r\n\r\n"])
def test_the_preface_of_http_2_gets_a_plain_400(gate: Gate, more: bytes) -> None:
    """Row 26."""
    before = len(gate.backend.arrivals)
    client = gate.connect()
    client.send_all_taken(PREFACE + more)
    answer = client.read_rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(gate.backend.arrivals) == before


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
@pytest.mark.parametrize("framing", ["content-length: 4", "transfer-encoding: chunked"])
def test_a_client_that_waits_is_told_to_continue(gate: Gate, framing: str, value: str) -> None:
    """Row 26."""
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, framing, f"expect: {value}", method="POST"))
    assert client.read_head() == (100, ())
    client.send(b"body" if "length" in framing else b"4\r\nbody\r\n0\r\n\r\n")
    response = client.read_response(b"POST")
    assert (response.status, response.body) == (200, path.encode())
    arrival = gate.seen_of(path)
    assert bytes(arrival.body) == b"body"
    assert arrival.values(b"expect") == []
    behind = gate.new_path()
    assert client.ask(gate.head(behind)).body == behind.encode()


@pytest.mark.parametrize("framing", ["content-length: 1000000", "transfer-encoding: chunked"])
def test_a_refused_client_that_waits_is_not_asked_for_its_body(gate: Gate, framing: str) -> None:
    """Row 26."""
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, framing, "expect: 100-continue", method="POST", key="fg_nobody"))
    response = client.read_response(b"POST")
    assert (response.status, response.interim) == (401, ())
    # Nobody could tell a body that is sent all the same from the next request.
    assert response.values(b"connection") == [b"close"]
    assert client.is_closed()
    assert gate.backend.seen(path) == []
    assert gate.row(response)["error_message"] == "unknown_api_key"


def test_a_client_that_does_not_wait_after_all_is_served(gate: Gate) -> None:
    """Row 26."""
    path = gate.new_path()
    response = gate.post(path, b"body", "expect: 100-continue")
    assert response.status == 200
    assert bytes(gate.seen_of(path).body) == b"body"


def test_an_expectation_without_a_body_is_answered_at_once(gate: Gate) -> None:
    """Row 26."""
    response = gate.ask(gate.head(gate.new_path(), "expect: 100-continue"))
    assert (response.status, response.interim) == (200, ())


def test_an_answer_of_the_backend_before_the_body_needs_no_continue(gate: Gate) -> None:
    """Row 26."""

    async def refuse(arrival: Arrival) -> None:
        await arrival.link.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        arrival.link.mark_ended()
        raise EOFError

    path = gate.new_path(refuse)
    client = gate.connect()
    client.send(gate.head(path, "content-length: 1000000", "expect: 100-continue", method="POST"))
    assert client.read_response(b"POST").status == 403


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x=1", "100", "x" * 1000])
def test_an_unknown_expectation_fails(gate: Gate, value: str) -> None:
    """Row 26."""
    path = gate.new_path()
    client = gate.connect()
    response = client.ask(gate.head(path, "content-length: 4", f"expect: {value}", method="POST"))
    assert (response.status, response.interim) == (417, ())
    assert gate.reason(path) == "bad_request"
    assert gate.backend.seen(path) == []


def test_a_websocket_frame_behind_an_offer_is_no_request(gate: Gate) -> None:
    """Row 26."""
    path, before = gate.new_path(), len(gate.backend.arrivals)
    client = gate.connect()
    client.send(gate.head(path, *OFFERS["websocket"]) + b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
    assert client.read_response().body == path.encode()
    with suppress(ClosedError):
        assert client.read_response().status == 400
    assert len(gate.backend.arrivals) == before + 1
