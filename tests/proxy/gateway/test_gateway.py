"""The gateway's own part: who is let in, what a refusal looks like, and that no fault tells anything."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Protocol

import pytest

from proxy.audit.events import AuditEvent, BriefBegin
from proxy.audit.journal import JournalWriter
from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.spellings import NO_SECRETS, SecretSet
from proxy.audit.masking.text import TextWriter
from proxy.audit.record import HeadTexts, Record
from proxy.audit.trail import AuditPolicy, AuditTrail, Waiter
from proxy.errors import JournalError
from proxy.gateway.bounds import Bounds
from proxy.gateway.gateway import Gateway
from proxy.gateway.pages import Pages
from proxy.gateway.snapshot import SnapshotSource
from proxy.ids import from_uuid
from proxy.policy.credentials import digest_secret
from proxy.policy.decide import KeyEntry, Snapshot
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead, Route
from proxy.policy.routing import build_route_table
from proxy.relay.counters import Counters
from proxy.settings import CorsSettings, ProxySettings, SecuritySettings
from proxy.store.routes import NewRoute
from proxy.upstream.upstream import Upstream

Fixture = Any  # the classes of conftest.py: test modules do not import it
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECRET = "fg_secret_of_a_test"
PARAMETER = "hunter2-in-a-local"


class BrokenUpstream(Upstream):
    """A bug: an exception of no kind that anybody foresaw."""

    def open(self, *_: Any) -> Any:
        password = PARAMETER  # in the frame, as a real one would be
        raise KeyError(len(password))


class BreakingRecord(Record):
    """A bug in the middle of an answer's body: what came before it has gone to the client."""

    def take_response_bytes(self, data: bytes, pieces: int = 1) -> None:
        if self.response_size:
            raise KeyError("a bug in the middle of a body")
        super().take_response_bytes(data, pieces)


class BreakingTrail(AuditTrail):
    """A trail whose records have that bug."""

    def open(
        self, head: RequestHead, time_us: int, texts: HeadTexts | None = None, length: str = ""
    ) -> Record:
        return BreakingRecord(self, head, self._ulids.next(time_us), time_us, texts, length)


class BrokenTable:
    """A route table whose look-up has a bug: `decide` raises."""

    size = 0

    def find(self, *_: object) -> None:
        password = PARAMETER
        raise RuntimeError(f"{len(password)} characters")


class BrokenWriter(TextWriter):
    """Fails at whatever it is to write down."""

    def write_headers(
        self, headers: HeaderPairs, presented: SecretSet = NO_SECRETS, *, bytes_max: int
    ) -> str:
        raise RuntimeError("a bug in the audit code")


class LateBrokenWriter(TextWriter):
    """Fails at the headers of a response."""

    def write_headers(
        self, headers: HeaderPairs, presented: SecretSet = NO_SECRETS, *, bytes_max: int
    ) -> str:
        if any(name == b"content-length" for name, _ in headers):
            raise RuntimeError("a bug at the end")
        return super().write_headers(headers, presented, bytes_max=bytes_max)


class BrokenTrail(AuditTrail):
    """A trail with a bug in what writes it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._writer = BrokenWriter(frozenset(), SecretMask)


class LateBrokenTrail(AuditTrail):
    """A trail with a bug that shows at the end of a request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        mask = SecretMask()
        self._writer = LateBrokenWriter(frozenset(), lambda: mask)


class SilentTrail(AuditTrail):
    """A journal that never says whether it has the beginning of a request."""

    def commit(self, begin: BriefBegin, waiter: Waiter) -> None:
        self.write(begin)


class FullJournal(JournalWriter):
    """A journal on a disk that can be full."""

    is_full = True

    def append(self, *events: AuditEvent, within_bound: bool = False) -> None:
        if self.is_full:
            raise JournalError("the disk is full")
        super().append(*events, within_bound=within_bound)


async def page(scope: Any, receive: Any, send: Any) -> None:
    """The pages behind the gateway: `/health` answers."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"page"})


class Build(Protocol):
    """Serve a gateway of given parts."""

    def __call__(
        self,
        upstream: type[Upstream] = Upstream,
        routes: Any = None,
        journal: type[JournalWriter] = JournalWriter,
        policy: AuditPolicy | None = None,
        counters: Counters | None = None,
        bounds: Bounds | None = None,
        trail: type[AuditTrail] = AuditTrail,
        **options: Any,
    ) -> Any: ...


@pytest.fixture
def build(make_gate: Fixture, tmp_path: Path, backend: Fixture) -> Build:
    """Serve a gateway of given parts."""

    def serve(
        upstream: type[Upstream] = Upstream,
        routes: Any = None,
        journal: type[JournalWriter] = JournalWriter,
        policy: AuditPolicy | None = None,
        counters: Counters | None = None,
        bounds: Bounds | None = None,
        trail: type[AuditTrail] = AuditTrail,
        **options: Any,
    ) -> Any:
        source = SnapshotSource(lambda: pytest.fail("no database"), environ={}, folder=tmp_path)
        key = ApiKey("key_1", digest_secret(SECRET.encode()))
        table = routes or build_route_table([Route("rt_1", "one", "/v1/*", backend.host)])
        source.current = Snapshot(1, {key.digest: KeyEntry(key)}, table)
        gateway = Gateway(
            pages=Pages(page, frozenset((b"/health",))),
            snapshots=source,
            upstream=upstream(ProxySettings()),
            trail=trail(journal(tmp_path / "journal", "worker-1"), policy or AuditPolicy(), defer=call_soon),
            counters=counters or Counters(),
            bounds=bounds or Bounds(timeout_seconds=5.0, body_bytes_max=1000),
        )
        gate = make_gate(gateway, **options)
        gate.key = SECRET
        return gate

    return serve


def call_soon(function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(function)


def error_of(reply: Any) -> dict[str, str]:
    """Return the error of a reply, having checked its shape."""
    assert reply.header("content-type") == "application/json"
    error: dict[str, str] = json.loads(reply.body)["error"]
    assert set(error) == {"message", "type", "code", "request_id"}
    assert error["request_id"] == reply.request_id
    assert reply.header("server-timing").startswith("gateway;dur=")
    return error


@pytest.mark.parametrize(
    ("options", "status", "code", "reason"),
    [
        ({"key": ""}, 401, "missing_api_key", "missing_api_key"),
        ({"key": "fg_wrong"}, 401, "invalid_api_key", "unknown_api_key"),
        ({"path": "/elsewhere"}, 404, "no_route", "no_route"),
        ({"path": "/v1/%2e%2e/x"}, 400, "bad_request", "bad_path"),
        ({"path": "?x"}, 400, "bad_request", "bad_request"),
        ({"method": "TRACE"}, 400, "bad_request", "bad_request"),
        ({"headers": ["host: another"]}, 400, None, None),
        ({"headers": ["content-length: 1001"], "method": "POST"}, 413, "body_too_large", "body_too_large"),
    ],
)
def test_a_refusal_has_a_body_a_row_and_keeps_the_connection(
    build: Build, options: dict[str, Any], status: int, code: str | None, reason: str | None, backend: Fixture
) -> None:
    gate = build()
    client = gate.connect()
    client.send(gate.head(**{"path": "/v1/x", **options}))
    if code == "body_too_large":
        client.send(b"x" * 1001)
    reply = client.read_reply()
    assert reply.status == status
    if code is None:  # the server's own answer: it never was a request
        return
    assert error_of(reply)["code"] == code
    end = gate.end_of(reply)
    assert (end.status, end.error, end.response_size) == (status, reason, len(reply.body))
    assert not backend.has_connection()
    if "?x" in options.values():  # nothing is read behind a head that is not well-formed
        client.wait_closed()
        return
    client.send(gate.head("/still/there"))
    assert client.read_reply().status == 404


def test_a_request_that_is_cut_before_it_is_forwarded_has_an_answer_and_a_row(
    build: Build, backend: Fixture
) -> None:
    gate = build(trail=SilentTrail, grace_seconds=0.05)
    client = gate.send()
    gate.wait_until(gate.begins)
    gate.begin_stop()
    reply = client.read_reply()
    assert (reply.status, error_of(reply)["code"]) == (503, "overloaded")
    end = gate.end_of(reply)
    assert (end.status, end.error, end.response_size) == (503, "interrupted", len(reply.body))
    assert not backend.has_connection()


def test_a_401_names_its_scheme(gate: Fixture) -> None:
    assert gate.ask(key="fg_wrong").header("www-authenticate").startswith("Bearer")


def test_a_refused_head_request_has_no_body(gate: Fixture) -> None:
    client = gate.connect()
    for _ in range(2):
        client.send(gate.head("/elsewhere", method="HEAD"))
        assert b" 404 " in client.read_head()


def test_one_id_names_a_request_everywhere(gate: Fixture, backend: Fixture) -> None:
    client = gate.send(headers=["x-request-id: forged"])
    wire = backend.accept()
    head = wire.read_head().decode().lower()
    wire.send(OK)
    reply = client.read_reply()
    (sent,) = re.findall("\r\nx-request-id: (.+)\r\n", head)
    # Some backends take nothing but a UUID: the same 128 bits.
    assert f"req_{from_uuid(sent)}" == reply.request_id
    assert "forged" not in head
    assert gate.end_of(reply).status == 200


def test_what_the_client_may_not_send_on_stays_and_what_the_route_adds_arrives(
    make_gate: Fixture, backend: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_TOKEN", "backend-secret")
    route = NewRoute(
        "/v1/*",
        backend.host,
        add_headers={"Authorization": "Bearer ${env:BACKEND_TOKEN}", "X-Tenant": "t1"},
        remove_headers=["x-internal"],
    )
    gate = make_gate(routes=[route])
    client = gate.send(
        path="/v1/a%20b?q=1&q=2",
        headers=[
            "connection: authorization, x-tenant, x-forwarded-for, x-hop",
            "x-hop: 1",
            "x-internal: 1",
            "x-tenant: forged",
            "x_tenant: forged",
            "x-forwarded-for: 6.6.6.6",
            "x-real-ip: 6.6.6.6",
            "te: trailers",
            "x-kept: yes",
        ],
    )
    wire = backend.accept()
    head = wire.read_head().decode()
    wire.send(OK)
    assert client.read_reply().status == 200
    assert head.startswith("GET /v1/a%20b?q=1&q=2 HTTP/1.1\r\n")
    pairs = [tuple(line.lower().split(": ", 1)) for line in head.split("\r\n")[1:] if line]
    assert ("authorization", "bearer backend-secret") in pairs
    assert ("x-tenant", "t1") in pairs
    assert ("x-kept", "yes") in pairs
    assert ("x-forwarded-for", "127.0.0.1") in pairs
    assert ("host", backend.host) in pairs
    names = [pair[0] for pair in pairs]
    assert len(names) == len(set(names))
    assert not {"x-hop", "x-internal", "x_tenant", "x-real-ip", "te", "x-api-key"} & set(names)
    assert gate.key not in head
    assert "6.6.6.6" not in head


@pytest.mark.parametrize("header", ["x-api-key: {}", "api-key: {}", "authorization: bearer {}"])
def test_a_key_goes_no_further_than_the_gateway(gate: Fixture, backend: Fixture, header: str) -> None:
    client = gate.send(key="", headers=[header.format(gate.key)])
    wire = backend.accept()
    head = wire.read_head().decode()
    wire.send(OK)
    assert client.read_reply().status == 200
    assert gate.key not in head
    assert gate.key not in repr(gate.events())


def test_a_body_that_names_another_backend_changes_nothing(gate: Fixture, backend: Fixture) -> None:
    body = b'{"api_base": "http://127.0.0.1:1/", "base_url": "http://127.0.0.1:1/"}'
    client = gate.send(body=body, path="/v1/x?url=http://127.0.0.1:1/")
    wire = backend.accept()
    wire.read_until(body)
    wire.send(OK)
    assert client.read_reply("POST").status == 200


@pytest.mark.parametrize(
    ("key", "path", "limit", "status"),
    [("fg_bad", "/v1/x", 1 << 30, 401), (None, "/elsewhere", 1 << 30, 404), (None, "/v1/x", 1000, 413)],
)
@pytest.mark.parametrize("framing", ["content-length: 20000000", "transfer-encoding: chunked"])
def test_a_refused_upload_can_be_sent_to_its_end_and_reaches_nobody(
    make_gate: Fixture,
    backend: Fixture,
    key: str | None,
    path: str,
    limit: int,
    status: int,
    framing: str,
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(max_body_size=limit))
    client = gate.connect()
    client.send(gate.head(path, method="POST", key=key, headers=[framing]))
    if "chunked" in framing:
        for _ in range(200):
            client.send_chunk(b"x" * 100_000)
        client.send(b"0\r\n\r\n")
    else:
        client.send(b"x" * 20_000_000)
    reply = client.read_reply("POST")
    assert reply.status == status
    assert error_of(reply)
    assert gate.end_of(reply).status == status
    assert reply.header("connection") == "close"
    client.wait_closed()


def test_the_answer_to_a_refused_upload_does_not_wait_for_it(gate: Fixture) -> None:
    client = gate.connect()
    client.send(gate.head(method="POST", key="fg_bad", headers=["content-length: 1000"]) + b"x")
    assert b" 401 " in client.read_head()
    assert b"invalid_api_key" in client.read_until(b"}}")
    client.send(b"x" * 999 + gate.head("/elsewhere"))
    assert b" 404 " in client.read_head()


@pytest.mark.parametrize("body", [None, b"{}"])
def test_a_bug_while_forwarding_is_a_bare_500(build: Build, log: Fixture, body: bytes | None) -> None:
    counters = Counters()
    gate = build(upstream=BrokenUpstream, counters=counters)
    client = gate.send(body=body)
    reply = client.read_reply()
    assert (reply.status, error_of(reply)["code"]) == (500, "internal_error")
    end = gate.end_of(reply)
    assert (end.status, end.error) == (500, "internal_error")
    assert reply.request_id in log.text
    assert "Traceback" in log.text
    assert PARAMETER not in log.text + reply.body.decode()
    assert SECRET not in log.text
    assert counters.errors == {"internal_error": 1}
    client.send(gate.head("/elsewhere"))
    assert client.read_reply().status == 404


def test_a_bug_while_deciding_is_a_bare_500(build: Build, log: Fixture) -> None:
    gate = build(routes=BrokenTable())
    reply = gate.ask()
    assert (reply.status, error_of(reply)["code"]) == (500, "internal_error")
    assert reply.request_id in log.text
    assert PARAMETER not in log.text + reply.body.decode()


def test_a_bug_in_the_middle_of_a_body_breaks_the_transfer_off(
    build: Build, backend: Fixture, log: Fixture
) -> None:
    gate = build(trail=BreakingTrail)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst")
    client.read_until(b"first")
    wire.send(b"second")
    assert client.read_rest() == b""
    wire.wait_closed()
    end = gate.wait_for_end()
    assert (end.status, end.error) == (200, "internal_error")
    assert "a bug in the middle" in log.text


@pytest.mark.parametrize("options", [{}, {"path": "/elsewhere"}, {"key": ""}])
def test_a_bug_in_the_audit_code_is_a_bare_500_and_still_a_row(
    build: Build, log: Fixture, options: dict[str, str]
) -> None:
    gate = build(trail=BrokenTrail)
    reply = gate.ask(**options)
    assert (reply.status, error_of(reply)["code"]) == (500, "internal_error")
    end, (begin,) = gate.end_of(reply), gate.begins()
    assert (begin.ulid, begin.sequence, begin.headers) == (end.ulid, 1, None)
    assert (end.status, end.error) == (500, "internal_error")
    assert "Traceback" in log.text
    assert SECRET not in log.text + reply.body.decode()


def test_a_bug_at_the_end_of_a_stream_is_still_a_row(build: Build, backend: Fixture, log: Fixture) -> None:
    gate = build(trail=LateBrokenTrail)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK)
    assert client.read_reply().status == 200
    end = gate.wait_for_end()
    assert (end.status, end.error) == (200, "internal_error")
    assert "a bug at the end" in log.text


def test_a_bug_in_the_error_handler_itself_is_a_500_with_an_id_and_a_row(
    build: Build, log: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("a bug in the error handler")

    monkeypatch.setattr("proxy.gateway.replies.build_error", fail)
    gate = build(upstream=BrokenUpstream)
    reply = gate.ask()
    assert (reply.status, reply.body) == (500, b"")
    end = gate.end_of(reply)
    assert (end.status, end.error) == (500, "internal_error")
    assert reply.request_id in log.text
    assert "a bug in the error handler" in log.text


def test_a_page_needs_no_key_has_an_id_and_no_row(build: Build) -> None:
    gate = build()
    reply = gate.ask("/health", key="")
    assert (reply.status, reply.body) == (200, b"page")
    assert reply.request_id.startswith("req_")
    assert reply.header("server-timing")
    assert gate.events() == []


def test_a_journal_that_fails_refuses_before_anything_reaches_the_backend(
    build: Build, backend: Fixture
) -> None:
    gate = build(journal=FullJournal)
    client = gate.send()
    reply = client.read_reply()
    assert (reply.status, error_of(reply)["code"]) == (503, "overloaded")
    assert not backend.has_connection()
    assert gate.ask("/elsewhere").status == 404  # what reaches no backend needs no room


def test_a_journal_that_fails_can_be_told_to_let_requests_through(build: Build, backend: Fixture) -> None:
    gate = build(journal=FullJournal, policy=AuditPolicy(forward_on_failure=True))
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK)
    assert client.read_reply().status == 200


def test_traffic_resumes_with_the_journal(
    build: Build, backend: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = build(journal=FullJournal)
    assert gate.ask().status == 503
    monkeypatch.setattr(FullJournal, "is_full", False)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK)
    assert client.read_reply().status == 200


def test_what_is_in_flight_and_what_was_answered_is_counted(build: Build, backend: Fixture) -> None:
    counters = Counters()
    gate = build(counters=counters)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    assert counters.in_flight == 1
    wire.send(OK)
    client.read_reply()
    gate.wait_until(lambda: counters.in_flight == 0)
    gate.ask(key="fg_bad")
    gate.wait_until(lambda: counters.in_flight == 0)
    gone = gate.send()
    wire.read_head()
    gone.close()
    gate.wait_until(lambda: counters.requests[0] == 1)
    assert (counters.requests[2], counters.requests[4]) == (1, 1)
    assert counters.errors == {"unknown_api_key": 1, "client_abort": 1}


def test_a_websocket_is_answered_in_plain_http(gate: Fixture, backend: Fixture) -> None:
    client = gate.connect()
    upgrade = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    client.send(gate.head(headers=upgrade))
    wire = backend.accept()
    assert b"upgrade" not in wire.read_head().lower()
    wire.send(OK)
    reply = client.read_reply()
    assert (reply.status, gate.end_of(reply).status) == (200, 200)


def test_requests_in_a_row_are_answered_in_order(gate: Fixture, backend: Fixture) -> None:
    client = gate.connect()
    client.send(gate.head("/a", key="fg_bad") + gate.head("/b") + gate.head("/v1/c"))
    assert b" 401 " in client.read_head()
    client.read_until(b"}}")
    assert b" 404 " in client.read_head()
    client.read_until(b"}}")
    wire = backend.accept()
    assert b"/v1/c" in wire.read_head()
    wire.send(OK)
    assert b" 200 " in client.read_head()


def test_more_requests_than_it_may_serve_are_refused_on_record(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(max_in_flight=1))
    first = gate.send()
    wire = backend.accept()
    wire.read_head()
    reply = gate.ask()
    assert (reply.status, error_of(reply)["code"], reply.header("retry-after")) == (503, "overloaded", "1")
    assert gate.end_of(reply).error == "overloaded"
    wire.send(OK)
    assert first.read_reply().status == 200


@pytest.mark.parametrize(("trusted", "client"), [("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")])
def test_the_client_behind_a_trusted_proxy_is_told_to_the_backend_and_the_row(
    make_gate: Fixture, backend: Fixture, trusted: str, client: str
) -> None:
    security = SecuritySettings(trusted_proxies=(IPv4Network(trusted),))
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], security=security)
    sent = gate.send(headers=["x-forwarded-for: 203.0.113.9", "x-forwarded-proto: https", "forwarded: for=a"])
    wire = backend.accept()
    head = wire.read_head().decode().lower()
    wire.send(OK)
    reply = sent.read_reply()
    is_believed = client == "203.0.113.9"
    assert f"x-forwarded-for: {'203.0.113.9, ' if is_believed else ''}127.0.0.1\r\n" in head
    assert f"x-forwarded-proto: {'https' if is_believed else 'http'}\r\n" in head
    assert "\r\nforwarded:" not in head
    gate.end_of(reply)
    assert [begin.ip_address for begin in gate.begins()] == [client]


def test_a_refusal_behind_a_trusted_proxy_is_the_clients_too(make_gate: Fixture) -> None:
    gate = make_gate(security=SecuritySettings(trusted_proxies=(IPv4Network("127.0.0.1"),)))
    gate.end_of(gate.ask(key="", headers=["x-forwarded-for: 203.0.113.9"]))
    assert [begin.ip_address for begin in gate.begins()] == ["203.0.113.9"]


PREFLIGHT = {
    "method": "OPTIONS",
    "key": "",
    "headers": ["origin: https://a.example", "access-control-request-method: POST"],
}


def test_a_preflight_is_answered_without_a_key_or_a_backend_and_has_a_row(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], cors=CorsSettings(enabled=True))
    client = gate.connect()
    client.send(gate.head(**PREFLIGHT))
    reply = client.read_reply("OPTIONS")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.header("access-control-allow-origin") == "https://a.example"
    assert "POST" in reply.header("access-control-allow-methods")
    assert reply.header("server-timing")
    assert "content-length" not in dict(reply.headers)
    end = gate.end_of(reply)
    assert (end.status, end.error) == (204, None)
    assert [(begin.method, begin.key_id) for begin in gate.begins()] == [("OPTIONS", None)]
    client.send(gate.head("/elsewhere"))
    assert client.read_reply().status == 404
    assert not backend.has_connection()


def test_a_page_sees_answers_and_errors_and_the_backend_has_no_say(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], cors=CorsSettings(enabled=True))
    sent = gate.send(headers=["origin: https://a.example"])
    wire = backend.accept()
    wire.read_head()
    wire.send(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\naccess-control-allow-origin: https://b.example\r\n"
        b"vary: accept\r\n\r\nok"
    )
    reply = sent.read_reply()
    assert reply.body == b"ok"
    assert reply.header("access-control-allow-origin") == "https://a.example"
    assert reply.header("vary") == "accept, Origin"
    assert "x-request-id" in reply.header("access-control-expose-headers")
    theirs = dict(json.loads(gate.end_of(reply).headers or "[]"))
    assert theirs["access-control-allow-origin"] == "https://b.example"
    for options in ({"key": ""}, {"path": "/elsewhere"}):
        refused = gate.ask(headers=["origin: https://a.example"], **options)
        assert error_of(refused)
        assert refused.header("access-control-allow-origin") == "https://a.example"


def test_a_preflight_with_a_fault_is_refused_as_any_other_request(make_gate: Fixture) -> None:
    gate = make_gate(cors=CorsSettings(enabled=True))
    reply = gate.ask("/v1/%2e%2e/x", **PREFLIGHT)
    assert reply.status == 400
    assert gate.end_of(reply).error == "bad_path"


def test_without_cors_a_preflight_is_a_request_and_nothing_is_touched(
    gate: Fixture, backend: Fixture
) -> None:
    assert gate.ask(**PREFLIGHT).status == 401
    sent = gate.send(method="OPTIONS", headers=PREFLIGHT["headers"])
    wire = backend.accept()
    wire.read_head()
    wire.send(OK.replace(b"\r\n\r\n", b"\r\naccess-control-allow-origin: https://b.example\r\n\r\n"))
    reply = sent.read_reply("OPTIONS")
    assert reply.header("access-control-allow-origin") == "https://b.example"
    assert "vary" not in dict(reply.headers)


def test_a_stream_is_counted_with_its_route_and_shown_with_its_times(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, route_id="rt_v1")])
    sent = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\nok")
    assert gate.end_of(sent.read_reply()).is_stream
    line = 'fastgate_requests_total{route="rt_v1",status_class="2xx",stream="true"} 1.0'
    gate.wait_until(lambda: line in gate.ask("/metrics").body.decode())
    page = gate.ask("/metrics").body.decode()
    assert 'fastgate_first_byte_seconds_count{route="rt_v1"} 1.0' in page
    assert 'fastgate_request_duration_seconds_count{route="rt_v1"} 1.0' in page
    assert "fastgate_gateway_seconds_count 1.0" in page
    assert "fastgate_requests_in_flight 0.0" in page
    assert gate.ask(key="").status == 401
    refusal = 'fastgate_errors_total{reason="missing_api_key"} 1.0'
    gate.wait_until(lambda: refusal in gate.ask("/metrics").body.decode())
