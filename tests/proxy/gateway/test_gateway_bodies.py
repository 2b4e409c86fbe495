"""Bodies that a decision depends on: read first, bounded, and sent on with their own length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import AuditSettings, ProxySettings
from proxy.store.routes import NewRoute

Fixture = Any  # the classes of conftest.py: test modules do not import it
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
QWEN = {"type": "object", "properties": {"model": {"const": "qwen3"}}, "required": ["model"]}
INSPECT_BYTES_MAX = 2_000


@pytest.fixture
def served(make_gate: Fixture, backend: Fixture) -> Iterator[Fixture]:
    """A gateway whose `/v1/*` sets `max_tokens` for one model only, and whose `/any/*` has no rule."""
    routes = [
        NewRoute(
            "/v1/*",
            backend.host,
            route_id="rt_qwen",
            match_body_schema=QWEN,
            add_body_fields={"max_tokens": 5},
        ),
        NewRoute("/any/*", backend.host, route_id="rt_any"),
    ]
    proxy = ProxySettings(inspect_body_size=INSPECT_BYTES_MAX)
    return make_gate(routes=routes, proxy=proxy, audit=AuditSettings(include_body=True))  # type: ignore[no-any-return]


def test_edited_body_goes_on_with_its_own_length_and_the_row_keeps_the_clients(
    served: Fixture, backend: Fixture
) -> None:
    body = b'{"model": "qwen3", "n": 1.0}'
    client = served.send("/v1/chat", body=body)
    wire = backend.accept()
    head = wire.read_head()
    edited = body[:-1] + b',"max_tokens":5}'
    assert head.lower().count(b"content-length: %d\r\n" % len(edited)) == 1
    assert wire.read_exactly(len(edited)) == edited
    wire.send(OK)
    reply = client.read_reply()
    end = served.end_of(reply)
    assert (reply.status, end.request_size, end.request_body) == (200, len(body), body)
    assert served.begins()[-1].route_id == "rt_qwen"


def test_chunked_body_is_put_together_and_sent_with_a_length(served: Fixture, backend: Fixture) -> None:
    client = served.connect()
    client.send(served.head("/v1/chat", method="POST", headers=["transfer-encoding: chunked"]))
    for piece in (b'{"model"', b': "qw', b'en3","max_tokens":99}', b""):
        client.send_chunk(piece)
    wire = backend.accept()
    head = wire.read_head().lower()
    assert b"transfer-encoding" not in head
    assert b"content-length: 33\r\n" in head
    assert wire.read_exactly(33) == b'{"model": "qwen3","max_tokens":5}'
    wire.send(OK)
    assert client.read_reply().status == 200


def test_body_over_the_limit_is_refused_declared_or_not(served: Fixture, backend: Fixture) -> None:
    body = b'{"model": "qwen3", "x": "' + b"x" * INSPECT_BYTES_MAX + b'"}'
    declared = served.send("/v1/chat", body=body).read_reply()
    client = served.connect()
    client.send(served.head("/v1/chat", method="POST", headers=["transfer-encoding: chunked"]))
    client.send_chunk(body)
    client.send_chunk(b"")
    for reply in (declared, client.read_reply()):
        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (413, "body_too_large")
        assert served.end_of(reply).error == "body_too_large"
    assert served.begins()[-1].key_id
    assert not backend.has_connection()


def test_body_without_a_rule_about_it_is_not_bound_by_that_limit(served: Fixture, backend: Fixture) -> None:
    body = b"x" * (INSPECT_BYTES_MAX + 1)
    client = served.send("/any/x", body=body)
    wire = backend.accept()
    wire.read_head()
    assert wire.read_exactly(len(body)) == body
    wire.send(OK)
    assert client.read_reply().status == 200


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b'{"model": qwen3}', [], 400, "bad_body"),
        (b'{"model": "qwen3"}', ["content-encoding: gzip"], 400, "bad_body"),
        (b'{"model": "gpt"}', [], 404, "no_route"),
    ],
)
def test_body_that_no_route_takes_is_refused_and_the_connection_stays(
    served: Fixture, backend: Fixture, body: bytes, headers: list[str], status: int, reason: str
) -> None:
    client = served.send("/v1/chat", body=body, headers=headers)
    reply = client.read_reply()
    assert (reply.status, served.end_of(reply).error) == (status, reason)
    client.send(served.head("/nowhere"))
    assert client.read_reply().status == 404
    assert not backend.has_connection()


def test_client_that_leaves_while_its_body_is_read_has_a_row(served: Fixture, backend: Fixture) -> None:
    client = served.connect()
    client.send(served.head("/v1/chat", method="POST", headers=["content-length: 100"]) + b'{"model"')
    client.close()
    served.wait_until(lambda: bool(served.ends()))
    (begin,), (end,) = served.begins(), served.ends()
    assert (end.error, end.status, bool(begin.key_id)) == ("client_abort", None, True)
    assert not backend.has_connection()
