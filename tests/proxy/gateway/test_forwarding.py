"""Forwarding over real sockets: bytes as they come, and every way in which either side can break off."""

from __future__ import annotations

import gzip
import json
import os
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from proxy.audit.events import FirstByte
from proxy.settings import ProxySettings
from proxy.store.routes import NewRoute

EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Fixture = Any  # the classes of conftest.py: test modules do not import it


@pytest.fixture
def new_gate(make_gate: Fixture, backend: Fixture) -> Fixture:
    """A gateway that has not been hung up on yet: one that has keeps no connection to that backend for a
    while.
    """
    return make_gate(routes=[NewRoute("/v1/*", backend.host)])


def test_each_chunk_arrives_when_it_was_sent(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM)
    client.read_head()
    for text in (b"data: one\n\n", b"data: t", b"wo\n\n"):
        wire.send_chunk(text)
        assert client.read_until(b"\r\n%b\r\n" % text) == b"%x\r\n%b\r\n" % (len(text), text)
    wire.send(b"0\r\n\r\n")
    client.read_until(b"0\r\n\r\n")
    end = gate.wait_for_end()
    assert (end.error, end.is_stream, end.chunks, end.response_size) == (None, True, 3, 22)
    assert 0 < end.first_byte_after_us <= end.after_us


def test_pieces_that_come_together_are_counted_one_by_one(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(
        EVENT_STREAM + b"".join(b"9\r\ndata: %d\n\n\r\n" % number for number in range(5)) + b"0\r\n\r\n"
    )
    reply = client.read_reply()
    assert reply.body == b"".join(b"data: %d\n\n" % number for number in range(5))
    end = gate.end_of(reply)
    assert (end.chunks, end.response_size) == (5, 45)


def test_the_head_arrives_before_there_is_a_body(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
    assert client.read_head().startswith(b"HTTP/1.1 200")
    wire.send(b"body")
    assert client.read_until(b"body")


def test_without_streaming_an_answer_is_sent_when_all_of_it_is_there(
    make_gate: Fixture, backend: Fixture
) -> None:
    proxy = ProxySettings(enable_streaming=False)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=proxy)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM)
    wire.send_chunk(b"data: one\n\n")
    assert gate.ask("/elsewhere").status == 404  # by then anything would have come
    assert not client.has_data()
    wire.send_chunk(b"data: two\n\n")
    wire.send(b"0\r\n\r\n")
    reply = client.read_reply()
    assert reply.body == b"data: one\n\ndata: two\n\n"
    end = gate.end_of(reply)
    assert (end.error, end.is_stream, end.chunks, end.response_size) == (None, True, 2, 22)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "upstream_truncated"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n" + b"x" * 101, "upstream_invalid"),
    ],
    ids=["broken off", "too long"],
)
def test_without_streaming_an_answer_that_is_not_whole_or_too_long_is_a_502(
    make_gate: Fixture, backend: Fixture, answer: bytes, reason: str
) -> None:
    proxy = ProxySettings(enable_streaming=False, max_body_size=100)
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=proxy)
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(answer)
    wire.close()
    reply = client.read_reply()
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (502, "upstream_invalid")
    end = gate.end_of(reply)
    assert (end.status, end.error) == (502, reason)
    # Of the answer that the client did not get there is nothing.
    assert (end.response_size, end.first_byte_after_us, end.headers) == (len(reply.body), None, None)


def test_without_streaming_a_client_that_leaves_has_been_answered_nothing(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(enable_streaming=False))
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM)
    wire.send_chunk(b"data: one\n\n")
    gate.wait_until(lambda: any(isinstance(event, FirstByte) for event in gate.events()))
    client.close()
    wire.wait_closed()
    end = gate.wait_for_end()
    assert (end.status, end.error, end.response_size, end.chunks) == (None, "client_abort", 0, 0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"hello" * 1000)),
        ("br", b"\x00garbage that is no brotli\xff"),
        ("identity", os.urandom(300_000)),
        ("identity", bytes(range(256))),
    ],
    ids=["gzip", "garbage", "large", "binary"],
)
def test_a_body_arrives_byte_for_byte(gate: Fixture, backend: Fixture, encoding: str, body: bytes) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n"
    wire.send(head.encode() + body)
    reply = client.read_reply()
    assert reply.body == body
    assert reply.header("content-encoding") == encoding
    assert gate.end_of(reply).response_size == len(body)


def test_an_upload_is_streamed(gate: Fixture, backend: Fixture) -> None:
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["transfer-encoding: chunked"]))
    client.send_chunk(b"first")
    wire = backend.accept()
    assert b"transfer-encoding: chunked" in wire.read_head().lower()
    wire.read_until(b"first\r\n")
    client.send_chunk(b"\x1f\x8b\x00second")
    client.send(b"0\r\n\r\n")
    wire.read_until(b"\x1f\x8b\x00second\r\n")
    wire.read_until(b"0\r\n\r\n")
    wire.send(OK)
    reply = client.read_reply("POST")
    assert reply.body == b"ok"
    assert gate.end_of(reply).request_size == 14


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_a_declared_length_is_declared_to_the_backend(gate: Fixture, backend: Fixture, size: int) -> None:
    body = os.urandom(size)
    client = gate.send(body=body)
    wire = backend.accept()
    assert b"content-length: %d\r\n" % size in wire.read_head().lower()
    assert wire.read_exactly(size) == body
    wire.send(OK)
    assert client.read_reply("POST").body == b"ok"


def test_headers_of_the_backend_pass_in_order_and_hop_by_hop_ones_do_not(
    gate: Fixture, backend: Fixture
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-Empty:\r\nSet-Cookie: b=2\r\nConnection: x-mine\r\n"
        b"X-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Request-Id: forged\r\nset-cookie: c=3\r\n"
        b"content-length: 0\r\n\r\n"
    )
    reply = client.read_reply()
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1", "b=2", "c=3"]
    assert reply.header("x-empty") == ""
    assert not {"x-mine", "keep-alive", "connection"} & {name for name, _ in reply.headers}
    assert reply.request_id.startswith("req_")


def test_the_backends_own_id_is_in_the_row_and_told_under_another_name(
    gate: Fixture, backend: Fixture
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK.replace(b"\r\n", b"\r\nX-Request-Id: theirs-1\r\n", 1))
    reply = client.read_reply()
    assert (reply.request_id[:4], reply.header("x-upstream-request-id")) == ("req_", "theirs-1")
    assert dict(json.loads(gate.end_of(reply).headers))["x-upstream-request-id"] == "theirs-1"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", {"date": None, "x-accel-buffering": None}),
        (b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", {"date": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        (b"content-type: text/event-stream\r\n", {"x-accel-buffering": "no"}),
        (b"content-type: text/event-stream\r\nx-accel-buffering: yes\r\n", {"x-accel-buffering": "yes"}),
    ],
    ids=["none", "date", "stream", "buffered stream"],
)
def test_an_answer_has_a_date_and_a_stream_is_not_to_be_buffered(
    gate: Fixture, backend: Fixture, sent: bytes, expected: dict[str, str | None]
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(OK.replace(b"\r\n", b"\r\n" + sent, 1))
    reply = client.read_reply()
    assert reply.header("date").endswith(" GMT")
    found = dict(reply.headers)
    for name, value in expected.items():
        if value is not None:
            assert reply.header(name) == value
        elif name != "date":
            assert name not in found


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 12345\r\n\r\n"),
    ],
)
def test_an_answer_without_a_body_leaves_both_connections_usable(
    new_gate: Fixture, backend: Fixture, method: str, head: bytes
) -> None:
    client = new_gate.connect()
    wire = None
    for _ in range(2):
        client.send(new_gate.head(method=method))
        wire = wire or backend.accept()
        wire.read_head()
        wire.send(head)
        answer = client.read_head()
        assert answer.split(b" ", 2)[1] == head.split(b" ", 2)[1]
        assert (b"content-length: 12345" in answer) == (b"12345" in head)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops",
        b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_whatever_the_backend_says_is_passed_on_and_asked_once(
    gate: Fixture, backend: Fixture, answer: bytes
) -> None:
    client = gate.send(body=b"{}")
    wire = backend.accept()
    wire.read_head()
    wire.send(answer)
    reply = client.read_reply("POST")
    assert reply.status == int(answer[9:12])
    assert gate.end_of(reply).status == reply.status
    assert gate.end_of(reply).error is None
    assert not backend.has_connection()


def test_informational_answers_are_waited_out(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK)
    assert client.read_reply().status == 200


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"data: 1\n\n", "client_closed"),  # between two events: it has what it wants
        (b"data: 1\r\n\r\n", "client_closed"),
        (b"data: 1\r\r", "client_closed"),
        (b"data: 1\n", "client_abort"),
        (b"data: 1", "client_abort"),
    ],
)
def test_a_client_that_leaves_mid_stream_frees_the_backend(
    gate: Fixture, backend: Fixture, event: bytes, reason: str
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM)
    wire.send_chunk(event)
    client.read_until(b"data: 1")
    client.close()
    wire.wait_closed(1.0)
    end = gate.wait_for_end()
    assert (end.error, end.status, end.response_size, end.chunks) == (reason, 200, len(event), 1)


def test_a_client_that_leaves_in_the_middle_of_a_plain_answer_has_aborted_it(
    gate: Fixture, backend: Fixture
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nend of a line\n\n")
    client.read_until(b"line\n\n")
    client.close()
    wire.wait_closed(1.0)
    assert gate.wait_for_end().error == "client_abort"


def test_a_client_that_leaves_before_the_head_frees_the_backend(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    client.reset()
    wire.wait_closed(1.0)
    end = gate.wait_for_end()
    assert (end.error, end.status) == ("client_abort", None)


@pytest.mark.parametrize("framing", ["content-length: 100", "transfer-encoding: chunked"])
def test_a_client_that_leaves_during_its_upload_frees_the_backend(
    gate: Fixture, backend: Fixture, framing: str
) -> None:
    client = gate.connect()
    client.send(gate.head(method="POST", headers=[framing]) + b"5\r\nhello\r\n")
    wire = backend.accept()
    wire.read_until(b"hello")
    client.close()
    wire.wait_closed(1.0)
    end = gate.wait_for_end()
    assert (end.error, end.status) == ("client_abort", None)


def test_a_bad_chunk_ends_the_upload_and_completes_nothing(gate: Fixture, backend: Fixture) -> None:
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["transfer-encoding: chunked"]) + b"5\r\nhello\r\n")
    wire = backend.accept()
    wire.read_until(b"hello\r\n")
    client.send(b"zz\r\n")
    assert b"0\r\n\r\n" not in wire.read_rest()
    assert gate.wait_for_end().error is not None


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsho",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_backend_that_breaks_off_breaks_off_for_the_client(
    gate: Fixture, backend: Fixture, start: bytes, how: str
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(start)
    client.read_until(b"sho")
    getattr(wire, how)()
    assert not client.read_rest().endswith(b"0\r\n\r\n")
    end = gate.wait_for_end()
    assert (end.error, end.status) == ("upstream_truncated", 200)


def test_a_client_library_sees_the_broken_transfer(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n")
    wire.close()
    with pytest.raises(IncompleteRead):
        client.read_reply()


def test_a_body_that_ends_with_the_connection_is_whole(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    wire.close()
    reply = client.read_reply()
    assert reply.body == b"all of it"
    assert gate.end_of(reply).error is None


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nx-large: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "ssh", "99", "1000", "999", "101", "lengths", "headers"],
)
def test_an_answer_that_is_no_http_is_a_502(
    gate: Fixture, backend: Fixture, log: Fixture, nonsense: bytes
) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(nonsense)
    if len(nonsense) < 1000:
        wire.finish_sending()
    reply = client.read_reply()
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (502, "upstream_invalid")
    assert json.loads(reply.body)["error"]["request_id"] == reply.request_id
    end = gate.end_of(reply)
    assert (end.status, end.error, end.response_size) == (502, "upstream_invalid", len(reply.body))
    assert "Traceback" not in log.text


def test_a_chunk_that_is_none_breaks_the_transfer_off(gate: Fixture, backend: Fixture) -> None:
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM + b"5\r\nhello\r\nzz\r\n")
    client.read_until(b"hello")
    assert b"0\r\n\r\n" not in client.read_rest()
    assert gate.wait_for_end().error == "upstream_invalid"


def test_a_backend_that_refuses_connections_is_a_502(make_gate: Fixture, refusing: str) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", refusing)])
    client = gate.send(body=b"{}")
    for _ in range(2):  # the client's connection stays usable
        reply = client.read_reply("POST")
        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (502, "upstream_unreachable")
        assert gate.end_of(reply).error == "upstream_unreachable: refused"
        client.send(gate.head())


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\ncontent-"])
def test_silence_before_the_head_is_a_504(make_gate: Fixture, backend: Fixture, start: bytes) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(timeout=0.2))
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(start)
    reply = client.read_reply()
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (504, "upstream_timeout")
    wire.wait_closed()
    assert gate.end_of(reply).error == "upstream_timeout"


def test_silence_mid_stream_breaks_the_transfer_off(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(timeout=0.2))
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(EVENT_STREAM)
    wire.send_chunk(b"data: 1\n\n")
    assert b"0\r\n\r\n" not in client.read_rest()
    wire.wait_closed()
    end = gate.wait_for_end()
    assert (end.error, end.status, end.response_size) == ("upstream_timeout", 200, 9)


def test_a_chunked_body_over_the_limit_is_a_413_and_aborts_the_backend(
    make_gate: Fixture, backend: Fixture
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(max_body_size=100))
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["transfer-encoding: chunked"]))
    client.send_chunk(b"x" * 60)
    wire = backend.accept()
    wire.read_until(b"x" * 60)
    client.send(b"3c\r\n" + b"x" * 60 + b"\r\n0\r\n\r\n")
    reply = client.read_reply("POST")
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (413, "body_too_large")
    assert "proxy.max_body_size" in json.loads(reply.body)["error"]["message"]
    assert b"0\r\n\r\n" not in wire.read_rest()
    assert (gate.end_of(reply).status, gate.end_of(reply).error) == (413, "body_too_large")
    # It was answered before its end had been read: the last on its connection.
    assert reply.header("connection") == "close"
    client.wait_closed()


def test_a_body_of_the_size_of_the_limit_passes(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(max_body_size=100))
    client = gate.send(body=b"x" * 100)
    wire = backend.accept()
    wire.read_until(b"x" * 100)
    wire.send(OK)
    assert client.read_reply("POST").status == 200


@pytest.mark.parametrize("framing", ["content-length: 8000000", "transfer-encoding: chunked"])
def test_a_large_upload_that_fails_half_way_still_gets_its_answer(
    make_gate: Fixture, refusing: str, framing: str
) -> None:
    # More than the server's queue and all socket buffers hold: somebody has to take the rest.
    proxy = ProxySettings(max_body_size=10_000_000)
    gate = make_gate(routes=[NewRoute("/v1/*", refusing)], proxy=proxy)
    client = gate.connect()
    client.send(gate.head(method="POST", headers=[framing]))
    if "chunked" in framing:
        for _ in range(80):
            client.send_chunk(b"x" * 100_000)
        client.send(b"0\r\n\r\n")
    else:
        client.send(b"x" * 8_000_000)
    reply = client.read_reply("POST")
    assert reply.status == 502
    assert gate.end_of(reply).error == "upstream_unreachable: refused"
    client.wait_closed()


def test_an_early_answer_reaches_a_client_that_is_still_uploading(gate: Fixture, backend: Fixture) -> None:
    client = gate.connect()
    client.send(gate.head(method="POST", headers=["content-length: 8000000"]) + b"x" * 100)
    wire = backend.accept()
    wire.read_until(b"x" * 100)
    wire.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
    wire.finish_sending()
    wire.close()
    client.send(b"x" * 7_999_900)
    reply = client.read_reply("POST")
    assert reply.status in (403, 502)  # the reset may overtake the backend's words
    assert gate.end_of(reply).status == reply.status


def test_two_hundred_aborted_requests_leave_nothing_behind(gate: Fixture, backend: Fixture) -> None:
    before = gate.count_tasks()
    started = len(gate.ends())
    wires = []
    for number in range(200):
        client = gate.connect()
        if number % 3 == 2:
            client.send(gate.head(method="POST", headers=["content-length: 100"]) + b"x")
        else:
            client.send(gate.head())
        wire = backend.accept()
        wire.read_until(b"\r\n\r\n")
        if number % 3 == 1:
            wire.send(EVENT_STREAM)
            wire.send_chunk(b"data: 1\n\n")
            client.read_until(b"data: 1")
        wires.append(wire)
    gate.hang_up()
    for wire in wires:
        wire.wait_closed()
    gate.wait_until(lambda: len(gate.ends()) == started + 200)
    gate.wait_until(lambda: gate.count_tasks() <= before)
    assert {end.error for end in gate.ends()[started:]} == {"client_abort", "client_closed"}
    assert len({end.ulid for end in gate.ends()}) == len(gate.ends())


def test_the_connection_to_the_backend_is_used_again(new_gate: Fixture, backend: Fixture) -> None:
    client = new_gate.connect()
    wire = None
    for _ in range(3):
        client.send(new_gate.head())
        wire = wire or backend.accept()
        wire.read_head()
        wire.send(OK)
        assert client.read_reply().body == b"ok"
    assert not backend.has_connection()


def test_shutting_down_lets_a_stream_finish_and_interrupts_it_after_the_grace(
    make_gate: Fixture, backend: Fixture, tmp_path: Path
) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], grace_seconds=0.3)
    finishing, endless = gate.send(), gate.send()
    wires = [backend.accept(), backend.accept()]
    for wire in wires:
        wire.read_head()
        wire.send(EVENT_STREAM)
        wire.send_chunk(b"data: 1\n\n")
    finishing.read_until(b"data: 1")
    endless.read_until(b"data: 1")
    gate.begin_stop()
    for wire in wires[:1]:
        wire.send_chunk(b"data: 2\n\n")
        wire.send(b"0\r\n\r\n")
    done, cut = finishing.read_rest(), endless.read_rest()
    assert sorted([done.endswith(b"0\r\n\r\n"), cut.endswith(b"0\r\n\r\n")]) == [False, True]
    gate.wait_until(lambda: len(gate.ends()) == 2)
    assert {end.error for end in gate.ends()} == {None, "interrupted"}


@pytest.mark.parametrize("part", ["waiting", "uploading", "inspected"])
def test_a_client_that_has_nothing_yet_when_the_grace_is_over_is_told_so_and_so_is_its_row(
    make_gate: Fixture, backend: Fixture, part: str
) -> None:
    schema = {"type": "object"} if part == "inspected" else None
    route = NewRoute("/v1/*", backend.host, match_body_schema=schema)
    gate = make_gate(routes=[route], grace_seconds=0.2)
    client = gate.connect()
    if part == "waiting":
        client.send(gate.head())
    else:
        client.send(gate.head(method="POST", headers=["content-length: 9"]) + b"{")
    if part == "inspected":
        gate.wait_until(lambda: gate.ask("/elsewhere").status == 404)
    else:
        wire = backend.accept()
        wire.read_head()
    gate.begin_stop()
    reply = client.read_reply()
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["request_id"]) == (503, "overloaded", reply.request_id)
    end = gate.end_of(reply)
    assert (end.status, end.error, end.response_size) == (503, "interrupted", len(reply.body))


def test_a_route_can_have_what_nobody_waits_for_read_to_its_end(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host, on_client_abort="drain")])
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    wire.send_chunk(b"one")
    client.read_until(b"one")
    client.close()
    for _ in range(100):
        wire.send_chunk(b"x" * 10_000)
    wire.send(b"0\r\n\r\n")
    end = gate.wait_for_end()
    assert (end.status, end.error, end.response_size) == (200, "client_abort", 1_000_003)


def test_a_silent_stream_shows_that_it_lives(make_gate: Fixture, backend: Fixture) -> None:
    gate = make_gate(routes=[NewRoute("/v1/*", backend.host)], proxy=ProxySettings(stream_keepalive=0.01))
    client = gate.send()
    wire = backend.accept()
    wire.read_head()
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    wire.send_chunk(b"data: 1\n\n")
    client.read_until(b"data: 1\n\n")
    client.read_until(b": keep-alive\n\n")
    wire.send(b"0\r\n\r\n")
    client.read_until(b"0\r\n\r\n")
    assert gate.wait_for_end().response_size == len(b"data: 1\n\n")
