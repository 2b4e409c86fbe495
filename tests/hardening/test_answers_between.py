"""Issue 11, rows 8, 9, 10, 19, 20 and 21: what the gateway adds to answers, changes in them, and says."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import UUID

import pytest

from tests.e2e.processes import Fastgate
from tests.hardening.gate import Gate, run_gate
from tests.hardening.plays import say

pytestmark = pytest.mark.usefixtures("serving")
THEIRS = "Thu, 01 Jan 1970 00:00:00 GMT"
SHORT, EMPTY = b"content-length: 2\r\n\r\nok", b"content-length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {max_body_size: 1000}"


def play(gate: Gate, *lines: str, status: str = "200 OK") -> str:
    """Return a path that is answered with these header lines."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines))
    return gate.new_path(say(head.encode() + SHORT))


def test_an_answer_without_a_date_gets_one_and_another_keeps_its_own(gate: Gate) -> None:
    """Row 8."""
    response = gate.ask(gate.head(play(gate)))
    (made,) = response.values(b"date")
    assert parsedate_to_datetime(made.decode()).tzinfo is not None
    response = gate.ask(gate.head(play(gate, f"Date: {THEIRS}")))
    assert response.values(b"date") == [THEIRS.encode()]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("content-type: text/event-stream",), [b"no"]),
        (("content-type: text/event-stream; charset=utf-8", "X-Accel-Buffering: yes"), [b"yes"]),
        (("content-type: application/json",), []),
    ],
)
def test_a_proxy_in_front_is_told_not_to_hold_a_stream(
    gate: Gate, lines: tuple[str, ...], expected: list[bytes]
) -> None:
    """Row 8."""
    assert gate.ask(gate.head(play(gate, *lines))).values(b"x-accel-buffering") == expected


def test_the_backends_own_id_is_in_the_row_and_told_to_the_client(gate: Gate) -> None:
    """Row 9."""
    response = gate.ask(gate.head(play(gate, "X-Request-Id: req_of_the_backend")))
    assert response.values(b"x-upstream-request-id") == [b"req_of_the_backend"]
    assert response.request_id != "req_of_the_backend"
    assert "req_of_the_backend" in gate.row(response)["response_headers"]


def test_a_backend_gets_the_id_as_a_uuid_and_either_spelling_finds_the_row(gate: Gate) -> None:
    """Row 20: llama-cpp-python's server takes nothing but a UUID."""
    path = gate.new_path()
    response = gate.ask(gate.head(path))
    (sent,) = gate.seen_of(path).values(b"x-request-id")
    assert str(UUID(sent.decode())) == sent.decode()
    gate.row(response)
    for spelling in (sent.decode(), response.request_id):
        assert gate.fastgate.json("logs", "show", spelling)["path"] == path


@pytest.mark.parametrize("given", ["trace-4711", "0af76519-16cd-43dd-8448-eb211c80319c"])
def test_an_id_of_anybody_is_replaced(gate: Gate, given: str) -> None:
    """Row 10."""
    path = gate.new_path()
    response = gate.ask(gate.head(path, f"x-request-id: {given}"))
    assert response.request_id.startswith("req_")
    assert given.encode() not in gate.seen_of(path).head


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway that trusts whoever connects from here."""
    folder: Path = tmp_path_factory.mktemp("trusting")
    with run_gate(Fastgate(folder), "security: {trusted_proxies: [127.0.0.0/8]}") as gate:
        yield gate


def test_the_id_of_a_trusted_proxy_is_kept_and_used(trusting: Gate) -> None:
    """Row 10: for as many requests as come with it, recognised or not."""
    for number in (1, 1, 1, 2):
        path, given = trusting.new_path(), f"trace-{number}-of-haproxy"
        response = trusting.ask(trusting.head(path, f"x-request-id: {given}"))
        assert response.request_id == given
        assert trusting.seen_of(path).values(b"x-request-id") == [given.encode()]
    assert trusting.fastgate.json("logs", "show", "trace-2-of-haproxy")["path"] == path


@pytest.mark.parametrize("given", ["a b", "x" * 200, "", "<script>"])
def test_what_is_no_id_is_replaced_whoever_sends_it(trusting: Gate, given: str) -> None:
    """Row 10."""
    response = trusting.ask(trusting.head(trusting.new_path(), f"x-request-id: {given}"))
    assert response.request_id.startswith("req_")


PREFLIGHT = ("origin: https://a.example", "access-control-request-method: POST")


def test_messages_name_the_remedy(gate: Gate) -> None:
    """Row 19."""
    path = gate.new_path()
    for lines, words in (
        ((f"authorization: {gate.key}",), ("'Bearer'", "Authorization: Bearer KEY")),
        ((), ("Authorization: Bearer KEY",)),
        (PREFLIGHT, ("cors.enabled",)),
    ):
        method = "OPTIONS" if lines == PREFLIGHT else "GET"
        request = "\r\n".join((f"{method} {path} HTTP/1.1", "host: gate.test", *lines, "", ""))
        response = gate.ask(request.encode())
        assert (response.status, response.code) == (401, "missing_api_key")
        assert all(word in response.error["message"] for word in words), response.error
        assert gate.key not in response.error["message"]


@pytest.mark.parametrize("framing", ["content-length: 1001", "transfer-encoding: chunked"])
def test_a_body_that_is_too_large_is_told_the_limit_and_its_setting(gate: Gate, framing: str) -> None:
    """Row 19."""
    body = b"x" * 1001 if "length" in framing else b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
    response = gate.ask(gate.head(gate.new_path(), framing, method="POST") + body)
    assert (response.status, response.code) == (413, "body_too_large")
    assert "proxy.max_body_size" in response.error["message"]
    assert "1,000" in response.error["message"]


@pytest.fixture(scope="module")
def prefixed(gate: Gate) -> str:
    """Return the path of a route that strips it."""
    gate.fastgate("routes", "add", "--match", "/api/*", "--to", gate.backend.url, "--strip-prefix")
    gate.fastgate(
        "routes", "add", "--match", "/kept/*", "--to", gate.backend.url, "--strip-prefix", "--keep-redirects"
    )
    gate.wait_for_revision()
    return "/api"


@pytest.mark.parametrize("name", ["location", "content-location", "refresh"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://BACKEND/docs/", "http://gate.test/api/docs/"),
        ("/docs/", "/api/docs/"),
        ("docs/", "docs/"),
        ("https://elsewhere.test/docs/", "https://elsewhere.test/docs/"),
        ("//BACKEND/docs/?a=1#b", "//gate.test/api/docs/?a=1#b"),
    ],
)
def test_a_redirect_of_the_backend_to_itself_leads_to_the_gateway(
    gate: Gate, prefixed: str, name: str, value: str, expected: str
) -> None:
    """Row 21."""
    host = gate.backend.url.removeprefix("http://")
    before = "5; url=" if name == "refresh" else ""
    line = f"{name}: {before}{value.replace('BACKEND', host)}\r\n".encode()
    path = f"/redirect/{gate.new_path().rpartition('/')[2]}"
    gate.backend.play(path, say(b"HTTP/1.1 307 Temporary Redirect\r\n" + line + EMPTY))
    response = gate.ask(gate.head(prefixed + path))
    assert (response.status, response.values(name.encode())) == (307, [(before + expected).encode()])
    assert gate.seen_of(path).values(b"x-forwarded-prefix") == [b"/api"]
    kept = gate.ask(gate.head("/kept" + path))
    assert kept.values(name.encode()) == [line.partition(b": ")[2].strip()]
