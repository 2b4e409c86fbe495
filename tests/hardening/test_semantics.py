"""Row 27: what RFC 9110 says of requests and answers passes through, byte for byte and in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.processes import Fastgate
from tests.hardening.client import Response
from tests.hardening.gate import Gate, run_gate
from tests.hardening.plays import say

pytestmark = pytest.mark.usefixtures("serving")
ADDED = (b"x-request-id", b"server-timing", b"date")
HYPERCORNS = (b"server", b"hypercorn-h11")  # which it cannot be kept from adding
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a gateway that lets other origins' pages in."""
    settings = "cors: {enabled: true, allow_origins: ['https://app.test'], allow_credentials: true}"
    with run_gate(Fastgate(tmp_path_factory.mktemp("crossing")), settings) as gate:
        yield gate


def answer(status_line: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status_line + b"\r\n" + headers + b"\r\n" + body


def own_headers(response: Response) -> list[tuple[bytes, bytes]]:
    """Return what came from the backend."""
    return [pair for pair in response.headers if pair[0] not in ADDED and pair != HYPERCORNS]


def test_a_range_is_asked_for_and_answered_as_it_is(gate: Gate) -> None:
    headers = b'content-range: bytes 2-4/10\r\netag: "a"\r\naccept-ranges: bytes\r\ncontent-length: 3\r\n'
    path = gate.new_path(say(answer(b"206 Partial Content", headers, b"cde")))
    response = gate.ask(gate.head(path, "range: bytes=2-4", 'if-range: "a"'))
    assert (response.status, response.body) == (206, b"cde")
    assert own_headers(response) == [
        (b"content-range", b"bytes 2-4/10"),
        (b"etag", b'"a"'),
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"3"),
    ]
    assert gate.seen_of(path).values(b"range") == [b"bytes=2-4"]
    assert gate.seen_of(path).values(b"if-range") == [b'"a"']


@pytest.mark.parametrize("headers", [b'etag: "a"\r\n', b'etag: "a"\r\ncontent-length: 5\r\n'])
def test_not_modified_has_no_body(gate: Gate, headers: bytes) -> None:
    path, behind = gate.new_path(say(answer(b"304 Not Modified", headers))), gate.new_path()
    client = gate.connect()
    response = client.ask(gate.head(path, 'if-none-match: "a", W/"b"', "if-modified-since: x"))
    assert (response.status, response.body) == (304, b"")
    assert response.values(b"etag") == [b'"a"']
    assert gate.seen_of(path).values(b"if-none-match") == [b'"a", W/"b"']
    assert client.ask(gate.head(behind)).body == behind.encode()


def test_no_content_has_neither_body_nor_framing(gate: Gate) -> None:
    path, behind = gate.new_path(say(answer(b"204 No Content", b"x-a: 1\r\n"))), gate.new_path()
    client = gate.connect()
    response = client.ask(gate.head(path, "content-length: 0", method="DELETE"))
    assert (response.status, own_headers(response)) == (204, [(b"x-a", b"1")])
    assert client.ask(gate.head(behind)).body == behind.encode()


@pytest.mark.parametrize("framing", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_head_tells_what_get_would_and_has_no_body(gate: Gate, framing: bytes) -> None:
    path, behind = gate.new_path(say(answer(b"200 OK", framing + b"x-a: 1\r\n"))), gate.new_path()
    client = gate.connect()
    response = client.ask(gate.head(path, method="HEAD"))
    assert (response.status, response.values(b"x-a")) == (200, [b"1"])
    assert gate.seen_of(path).method == b"HEAD"
    assert response.values(b"content-length") == ([b"5"] if b"length" in framing else [])
    assert client.ask(gate.head(behind)).body == behind.encode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("body", [None, b"", b"body"], ids=["none", "empty", "some"])
def test_every_method_goes_with_and_without_a_body(gate: Gate, method: str, body: bytes | None) -> None:
    path = gate.new_path()
    lines = () if body is None else (f"content-length: {len(body)}",)
    assert gate.ask(gate.head(path, *lines, method=method) + (body or b"")).status == 200
    arrival = gate.seen_of(path)
    assert (arrival.method, bytes(arrival.body)) == (method.encode(), body or b"")
    assert arrival.framing == ([] if body is None else [b"%d" % len(body)])


def test_a_preflight_is_forwarded_like_any_options_without_cors(gate: Gate) -> None:
    path = gate.new_path()
    lines = ("origin: https://app.test", "access-control-request-method: POST")
    assert gate.ask(gate.head(path, *lines, method="OPTIONS")).body == path.encode()
    assert gate.seen_of(path).values(b"access-control-request-method") == [b"POST"]
    request = b"OPTIONS /t/a HTTP/1.1\r\nhost: a\r\norigin: b\r\naccess-control-request-method: POST\r\n\r\n"
    assert gate.ask(request).status == 401


def test_a_preflight_is_answered_without_a_key_where_cors_is_on(crossing: Gate) -> None:
    path = crossing.new_path()
    lines = ("host: gate.test", "origin: https://app.test", "access-control-request-method: POST")
    request = "\r\n".join((f"OPTIONS {path} HTTP/1.1", *lines, "", "")).encode()
    client = crossing.connect()
    response = client.ask(request)
    assert response.status == 204
    assert response.values(b"access-control-allow-origin") == [b"https://app.test"]
    assert crossing.backend.seen(path) == []
    assert client.ask(crossing.head(path)).body == path.encode()
    refused = crossing.ask(crossing.head(path, "origin: https://app.test", key="fg_nobody"))
    assert (refused.status, refused.values(b"access-control-allow-origin")) == (401, [b"https://app.test"])
    evil = crossing.ask(request.replace(b"app.test", b"evil.test"))
    assert b"https://evil.test" not in evil.values(b"access-control-allow-origin")


@pytest.mark.parametrize(
    "query", ["a=1&a=2&A=3&b=&c&=d", "b=1&a=2", "q=%C3%A4+%20&x=a/b?c", "&&&", "a[]=1&a[]=2", "%zz"]
)
def test_a_query_goes_along_byte_for_byte(gate: Gate, query: str) -> None:
    path = gate.new_path()
    assert gate.ask(gate.head(f"{path}?{query}")).status == 200
    assert gate.seen_of(path).target == f"{path}?{query}".encode()


def test_headers_keep_their_order_and_are_not_joined(gate: Gate) -> None:
    path = gate.new_path()
    lines = (
        "x-b: 1",
        "x-a: 2",
        "x-b: 3",
        "x-empty:",
        "accept: a, b",
        "accept: c",
        "x-latin: \xe4",
        "cookie: a=b",
    )
    assert gate.ask(gate.head(path, *lines)).status == 200
    names = (b"x-b", b"x-a", b"x-empty", b"accept", b"x-latin", b"cookie")
    assert [pair for pair in gate.seen_of(path).headers if pair[0] in names] == [
        (b"x-b", b"1"),
        (b"x-a", b"2"),
        (b"x-b", b"3"),
        (b"x-empty", b""),
        (b"accept", b"a, b"),
        (b"accept", b"c"),
        (b"x-latin", b"\xe4"),
        (b"cookie", b"a=b"),
    ]


def test_white_space_around_a_value_is_no_part_of_it(gate: Gate) -> None:
    """RFC 9112 section 5.1."""
    path = gate.new_path()
    lines = ("host: \t gate.test\t ", f"x-api-key:{gate.key} \t", "x-a:  1 2 ", "content-length: 4 ")
    request = "\r\n".join((f"POST {path} HTTP/1.1", *lines, "", "body"))
    assert gate.ask(request.encode()).status == 200
    assert gate.seen_of(path).values(b"x-a") == [b"1 2"]
    assert gate.seen_of(path).values(b"x-forwarded-host") == [b"gate.test"]


def test_headers_of_an_answer_keep_their_order_and_are_not_joined(gate: Gate) -> None:
    headers = [
        (b"set-cookie", b"a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"x-b", b"1"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
        (b"set-cookie", b"c=3"),
        (b"x-b", b"2"),
        (b"vary", b"accept"),
        (b"vary", b"origin"),
        (b"x-latin", b"\xe4"),
        (b"content-length", b"2"),
    ]
    block = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    response = gate.ask(gate.head(gate.new_path(say(answer(b"200 OK", block, b"ok")))))
    assert own_headers(response) == headers
    assert response.body == b"ok"


def test_hop_by_hop_headers_of_an_answer_stay_behind(gate: Gate) -> None:
    block = b"connection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n"
    block += b"x-end: 2\r\ncontent-length: 0\r\n"
    response = gate.ask(gate.head(gate.new_path(say(answer(b"200 OK", block)))))
    assert own_headers(response) == [(b"x-end", b"2"), (b"content-length", b"0")]


@pytest.mark.parametrize(
    "block",
    [b"x-a: " + b"v" * MEGABYTE + b"\r\n", (b"x-a: " + b"v" * 1000 + b"\r\n") * 1024],
    ids=["one value", "many values"],
)
def test_an_answer_with_a_megabyte_of_headers_is_a_502(gate: Gate, block: bytes) -> None:
    path = gate.new_path(say(answer(b"200 OK", block + b"content-length: 0\r\n")))
    response = gate.ask(gate.head(path))
    assert (response.status, response.code) == (502, "upstream_invalid")
    assert gate.reason(path) == "upstream_invalid"
