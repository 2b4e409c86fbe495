"""Rows 8 to 12: hosts, paths, methods, and heads that are too long."""

from __future__ import annotations

import pytest

from tests.hardening.client import Response
from tests.hardening.gate import Gate

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 1}"


def send(gate: Gate, line: bytes, *lines: bytes, host: bytes | None = b"gate.test") -> Response:
    """Send a request line and header lines as they are, with the key and perhaps a Host."""
    own = [b"authorization: Bearer " + gate.key.encode()]
    if host is not None:
        own.append(b"host: " + host)
    return gate.ask(b"\r\n".join((line, *own, *lines, b"", b"")))


def check_refused(gate: Gate, response: Response, statuses: tuple[int, ...], reason: str) -> None:
    """Check status, error, row, and that the backend has got nothing."""
    assert response.status in statuses
    assert response.code in ("bad_request", "method_not_allowed")
    row = gate.row(response)
    assert (row["error_message"], row["status_code"]) == (reason, response.status)
    assert row["target_url"] is None
    assert response.request_id not in [arrival.request_id for arrival in gate.backend.arrivals]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(None, id="row 8: missing"),
        pytest.param(b"", id="row 8: empty"),
        pytest.param(b"x/#@evil", id="row 8: a URL's other parts"),
        pytest.param(b"user@gate.test", id="row 8: userinfo"),
        pytest.param(b"user:secret@gate.test", id="row 8: userinfo with a password"),
        pytest.param(b"gate.test, evil.test", id="row 8: a comma"),
        pytest.param(b"gate.test evil.test", id="row 8: a space"),
        pytest.param(b"gate.test\\evil.test", id="row 8: a backslash"),
        pytest.param(b"gate.test:port", id="row 8: a port that is none"),
        pytest.param(b"gate.test:", id="row 8: a port that is empty"),
        pytest.param(b"[::1", id="row 8: half a bracket"),
        pytest.param(b"g\xe4te.test", id="row 8: outside ASCII"),
    ],
)
def test_a_missing_or_malformed_host_is_refused(gate: Gate, host: bytes | None) -> None:
    path = gate.new_path().encode()
    check_refused(gate, send(gate, b"GET " + path + b" HTTP/1.1", host=host), (400,), "bad_host")


def test_a_doubled_host_is_refused(gate: Gate) -> None:
    """Row 8."""
    path = gate.new_path().encode()
    response = send(gate, b"GET " + path + b" HTTP/1.1", b"host: gate.test")
    check_refused(gate, response, (400,), "bad_host")


@pytest.mark.parametrize(
    "authority",
    [
        pytest.param(b"evil.test", id="row 9: another host"),
        pytest.param(b"gate.test:81", id="row 9: another port"),
        pytest.param(b"gate.test@evil.test", id="row 9: userinfo"),
    ],
)
def test_an_absolute_target_for_another_authority_is_refused(gate: Gate, authority: bytes) -> None:
    path = gate.new_path().encode()
    response = send(gate, b"GET http://" + authority + path + b" HTTP/1.1")
    check_refused(gate, response, (400,), "bad_host")


@pytest.mark.parametrize("query", ["?", "??", "?a", "?a=%20&&b"])
def test_a_query_goes_along_as_it_is_and_if_it_is_empty(gate: Gate, query: str) -> None:
    path = gate.new_path()
    response = send(gate, f"GET {path}{query} HTTP/1.1".encode())
    assert response.body == (path + query).encode()
    assert gate.row(response)["target_url"] == f"{gate.backend.url}{path}{query}"


@pytest.mark.parametrize("scheme", [b"http", b"https"])
def test_an_absolute_target_for_the_same_authority_is_its_path(gate: Gate, scheme: bytes) -> None:
    """Row 9: RFC 9112 section 3.2.2 has every server take it."""
    path = gate.new_path()
    response = send(gate, b"GET " + scheme + b"://Gate.test" + path.encode() + b"?a=b HTTP/1.1")
    assert (response.status, response.body) == (200, path.encode() + b"?a=b")
    (arrival,) = gate.backend.seen(path)
    assert arrival.target == path.encode() + b"?a=b"
    assert gate.row(response)["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/t/../admin",
        "/t/..",
        "/t/./a",
        "/t/%2e%2e/admin",
        "/t/%2E%2e/admin",
        "/t/.%2e/admin",
        "/t/..;/admin",
        "/t/..%3b/admin",
        "/t/a%2fb",
        "/t/a%2Fb",
        "/t/a\\b",
        "/t/a%5cb",
        "/t/a%00b",
        "/t/a%0d%0ax-injected:%201",
        "/t/a%0ab",
        "/t//a",
        "//t/a",
        "//evil.test/t/a",
        "/t/a%zz",
        "/t/a%",
    ],
    ids=lambda path: f"row 10: {path}",
)
def test_a_path_not_in_its_plain_form_is_refused(gate: Gate, path: str) -> None:
    check_refused(gate, send(gate, b"GET " + path.encode() + b" HTTP/1.1"), (400,), "bad_path")


@pytest.mark.parametrize(
    "tail",
    [b"/a%20b", b"/%41", b"/~a!$&'()*+,;=:@-._", b"/a...b", b"/%25", b"?..%2f//=/../%00", b"?", b"/?a?b"],
    ids=lambda tail: f"row 10: {tail.decode()}",
)
def test_what_was_matched_is_sent_as_it_came(gate: Gate, tail: bytes) -> None:
    before = len(gate.backend.arrivals)
    target = gate.new_path().encode() + tail
    assert send(gate, b"GET " + target + b" HTTP/1.1").status == 200
    # An empty query says nothing, and may be left out.
    assert gate.backend.arrivals[before].target.rstrip(b"?") == target.rstrip(b"?")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"GET ?x HTTP/1.1", id="row 11: a query alone"),
        pytest.param(b"OPTIONS * HTTP/1.1", id="row 11: the server as a whole"),
        pytest.param(b"TRACE /t/a HTTP/1.1", id="row 11: TRACE"),
        pytest.param(b"CONNECT gate.test:443 HTTP/1.1", id="row 11: CONNECT"),
        pytest.param(b"CONNECT /t/a HTTP/1.1", id="row 11: CONNECT with a path"),
        pytest.param(b"get /t/a HTTP/1.1", id="row 11: lower case"),
        pytest.param(b"GeT /t/a HTTP/1.1", id="row 11: mixed case"),
        pytest.param(b"X" * 100 + b" /t/a HTTP/1.1", id="row 11: 100 characters"),
        pytest.param(b"PROPFIND /t/a HTTP/1.1", id="row 11: WebDAV"),
        pytest.param(b"GET t/a HTTP/1.1", id="row 11: no slash"),
    ],
)
def test_a_method_or_target_that_is_not_served_is_refused(gate: Gate, line: bytes) -> None:
    check_refused(gate, send(gate, line), (400, 405), "bad_request")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"GET /t/a b HTTP/1.1", id="row 11: a space in the target"),
        pytest.param(b"GET /t/a", id="row 11: no version"),
        pytest.param(b"GET /t/a HTTP/1.1 x", id="row 11: more behind the version"),
        pytest.param(b"GET /t/a HTTP/1.10", id="row 11: a version that is none"),
        pytest.param(b"GET /t/a HTTP/2.0", id="row 11: a version that is not served"),
        pytest.param(b"GET /t/\x00 HTTP/1.1", id="row 11: NUL in the target"),
        pytest.param(b"GET /t/\xe4 HTTP/1.1", id="row 11: a target outside ASCII"),
        pytest.param(b"G@T /t/a HTTP/1.1", id="row 11: a method that is no token"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="row 11: TLS"),
        pytest.param(b"*1\r\n$4\r\nPING", id="row 11: Redis"),
    ],
)
def test_a_broken_request_line_is_refused(gate: Gate, line: bytes) -> None:
    before = len(gate.backend.arrivals)
    assert send(gate, line).status in (400, 505)
    assert len(gate.backend.arrivals) == before


@pytest.mark.parametrize("is_ended", [True, False], ids=["ended", "endless"])
@pytest.mark.parametrize("start", [b"GET /t/", b"GET /t/a?", b"GET http://gate.test/t/"])
def test_a_url_over_16_kib_is_too_long(gate: Gate, start: bytes, is_ended: bool) -> None:
    """Row 12. It is refused before it ends, too."""
    end = b" HTTP/1.1\r\nhost: gate.test\r\n\r\n" if is_ended else b"u" * 32 * 1024
    client = gate.connect()
    assert client.ask(start + b"u" * 16 * 1024 + end).status == 414
    assert client.is_closed()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"x-a: " + b"v" * 16 * 1024 + b"\r\n\r\n", id="row 12: one value"),
        pytest.param(b"x" * 17 * 1024 + b": v\r\n\r\n", id="row 12: one name"),
        pytest.param(b"x-a: " + b"v" * 48 * 1024, id="row 12: a value without an end"),
        pytest.param(b"x" * 48 * 1024, id="row 12: a name without an end"),
        pytest.param((b"x-a: " + b"v" * 600 + b"\r\n") * 40 + b"\r\n", id="row 12: many values"),
        pytest.param(b"x-a: v\r\n" * 101 + b"\r\n", id="row 12: 101 headers"),
        pytest.param(b"x-a: v\r\n" * 5000, id="row 12: headers without an end"),
        pytest.param(b"a:\r\n" * 5000, id="row 12: empty headers without an end"),
        pytest.param(b"host: gate.test\r\n" * 1000, id="row 12: a thousand hosts"),
    ],
)
def test_a_header_block_over_its_bounds_is_refused(gate: Gate, headers: bytes) -> None:
    path = gate.new_path()
    client = gate.connect()
    assert client.ask(gate.head(path)[:-2] + headers).status == 431
    assert client.is_closed()
    assert gate.reason(path) == "too_large"
    assert gate.backend.seen(path) == []


def test_a_head_within_its_bounds_goes_through(gate: Gate) -> None:
    """Row 12: neither bound is lower than it says."""
    path = gate.new_path() + "?" + "u" * 8000
    lines = [f"x-{number}: {'v' * 100}" for number in range(97)]
    assert gate.ask(gate.head(path, *lines)).status == 200
    names = [name for name, _ in gate.backend.arrivals[-1].headers if name.startswith(b"x-")]
    assert [name for name in names if name[2:].isdigit()] == [b"x-%d" % number for number in range(97)]
