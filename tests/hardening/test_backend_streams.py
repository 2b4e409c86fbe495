"""Row 38: a stream passes as it comes: no byte is held back, merged with others or left out.

No clock decides that: in lock-step a backend sends a piece only when the client has the one before, so that a
gateway which holds one back would wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.hardening.answers import (
    EVENT_STREAM,
    answer,
    chunk,
    chunked,
    chunked_head,
    cut,
    head,
    in_steps,
    plain,
)
from tests.hardening.backend_fixtures import Gate, run_gate
from tests.hardening.faults import Call
from tests.hardening.raw import RawClient

EVENT = 'data: {"choices": [{"delta": {"content": "né"}}]}\n\n'.encode()
PIECES = {
    "three-pieces": (EVENT[:11], EVENT[11:30], EVENT[30:]),
    "half-a-character": (EVENT[: EVENT.index(b"\xc3") + 1], EVENT[EVENT.index(b"\xc3") + 1 :]),
    "byte-by-byte": tuple(bytes([byte]) for byte in EVENT),
    "event-by-event": (EVENT, b": comment\n\n", b"event: x\r\ndata: y\r\n\r\n", b"data: [DONE]\n\n"),
    "no-newline-at-all": (b"a", b"b" * 5000, b"c"),
}
KEEPALIVE_SECONDS = 0.2
SILENT_SECONDS = 5 * KEEPALIVE_SECONDS
NOT_FOR_COMMENTS = {
    "json-lines": (chunked_head("content-type: application/x-ndjson"), chunk),
    "encoded": (chunked_head(*EVENT_STREAM, "content-encoding: gzip"), chunk),
    "content-length": (head(*EVENT_STREAM, "content-length: 4"), bytes),
}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    # Neither the client's time-out nor that of an idle connection is about a stream that is silent.
    impatient = "client_timeout: 1, keep_alive_timeout: 1"
    with run_gate(tmp_path_factory.mktemp("gate"), proxy=impatient) as served:
        yield served


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway that sends comments while an event stream is silent."""
    settings = f"stream_keepalive: {KEEPALIVE_SECONDS}"
    with run_gate(tmp_path_factory.mktemp("lively"), proxy=settings) as served:
        yield served


def read_piece(client: RawClient, size: int, *, is_chunked: bool) -> bytes:
    """Return the next bytes of a body, however they are cut."""
    if not is_chunked:
        return client.read_exactly(size)
    piece = client.read_chunk()
    while len(piece) < size:
        piece += client.read_chunk()
    return piece


@pytest.mark.parametrize("framing", ["chunked", "content-length", "until-close"])
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_each_piece_is_passed_on_before_the_next_is_sent(
    gate: Gate, pieces: tuple[bytes, ...], framing: str
) -> None:
    steps, body = gate.backend.steps(), b"".join(pieces)
    lines = {"chunked": "transfer-encoding: chunked", "until-close": "connection: close"}
    sent = [chunk(piece) for piece in pieces] if framing == "chunked" else list(pieces)
    last = chunk(b"") if framing == "chunked" else b""
    script = in_steps(
        steps, head(lines.get(framing, f"content-length: {len(body)}"), *EVENT_STREAM), *sent, last
    )

    async def play(call: Call) -> None:
        await script(call)
        if framing == "until-close":
            call.connection.close()

    gate.backend.play("/f/steps", play)
    client = gate.connect()
    client.send(gate.request("/f/steps", method="POST", body=b"{}"))
    assert client.read_head()[0] == 200  # the head is there before there is a body
    for piece in pieces:
        steps.confirm()
        assert read_piece(client, len(piece), is_chunked=framing != "content-length") == piece
    steps.confirm()
    assert framing == "content-length" or client.read_chunk() == b""


@pytest.mark.parametrize(
    "body",
    [
        b"".join(b"data: %d\n\n" % number for number in range(10_000)),
        b"data: " + b"x" * (8 * 1024 * 1024) + b"\n\ndata: [DONE]\n\n",
        EVENT * 3,
        b"data: [DONE]\n\n" + EVENT,
        b"",
    ],
    ids=["10000-events-at-once", "8-MB-event", "no-done", "more-after-done", "no-event"],
)
def test_a_stream_arrives_to_the_byte_and_ends_as_it_ended(gate: Gate, body: bytes) -> None:
    data = chunked(body, headers=EVENT_STREAM) if body else chunked(headers=EVENT_STREAM)
    client = gate.connect()
    gate.backend.play("/f/stream", answer(data))
    streamed = client.ask(gate.request("/f/stream", method="POST", body=b"{}"))
    assert (streamed.status, streamed.is_whole) == (200, True)
    assert streamed.body == body
    row = gate.row(streamed)
    assert (row["response_size"], row["error_message"]) == (len(body), None)
    assert bool(row["is_stream"])
    assert client.ask(gate.request("/f/next")).body == b"ok"


def test_a_long_silence_ends_nothing_and_adds_nothing(gate: Gate) -> None:
    async def play(call: Call) -> None:
        await asyncio.sleep(2.5)
        await call.send(chunked_head(*EVENT_STREAM) + chunk(EVENT))
        await asyncio.sleep(2.5)
        await call.send(chunk(EVENT) + chunk(b""))

    streamed = gate.ask("/f/silent", play)
    assert (streamed.body, streamed.is_whole) == (EVENT * 2, True)


@pytest.mark.parametrize("size", [0, 4, len(EVENT)])
def test_a_stream_that_breaks_off_never_ends_cleanly(gate: Gate, size: int) -> None:
    data = chunked_head(*EVENT_STREAM) + (chunk(EVENT[:size]) if size else b"")
    broken = gate.ask("/f/broken", cut(data, len(data)))
    assert (broken.status, broken.body, broken.is_whole) == (200, EVENT[:size], False)
    assert gate.row(broken)["error_message"] == "upstream_truncated"


def test_comments_keep_a_silent_event_stream_alive_between_events_only(lively: Gate) -> None:
    steps = lively.backend.steps()
    # Silences: between two events, within a line, and behind a line of an event that is not over.
    pieces = (EVENT, b"data: ha", b"lf\n", b"data: of it\n", b"\n", b"data: [DONE]\n\n")

    async def play(call: Call) -> None:
        await call.send(chunked_head(*EVENT_STREAM) + chunk(pieces[0]))
        await steps.wait()
        for piece in pieces[1:]:
            await call.send(chunk(piece))
            await asyncio.sleep(SILENT_SECONDS)
        await call.send(chunk(b""))

    lively.backend.play("/f/lively", play)
    client = lively.connect()
    client.send(lively.request("/f/lively", method="POST", body=b"{}"))
    client.read_head()
    received = client.read_chunk()
    while b"\n:" not in received:
        received += client.read_chunk()
    steps.confirm()
    while data := client.read_chunk():
        received += data
    kept, comments = drop_comments(received)
    assert kept == b"".join(pieces)
    assert comments


@pytest.mark.parametrize(("sent_head", "frame"), NOT_FOR_COMMENTS.values(), ids=NOT_FOR_COMMENTS)
def test_no_comment_gets_into_a_body_that_cannot_hold_one(
    lively: Gate, sent_head: bytes, frame: type[bytes]
) -> None:
    async def play(call: Call) -> None:
        await call.send(sent_head + frame(b"a\n"))
        await asyncio.sleep(SILENT_SECONDS)
        await call.send(frame(b"b\n") + (b"0\r\n\r\n" if frame is chunk else b""))

    answered = lively.ask("/f/other", play)
    assert (answered.body, answered.is_whole) == (b"a\nb\n", True)


def test_an_answer_that_is_no_stream_gets_no_comment(lively: Gate) -> None:
    async def play(call: Call) -> None:
        await asyncio.sleep(SILENT_SECONDS)
        await call.send(plain(b"late"))

    assert lively.ask("/f/plain", play).body == b"late"


def drop_comments(body: bytes) -> tuple[bytes, int]:
    """Return an event stream without the comments that stand between events, and how many those were."""
    kept, comments = [], 0
    is_between, follows_comment = True, False
    for line in body.splitlines(keepends=True):
        if is_between and line.startswith(b":"):
            comments, follows_comment = comments + 1, True
        elif follows_comment and line == b"\n":
            follows_comment = False  # a blank line may end the comment
        else:
            kept.append(line)
            is_between, follows_comment = line == b"\n", False
    return b"".join(kept), comments
