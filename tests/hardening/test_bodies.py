"""Rows 18, 19, 20 and 22: bodies that lie, that are no JSON, that are compressed, and that are too long."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from tests.hardening.gate import Gate, wait_for

pytestmark = pytest.mark.usefixtures("serving")
BODY_BYTES_MAX = 100_000
SCHEMA = '{"type": "object", "properties": {"model": {"const": "a"}}, "required": ["model"]}'
INVALID = {
    "not ended": b'{"model": "a",',
    "no JSON": b"model=a",
    "1,000 levels": b"[" * 1000 + b"]" * 1000,
    "1,000 levels of objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "cut UTF-8": b'{"model": "\xe2\x82',
    "UTF-16": '{"model": "a"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"model": "a"}'.encode("utf-16-le"),
    "a mark before it": b'\xef\xbb\xbf{"model": "a"}',
    "NaN": b'{"model": "a", "n": NaN}',
    "infinity": b'{"model": "a", "n": -Infinity}',
    "single quotes": b"{'model': 'a'}",
    "two values": b'{"model": "a"} {"model": "b"}',
    "a control character": b'{"model": "a\nb"}',
    "duplicate keys": b'{"model": "a", "model": "b"}',
    "duplicate keys, spelled differently": b'{"model": "b", "m\\u006fdel": "a"}',
}
VALID = {
    "empty": b"",
    "a huge integer": b'{"model": "a", "n": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"model": "a", "n": 1e999999}',
    "a lone surrogate": b'{"model": "a", "s": "\\ud800"}',
    "spaces and 1.0": b' {"model" :"a","n":1.0 , "m":[ ]}\n',
}


@pytest.fixture(scope="module")
def settings() -> str:
    return f"proxy: {{max_body_size: {BODY_BYTES_MAX}B, client_timeout: 5}}"


@pytest.fixture(scope="module")
def inspected(gate: Gate) -> str:
    """Return a path with one route, which matches a body in which `model` is `a`."""
    add = ("routes", "add", "--match", "/inspected", "--to", gate.backend.url)
    gate.fastgate(*add, "--body-schema", SCHEMA)
    wait_for(lambda: gate.post("/inspected", b'{"model": "a"}').status, lambda status: status == 200)
    return "/inspected"


@pytest.mark.parametrize(
    "body",
    [
        {"api_base": "http://evil.test", "base_url": "http://evil.test:1/v1"},
        {"model": "http://evil.test/v1/chat", "url": "http://evil.test"},
        {"upstream": {"host": "evil.test"}, "target_host": "evil.test", "proxy": "http://evil.test"},
    ],
    ids=["row 18: bases", "row 18: URLs", "row 18: hosts"],
)
def test_a_body_that_names_another_backend_changes_nothing(gate: Gate, body: dict[str, object]) -> None:
    path = gate.new_path()
    content = json.dumps(body).encode()
    response = gate.post(path, content, "x-target-host: evil.test", "x-api-base: http://evil.test")
    assert response.status == 200
    arrival = gate.seen_of(path)
    assert bytes(arrival.body) == content
    assert gate.row(response)["target_url"] == f"{gate.backend.url}{path}"


@pytest.mark.parametrize("name", [*INVALID, *VALID], ids=lambda name: f"row 19: {name}")
def test_a_body_that_no_route_looks_at_is_forwarded_as_it_is(gate: Gate, name: str) -> None:
    path, body = gate.new_path(), {**INVALID, **VALID}[name]
    assert gate.post(path, body, "content-type: application/json").status == 200
    assert bytes(gate.seen_of(path).body) == body


@pytest.mark.parametrize("name", INVALID, ids=lambda name: f"row 19: {name}")
def test_a_body_that_a_route_needs_and_that_is_no_json_is_refused(
    gate: Gate, inspected: str, name: str
) -> None:
    before = len(gate.backend.arrivals)
    response = gate.post(inspected, INVALID[name], "content-type: application/json")
    assert (response.status, response.code) == (400, "bad_request")
    assert re.search(r"\b(position|byte|line|column|offset)\b.*\d", response.error["message"])
    assert gate.row(response)["error_message"] == "bad_body"
    assert len(gate.backend.arrivals) == before


@pytest.mark.parametrize("name", list(VALID)[1:], ids=lambda name: f"row 19: {name}")
def test_a_body_that_a_route_needs_is_sent_as_it_is(gate: Gate, inspected: str, name: str) -> None:
    before = len(gate.backend.arrivals)
    response = gate.post(inspected, VALID[name], "content-type: application/json")
    # What a parser may refuse, as no two agree on it, is refused whole.
    assert (response.status, len(gate.backend.arrivals) - before) in ((200, 1), (400, 0))
    for arrival in gate.backend.arrivals[before:]:
        assert bytes(arrival.body) == VALID[name]


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, gzip", "nonsense"])
def test_a_compressed_body_is_forwarded_as_it_is(gate: Gate, coding: str) -> None:
    """Row 20: a bomb of 50 MB stays as small as it was."""
    path, body = gate.new_path(), gzip.compress(bytes(50_000_000), 9, mtime=0)
    response = gate.post(path, body, f"content-encoding: {coding}")
    assert response.status == 200
    arrival = gate.seen_of(path)
    assert bytes(arrival.body) == body
    assert arrival.values(b"content-encoding") == [coding.encode()]
    assert gate.row(response)["request_size"] == len(body)


def test_a_compressed_body_is_not_decompressed_to_match(gate: Gate, inspected: str) -> None:
    """Row 20."""
    body = gzip.compress(b'{"model": "a"}', mtime=0)
    before = len(gate.backend.arrivals)
    response = gate.post(inspected, body, "content-encoding: gzip", "content-type: application/json")
    assert response.status == 400
    assert gate.row(response)["error_message"] == "bad_body"
    assert len(gate.backend.arrivals) == before


@pytest.mark.parametrize("size", [BODY_BYTES_MAX, 0, 1])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["row 22: declared", "row 22: chunked"])
def test_a_body_up_to_the_limit_goes_through(gate: Gate, is_chunked: bool, size: int) -> None:
    path, body = gate.new_path(), b"u" * size
    if is_chunked:
        chunk = b"%x\r\n%b\r\n" % (size, body) if size else b""
        head = gate.head(path, "transfer-encoding: chunked", method="POST")
        response = gate.ask(head + chunk + b"0\r\n\r\n")
    else:
        response = gate.post(path, body)
    assert response.status == 200
    assert bytes(gate.seen_of(path).body) == body
    assert gate.row(response)["request_size"] == size


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 10 * BODY_BYTES_MAX, 9_000_000_000_000_000_000])
def test_a_declared_body_over_the_limit_never_reaches_the_backend(gate: Gate, size: int) -> None:
    """Row 22."""
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, f"content-length: {size}", method="POST"))
    client.send_all_taken(b"u" * min(size, 10 * BODY_BYTES_MAX))
    response = client.read_response(b"POST")
    assert (response.status, response.code) == (413, "body_too_large")
    assert gate.row(response)["error_message"] == "body_too_large"
    assert gate.backend.seen(path) == []


def test_a_chunked_body_over_the_limit_is_aborted_upstream(gate: Gate) -> None:
    """Row 22."""
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, "transfer-encoding: chunked", method="POST") + b"5\r\nfirst\r\n")
    (arrival,) = gate.backend.wait_for(path)
    piece = b"%x\r\n%b\r\n" % (BODY_BYTES_MAX, b"u" * BODY_BYTES_MAX)
    client.send_all_taken(piece * 10)
    response = client.read_response(b"POST")
    assert (response.status, response.code) == (413, "body_too_large")
    assert client.is_closed()
    arrival.link.wait_ended()
    assert not arrival.is_whole
    assert gate.row(response)["error_message"] == "body_too_large"
