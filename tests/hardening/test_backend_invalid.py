"""Rows 31 to 33: answers that are not HTTP, that say too much, or that have a body where none can be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hardening.answers import answer, chunked, chunked_head, head, in_turn, plain
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import Call, Play

LONG = "x" * (120 * 1024)
# What cannot be read, or can be read in two ways, before anything of it was passed on.
BAD_HEADS = {
    "two-lengths": head("content-length: 2", "content-length: 3") + b"ok!",
    "length-list": head("content-length: 2, 3") + b"ok!",
    "length-and-chunks": head("content-length: 2", "transfer-encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n",
    "chunks-and-length": head("transfer-encoding: chunked", "content-length: 2") + b"2\r\nok\r\n0\r\n\r\n",
    "signed-length": head("content-length: +2") + b"ok",
    "negative-length": head("content-length: -2") + b"ok",
    "hex-length": head("content-length: 0x2") + b"ok",
    "huge-length": head("content-length: 99999999999999999999") + b"ok",
    "status-99": head("content-length: 2", status="99 Odd") + b"ok",
    "status-099": head("content-length: 2", status="099 Odd") + b"ok",
    "status-000": head("content-length: 2", status="000 Odd") + b"ok",
    "status-600": head("content-length: 2", status="600 Odd") + b"ok",
    "status-1000": head("content-length: 2", status="1000 Odd") + b"ok",
    "status-word": head("content-length: 2", status="OK") + b"ok",
    "no-status": b"HTTP/1.1\r\ncontent-length: 2\r\n\r\nok",
    "no-version": b"200 OK\r\ncontent-length: 2\r\n\r\nok",
    "other-protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "other-protocol-with-our-version": b"ICE/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "other-protocol-with-rtsp": b"RTSP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "nul-in-reason": head("content-length: 2", status="200 O\0K") + b"ok",
    "http-0.9": b"<html>ok</html>\r\n\r\n",
    "unasked-upgrade": head("upgrade: websocket", "connection: upgrade", status="101 Switching Protocols"),
    "nul-in-value": head("x-odd: a\0b", "content-length: 2") + b"ok",
    "bare-cr-in-value": head("x-odd: a\rb", "content-length: 2") + b"ok",
    "space-before-colon": head("content-length : 2") + b"ok",
    "empty-name": head(": empty", "content-length: 2") + b"ok",
    "long-header": head(f"x-long: {LONG}", "content-length: 2") + b"ok",
    "many-headers": head(*(f"x-{number}: {LONG[:1000]}" for number in range(120))) + b"ok",
    "endless-head": b"HTTP/1.1 200 OK\r\n" + f"x-long: {LONG}".encode(),
    "garbage": bytes(range(256)) * 4 + b"\r\n\r\n",
}
BAD_CHUNKS = {
    "no-size": chunked_head() + b"\r\nok\r\n0\r\n\r\n",
    "not-hex": chunked_head() + b"zz\r\nok\r\n0\r\n\r\n",
    "signed": chunked_head() + b"-2\r\nok\r\n0\r\n\r\n",
    "prefixed": chunked_head() + b"0x2\r\nok\r\n0\r\n\r\n",
    "too-short": chunked_head() + b"1\r\nok\r\n0\r\n\r\n",
    "huge": chunked_head() + b"ffffffffffffffffff\r\nok\r\n0\r\n\r\n",
}
BODILESS = {
    "head": ("HEAD", head("content-length: 6") + b"leaked"),
    "head-chunked": ("HEAD", chunked(b"leaked")),
    "204": ("GET", head(status="204 No Content") + b"leaked"),
    "204-length": ("GET", plain(b"leaked", status="204 No Content")),
    "304": ("GET", head(status="304 Not Modified") + b"leaked"),
    "304-length": ("GET", plain(b"leaked", status="304 Not Modified")),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    late = ("--match", "/late/*", "--timeout", "1")
    with run_gate(tmp_path_factory.mktemp("gate"), routes=[late]) as served:
        yield served


def check_not_reused(gate: Gate, path: str) -> None:
    """Check that the connection of the last call of a path is closed, and that others are answered."""
    last = gate.backend.calls_of(path)[-1].connection
    assert gate.ask("/f/next").body == b"ok"
    assert last.wait_ended() in ("fin", "reset")
    assert gate.backend.calls_of("/f/next")[-1].connection is not last


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS)
def test_an_answer_that_is_not_http_is_a_502_and_its_connection_is_closed(gate: Gate, data: bytes) -> None:
    client = gate.connect()
    gate.backend.play("/late/bad", answer(data))
    bad = client.ask(gate.request("/late/bad", method="POST", body=b"{}"))
    assert (bad.status, bad.error_code) == (502, "upstream_invalid")
    assert b"x-odd" not in dict(bad.headers)
    check_not_reused(gate, "/late/bad")
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_every_answer_that_is_not_http_has_a_row_that_says_so(gate: Gate) -> None:
    for name, data in BAD_HEADS.items():
        gate.ask(f"/late/row/{name}", answer(data))
    for row in gate.wait_for_rows("path LIKE ?", "/late/row/%", count=len(BAD_HEADS)):
        assert (row["status_code"], row["error_message"]) == (502, "upstream_invalid"), row


@pytest.mark.parametrize("data", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_chunk_is_a_502_or_a_broken_transfer(gate: Gate, data: bytes) -> None:
    bad = gate.ask("/f/chunk", answer(data))
    assert bad.status == 502 or not bad.is_whole, bad
    check_not_reused(gate, "/f/chunk")


def test_every_bad_chunk_has_a_row_that_says_so(gate: Gate) -> None:
    for name, data in BAD_CHUNKS.items():
        gate.ask(f"/f/chunk-row/{name}", answer(data))
    for row in gate.wait_for_rows("path LIKE ?", "/f/chunk-row/%", count=len(BAD_CHUNKS)):
        assert row["error_message"] == "upstream_invalid", row


def test_a_bad_chunk_after_good_ones_is_a_broken_transfer(gate: Gate) -> None:
    steps = gate.backend.steps()

    async def play(call: Call) -> None:
        await call.send(chunked_head() + b"4\r\ngood\r\n")
        await steps.wait()
        await call.send(b"zz\r\nbad\r\n0\r\n\r\n")

    client = gate.connect()
    gate.backend.play("/f/chunk-later", play)
    client.send(gate.request("/f/chunk-later"))
    _, headers = client.read_head()
    assert client.read_chunk() == b"good"
    steps.confirm()
    assert client.read_rest() == b""
    (row,) = gate.wait_for_rows("request_id = ?", dict(headers)[b"x-request-id"].decode(), count=1)
    assert row["error_message"] == "upstream_invalid"


@pytest.mark.parametrize("data", [plain(b"asked"), chunked(b"asked")], ids=["content-length", "chunked"])
@pytest.mark.parametrize("extra", [b"more", plain(b"unasked"), b"\r\nHTTP/1.1 200 OK\r\n\r\n"])
def test_bytes_after_an_answer_are_dropped_and_the_connection_is_not_reused(
    gate: Gate, data: bytes, extra: bytes
) -> None:
    client = gate.connect()
    gate.backend.play("/f/extra", answer(data + extra))
    answered = client.ask(gate.request("/f/extra"))
    assert (answered.status, answered.body, answered.is_whole) == (200, b"asked", True)
    check_not_reused(gate, "/f/extra")
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_bytes_that_come_while_a_connection_is_idle_end_it(gate: Gate) -> None:
    steps = gate.backend.steps()

    async def play(call: Call) -> None:
        await call.send(plain(b"asked"))
        await steps.wait()
        await call.send(plain(b"unasked"))

    assert gate.ask("/f/later", play).body == b"asked"
    steps.confirm()
    (call,) = gate.backend.calls_of("/f/later")
    assert call.connection.wait_ended() in ("fin", "reset")
    assert gate.ask("/f/next").body == b"ok"


@pytest.mark.parametrize(("method", "data"), BODILESS.values(), ids=BODILESS)
def test_a_body_where_none_can_be_is_not_forwarded(gate: Gate, method: str, data: bytes) -> None:
    client = gate.connect()
    gate.backend.play("/f/bodiless", answer(data))
    answered = client.ask(gate.request("/f/bodiless", method=method))
    assert (answered.status, answered.body) == (int(data.split(b" ")[1]), b"")
    # The next answer begins right behind the head: not one byte of the body is between them.
    assert client.ask(gate.request("/f/next")).body == b"ok"
    check_not_reused(gate, "/f/bodiless")


def test_a_backend_that_is_mended_is_used_again(gate: Gate) -> None:
    script: Play = in_turn(answer(BAD_HEADS["garbage"]), answer(plain(b"mended")))
    assert gate.ask("/f/mended", script, method="POST", body=b"").status == 502
    assert gate.ask("/f/mended", method="POST", body=b"").body == b"mended"
