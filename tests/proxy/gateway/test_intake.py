"""What becomes of a request before it is forwarded: allowances, bodies that are read, and who leaves then."""

from __future__ import annotations

import json
from typing import Any

from proxy.gateway.exchange import THREAD_BYTES_MIN
from proxy.settings import ProxySettings, RateLimitingSettings
from proxy.store.routes import NewRoute

Fixture = Any
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BY_MODEL = {"type": "object", "properties": {"model": {"const": "a"}}, "required": ["model"]}


def code_of(reply: Any) -> str:
    code: str = json.loads(reply.body)["error"]["code"]
    return code


def test_a_key_that_has_used_up_its_requests_is_told_when_to_come_back(
    make_gate: Fixture, backend: Fixture
) -> None:
    limits = RateLimitingSettings(default_requests_per_minute=2)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], rate_limiting=limits)
    for left in ("1", "0"):
        client = gate.send()
        wire = backend.accept()
        wire.read_head()
        wire.send(OK)
        reply = client.read_reply()
        assert (reply.header("x-ratelimit-limit-requests"), reply.status) == ("2", 200)
        assert reply.header("x-ratelimit-remaining-requests") == left
        backend.hang_up()
    refused = gate.ask()
    assert (refused.status, code_of(refused)) == (429, "rate_limited")
    assert 1 <= int(refused.header("retry-after")) <= 30
    assert refused.header("x-ratelimit-remaining-requests") == "0"
    assert gate.end_of(refused).error == "rate_limited"
    assert not backend.has_connection()


def test_requests_that_go_nowhere_use_nothing_up(make_gate: Fixture, backend: Fixture) -> None:
    limits = RateLimitingSettings(default_requests_per_minute=1)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], rate_limiting=limits)
    assert [gate.ask("/elsewhere").status for _ in range(3)] == [404] * 3


def test_a_body_that_is_looked_into_is_counted_whatever_is_found(
    make_gate: Fixture, backend: Fixture
) -> None:
    """Looking into a body costs the gateway more than sending it on: it is not to be had without limit."""
    limits = RateLimitingSettings(default_requests_per_minute=1)
    gate = make_gate(
        routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)], rate_limiting=limits
    )
    assert gate.ask("/v1/x", method="POST", body=b'{"model": "b"}').status == 404
    client = gate.send("/v1/x", method="POST", headers=["content-length: 9", "expect: 100-continue"])
    refused = client.read_reply("POST")  # before anything of the body was asked for
    assert (refused.status, code_of(refused)) == (429, "rate_limited")
    assert not backend.has_connection()


def test_one_request_with_such_a_body_is_counted_once(make_gate: Fixture, backend: Fixture) -> None:
    limits = RateLimitingSettings(default_requests_per_minute=2)
    gate = make_gate(
        routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)], rate_limiting=limits
    )
    client = gate.send("/v1/x", method="POST", body=b'{"model": "a"}')
    wire = backend.accept()
    wire.read_head()
    wire.send(OK)
    assert client.read_reply().header("x-ratelimit-remaining-requests") == "1"


def test_a_client_is_told_of_one_limit_the_gateways(make_gate: Fixture, backend: Fixture) -> None:
    limits = RateLimitingSettings(default_requests_per_minute=7)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], rate_limiting=limits)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    own = b"\r\nX-RateLimit-Limit-Requests: 9999\r\nx-ratelimit-limit-tokens: 5\r\n"
    wire.send(OK.replace(b"\r\n", own, 1))
    headers = [pair for pair in client.read_reply().headers if pair[0].startswith("x-ratelimit-limit-")]
    assert sorted(headers) == [("x-ratelimit-limit-requests", "7"), ("x-ratelimit-limit-tokens", "5")]


def test_limits_that_are_switched_off_are_not_told_of(make_gate: Fixture, backend: Fixture) -> None:
    limits = RateLimitingSettings(enabled=False, default_requests_per_minute=1)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], rate_limiting=limits)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK)
    assert "x-ratelimit-limit-requests" not in dict(client.read_reply().headers)


def test_a_client_that_leaves_while_its_body_is_read_has_a_row_with_its_key(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)])
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["content-length: 100"]) + b'{"model"')
    client.close()
    gate.wait_until(lambda: bool(gate.ends()))
    end, begin = gate.ends()[0], gate.begins()[0]
    assert (end.error, end.status, begin.key_id is None) == ("client_abort", None, False)
    assert not backend.has_connection()


def test_a_body_that_does_not_come_is_not_waited_for(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(
        routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)],
        proxy=ProxySettings(client_timeout=0.3),
    )
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["content-length: 100"]) + b'{"model"')
    reply = client.read_reply("POST")
    assert (reply.status, gate.end_of(reply).error) == (408, "client_timeout")


def test_a_body_that_is_not_well_formed_is_refused(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)])
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["transfer-encoding: chunked"]) + b"zz\r\n")
    reply = client.read_reply("POST")
    assert (reply.status, gate.end_of(reply).error) == (400, "client_bad_body")


def test_a_body_that_is_too_long_to_be_read_is_refused(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(
        routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)],
        proxy=ProxySettings(inspect_body_size=10),
    )
    reply = gate.send(body=b'{"model":"a"}').read_reply("POST")
    assert (reply.status, gate.end_of(reply).error) == (413, "body_too_large")
    message = json.loads(reply.body)["error"]["message"]
    assert "proxy.inspect_body_size" in message
    assert "13" in message


def test_bodies_that_are_looked_into_have_a_bound_together_and_give_it_back(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(
        routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)],
        proxy=ProxySettings(inspect_memory_max=100),
    )
    headers = ["content-length: 90"]
    first = gate.connect()
    first.send(gate.head(method="POST", headers=headers) + b"x" * 60)
    gate.wait_until(lambda: gate.gateway._inspected_bytes == 60)
    reply = gate.send(method="POST", body=b"x" * 41).read_reply("POST")
    assert (reply.status, code_of(reply), reply.header("retry-after")) == (503, "overloaded", "1")
    assert gate.end_of(reply).error == "overloaded"
    first.close()
    gate.wait_until(lambda: gate.gateway._inspected_bytes == 0)
    client = gate.send(method="POST", body=b'{"model":"a","x":"%b"}' % (b"x" * 60))
    wire = backend.accept()
    wire.read_until(b"x" * 60)
    wire.send(OK)
    assert client.read_reply().status == 200
    assert gate.gateway._inspected_bytes == 0


def test_a_long_body_is_decided_on_while_others_are_served(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, match_body_schema=BY_MODEL)])
    body = b'{"model":"a","x":"%b"}' % (b"x" * THREAD_BYTES_MIN)
    client = gate.send(body=body)
    wire = backend.accept()
    wire.read_head()
    assert wire.read_exactly(len(body)) == body
    wire.send(OK)
    assert client.read_reply().status == 200
    refused = gate.send(body=body[:-1]).read_reply()
    assert (refused.status, gate.end_of(refused).error) == (400, "bad_body")
