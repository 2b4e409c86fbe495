"""Rows 1 to 7: requests whose length, chunks or header lines could be read in two ways, or not at all."""

from __future__ import annotations

import pytest

from tests.hardening.gate import Gate
from tests.hardening.plays import hold

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 1}"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("content-length: 4", "transfer-encoding: chunked"), id="row 1: length first"),
        pytest.param(("transfer-encoding: chunked", "content-length: 4"), id="row 1: chunked first"),
        pytest.param(("Transfer-Encoding: chunked", "Content-Length: 0"), id="row 1: a length of 0"),
        pytest.param(("content-length: 15", "transfer-encoding: CHUNKED"), id="row 1: in capitals"),
    ],
)
def test_two_ways_to_state_a_length_are_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    path = gate.new_path()
    client = gate.connect()
    response = client.ask(gate.head(path, *lines, method="POST") + chunked(b"GET /t/smuggled HTTP/1.1"))
    assert response.status == 400
    assert client.is_closed()
    assert gate.reason(path) == "bad_framing"
    assert gate.backend.seen(path) == []


def test_chunks_in_http_1_0_are_refused(gate: Gate) -> None:
    """Row 2."""
    path = gate.new_path()
    head = gate.head(path, "transfer-encoding: chunked", "connection: keep-alive", method="POST")
    client = gate.connect()
    assert client.ask(head.replace(b"HTTP/1.1", b"HTTP/1.0") + chunked(b"body")).status == 400
    assert client.is_closed()
    assert gate.reason(path) == "bad_framing"
    assert gate.backend.seen(path) == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("transfer-encoding: gzip, chunked",), id="row 3: gzip before"),
        pytest.param(("transfer-encoding: chunked, gzip",), id="row 3: gzip behind"),
        pytest.param(("transfer-encoding: identity",), id="row 3: identity"),
        pytest.param(("transfer-encoding: xchunked",), id="row 3: nearly"),
        pytest.param(("transfer-encoding: chunked;q=1",), id="row 3: a parameter"),
        pytest.param(("transfer-encoding: ,chunked",), id="row 3: an empty coding"),
        pytest.param(("transfer-encoding: chunked", "transfer-encoding: chunked"), id="row 3: twice"),
        pytest.param(("transfer-encoding: chunked, chunked",), id="row 3: twice in a line"),
        pytest.param(("transfer-encoding: \x0bchunked",), id="row 3: a vertical tab"),
        pytest.param(("transfer-encoding:",), id="row 3: empty"),
    ],
)
def test_a_transfer_encoding_other_than_chunked_is_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    path = gate.new_path()
    response = gate.ask(gate.head(path, *lines, method="POST") + chunked(b"body"))
    assert response.status in (400, 501)
    assert gate.backend.seen(path) == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("content-length: 4", "content-length: 5"), id="row 4: two that differ"),
        pytest.param(("content-length: 4", "content-length: 4"), id="row 4: two that agree"),
        pytest.param(("content-length: 4, 4",), id="row 4: a list"),
        pytest.param(("content-length: +4",), id="row 4: signed"),
        pytest.param(("content-length: -4",), id="row 4: negative"),
        pytest.param(("content-length: 0x4",), id="row 4: hex"),
        pytest.param(("content-length: 4_0",), id="row 4: underscored"),
        pytest.param(("content-length: 4.0",), id="row 4: a fraction"),
        pytest.param(("content-length: 00000000000000000004",), id="row 4: 20 digits"),
        pytest.param(("content-length: 18446744073709551620",), id="row 4: 2**64 + 4"),
        pytest.param(("content-length: 4 4",), id="row 4: a space within"),
        pytest.param(("content-length: \xb2",), id="row 4: a superscript"),
        pytest.param(("content-length:",), id="row 4: empty"),
    ],
)
def test_a_doubtful_content_length_is_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    path = gate.new_path()
    assert gate.ask(gate.head(path, *lines, method="POST") + b"body").status == 400
    assert gate.backend.seen(path) == []


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"zz\r\nbody\r\n", id="row 5: a size that is none"),
        pytest.param(b"-4\r\nbody\r\n", id="row 5: a negative size"),
        pytest.param(b"0x4\r\nbody\r\n", id="row 5: a prefix"),
        pytest.param(b"4_0\r\nbody\r\n", id="row 5: an underscore"),
        pytest.param(b"fffffffffffffffff\r\nbody\r\n", id="row 5: a size over 64 bits"),
        pytest.param(b"\r\nbody\r\n", id="row 5: no size"),
        pytest.param(b" 4\r\nbody\r\n", id="row 5: a space before"),
        pytest.param(b"4\nbody\n", id="row 5: bare line feeds"),
        pytest.param(b"4\r\nbodyXX", id="row 5: data longer than its size"),
        pytest.param(b"4;a\nb\r\nbody\r\n", id="row 5: a line feed in an extension"),
    ],
)
def test_a_bad_chunk_in_a_body_ends_the_request(gate: Gate, broken: bytes) -> None:
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, "transfer-encoding: chunked", method="POST") + b"5\r\nfirst\r\n")
    (arrival,) = gate.backend.wait_for(path)
    client.send(broken + b"0\r\n\r\n")
    assert client.read_response(b"POST").status == 400
    assert client.is_closed()
    arrival.link.wait_ended()
    assert not arrival.is_whole
    assert gate.reason(path) == "client_bad_body"


@pytest.mark.parametrize("by_reset", [False, True], ids=["row 6: FIN", "row 6: RST"])
@pytest.mark.parametrize(
    ("line", "part"),
    [("content-length: 10", b"first"), ("transfer-encoding: chunked", b"a\r\nfirst")],
    ids=["a length", "chunks"],
)
def test_a_body_cut_short_is_never_whole_for_the_backend(
    gate: Gate, line: str, part: bytes, by_reset: bool
) -> None:
    path = gate.new_path(hold)
    client = gate.connect()
    client.send(gate.head(path, line, method="POST") + part)
    (arrival,) = gate.backend.wait_for(path)
    if by_reset:
        gate.backend.wait_until(lambda: bytes(arrival.body) == b"first")
        client.reset()
    else:
        client.stop_sending()
    arrival.link.wait_ended()
    assert not arrival.is_whole
    assert bytes(arrival.body) == b"first"
    assert gate.reason(path) == "client_abort"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"x-a : 1", id="row 7: a space before the colon"),
        pytest.param(b"x-a\t: 1", id="row 7: a tab before the colon"),
        pytest.param(b"x a: 1", id="row 7: a space in the name"),
        pytest.param(b"x-a: 1\x002", id="row 7: NUL"),
        pytest.param(b"x-a: 1\r2", id="row 7: a bare CR"),
        pytest.param(b"x-a: 1\nx-b: 2", id="row 7: a bare LF"),
        pytest.param(b": 1", id="row 7: an empty name"),
        pytest.param(b"x-a", id="row 7: no colon"),
        pytest.param(b"x-a: 1\r\n 2", id="row 7: a folded line"),
        pytest.param(b"x-\xe4: 1", id="row 7: a name outside ASCII"),
        pytest.param(b"x-a: 1\x7f", id="row 7: DEL"),
        pytest.param(b"x-a: 1\x0b2", id="row 7: a vertical tab"),
        pytest.param(b"content-length\x00: 1", id="row 7: NUL in a name"),
    ],
)
def test_a_malformed_header_line_is_refused(gate: Gate, line: bytes) -> None:
    path = gate.new_path()
    client = gate.connect()
    assert client.ask(gate.head(path)[:-2] + line + b"\r\n\r\n").status == 400
    assert client.is_closed()
    assert gate.backend.seen(path) == []
