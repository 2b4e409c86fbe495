"""Rows 1 to 7: requests whose length, chunks or header lines could be read in two ways, or not at all."""

from __future__ import annotations

import pytest

from tests.hardening.client import ClosedError
from tests.hardening.gate import Gate
from tests.hardening.plays import hold, say

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 1}"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


def check_goes_no_further(gate: Gate, request: bytes) -> None:
    """Check that a request is refused, and that the connection closes, whatever stands behind it."""
    behind = gate.new_path()
    client = gate.connect()
    assert client.ask(request + gate.head(behind)).status in (400, 501)
    assert client.is_closed()
    assert gate.backend.seen(behind) == []


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
    check_goes_no_further(gate, gate.head(path, *lines, method="POST") + chunked(b"body"))
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
    check_goes_no_further(gate, gate.head(path, *lines, method="POST") + b"body")
    check_goes_no_further(gate, gate.head(path, *lines))
    assert gate.backend.seen(path) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("content-length: 4", "transfer-encoding: chunked"), id="two ways"),
        pytest.param(("transfer-encoding: gzip",), id="a coding that is none"),
        pytest.param(("transfer-encoding: chunked, identity",), id="chunks that are not the last coding"),
        pytest.param(("content-length: 0", "content-length: 0"), id="no length twice"),
        pytest.param(("content-length: 1a",), id="a length that is none"),
        pytest.param(
            ("transfer-encoding: chunked", "connection: upgrade", "upgrade: h2c", "content-length: 1"),
            id="an offer",
        ),
        pytest.param(
            ("transfer-encoding: chunked", "expect: 100-continue", "content-length: 1"), id="an expectation"
        ),
    ],
)
@pytest.mark.parametrize("key", [None, "fg_nobody"], ids=["a good key", "a bad key"])
def test_after_framing_that_is_bad_the_connection_closes(
    gate: Gate, method: str, lines: tuple[str, ...], key: str | None
) -> None:
    """Issue 11 j: where the next request begins, two that read it would not agree on."""
    check_goes_no_further(gate, gate.head(gate.new_path(), *lines, method=method, key=key))


@pytest.mark.parametrize(
    ("line", "body", "framing"),
    [
        ("Transfer-Encoding: CHUNKED", chunked(b"body"), b"chunked"),
        ("transfer-encoding:\tChunked ", chunked(b"body"), b"chunked"),
        ("Content-Length: 04", b"body", b"4"),
        ("Content-Length: 0000000000004", b"body", b"4"),
        ("CONTENT-LENGTH:4", b"body", b"4"),
        ("Content-Length: 00", b"", b"0"),
    ],
)
def test_framing_is_stated_anew_in_one_spelling(gate: Gate, line: str, body: bytes, framing: bytes) -> None:
    """Issue 11 k. A head that has come before is recognised, and goes another way."""
    path, client = gate.new_path(), gate.connect()
    for _ in range(4):
        assert client.ask(gate.head(path, line, method="POST") + body).status == 200
    for arrival in gate.backend.wait_for(path, count=4, is_whole=True):
        assert arrival.framing == [framing]
        assert bytes(arrival.body) == (b"body" if body else b"")


def test_an_answer_that_has_no_body_states_no_length(gate: Gate) -> None:
    """Issue 11 k: RFC 9110 section 8.6 forbids it in a 204."""
    path = gate.new_path(say(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n"))
    client = gate.connect()
    response = client.ask(gate.head(path))
    assert (response.status, response.values(b"x-a"), response.values(b"content-length")) == (204, [b"1"], [])
    assert response.values(b"transfer-encoding") == []
    good = gate.new_path()
    assert client.ask(gate.head(good)).body == good.encode()


@pytest.mark.parametrize("name", ["Connection", "Proxy-Connection", "connection"])
@pytest.mark.parametrize("is_pipelined", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("key", [None, "fg_nobody"], ids=["served", "refused"])
def test_who_says_close_in_a_trailer_does_not_wait_for_an_answer_in_vain(
    gate: Gate, name: str, is_pipelined: bool, key: str | None
) -> None:
    """Issue 11 b."""
    path, behind, client = gate.new_path(), gate.new_path(), gate.connect()
    request = gate.head(path, "transfer-encoding: chunked", method="POST", key=key)
    request += b"4\r\nbody\r\n0\r\n" + name.encode() + b": close\r\n\r\n"
    response = client.ask(request + (gate.head(behind) if is_pipelined else b""))
    assert response.status == (401 if key else 200)
    if not is_pipelined:
        client.send_all_taken(gate.head(behind))
    try:
        assert client.read_response().body == behind.encode()
    except ClosedError:
        assert gate.backend.seen(behind) == []


@pytest.mark.parametrize(
    "line", ["GET {} RTSP/1.1", "POST {} RTSP/1.0", "GET {} ICE/1.0", "GET {} HTTP/1.1 ", "GET  {} HTTP/1.1"]
)
@pytest.mark.parametrize("is_behind", [False, True], ids=["first", "behind another"])
def test_a_request_line_of_another_protocol_is_refused(gate: Gate, line: str, is_behind: bool) -> None:
    """Issue 11 l."""
    good, path, client = gate.new_path(), gate.new_path(), gate.connect()
    _, _, fields = gate.head(path).partition(b"\r\n")
    bad = line.format(path).encode() + b"\r\n" + fields
    response = client.ask((gate.head(good) if is_behind else b"") + bad)
    if is_behind:
        assert response.body == good.encode()
        response = client.read_response()
    assert response.status == 400
    assert client.is_closed()
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
