"""Row 23: clients that send slowly, and clients that take nothing of what they are sent."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator

import pytest

from tests.hardening.client import RawClient
from tests.hardening.gate import Gate, wait_for
from tests.hardening.measures import count_files, resident_bytes
from tests.hardening.plays import stream_pieces

pytestmark = pytest.mark.usefixtures("serving")
READERS = 500
MEMORY_BYTES_MAX = 256 * 1024 * 1024
SLOW_PIECES, SLOW_SECONDS = 64, 7.0  # longer than any one wait of the gateway for more
TRICKLE_SECONDS = 0.2  # well within the client's time-out, so that only a whole head is bounded


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 1}"


@pytest.fixture
def files_enough() -> Iterator[None]:
    """Let this process open enough sockets, for both ends of every stream."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * READERS
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def trickle(client: RawClient, piece: bytes) -> threading.Event:
    """Send a piece over and over until the gateway closes; return how to stop."""
    stopping = threading.Event()

    def send() -> None:
        try:
            while not stopping.wait(TRICKLE_SECONDS):
                client.send(piece)
        except OSError:
            return

    threading.Thread(target=send, daemon=True).start()
    return stopping


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="row 23: nothing"),
        pytest.param(b"G", id="row 23: one byte"),
        pytest.param(b"\r\n\r\n", id="row 23: empty lines"),
        pytest.param(b"GET /t/slow HTTP/1.1\r\n", id="row 23: a request line"),
        pytest.param(b"GET /t/slow HTTP/1.1\r\nhost: gate.test\r\nx-a: ", id="row 23: half a header"),
    ],
)
def test_a_head_that_does_not_come_is_given_up(gate: Gate, part: bytes) -> None:
    client = gate.connect()
    client.send(part)
    rest = client.read_rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_comes_byte_by_byte_is_given_up(gate: Gate) -> None:
    """Row 23: the time-out is for the head as a whole."""
    client = gate.connect()
    client.send(b"GET /t/slow HTTP/1.1\r\nhost: gate.test\r\nx-a: ")
    stopping = trickle(client, b"v")
    response = client.read_response()
    stopping.set()
    assert (response.status, response.code, response.error["request_id"]) == (
        408,
        "bad_request",
        response.request_id,
    )
    assert client.is_closed()
    assert gate.backend.seen("/t/slow") == []


@pytest.mark.parametrize("framing", ["content-length: 10", "transfer-encoding: chunked"])
@pytest.mark.parametrize("part", [b"", b"5\r\nfirst"], ids=["row 23: no body", "row 23: half a body"])
def test_a_body_that_stops_is_given_up(gate: Gate, framing: str, part: bytes) -> None:
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, framing, method="POST") + part)
    response = client.read_response(b"POST")
    assert (response.status, response.code) == (408, "bad_request")
    assert client.is_closed()
    for arrival in gate.backend.seen(path):
        arrival.link.wait_ended()
        assert not arrival.is_whole
    assert gate.reason(path) == "client_timeout"


def test_a_refused_client_that_goes_on_sending_slowly_is_left(gate: Gate) -> None:
    """Row 23: an answer is waited for no longer than it takes to read it."""
    path = gate.new_path()
    client = gate.connect()
    client.send(gate.head(path, "content-length: 1000000", method="POST", key="fg_nobody"))
    stopping = trickle(client, b"u")
    assert client.read_response(b"POST").status == 401
    assert client.is_closed()
    stopping.set()
    files = count_files(gate.pid)
    wait_for(lambda: count_files(gate.pid), lambda count: count < files or count_idle(gate) == 0)


def count_idle(gate: Gate) -> float:
    return gate.metric("fastgate_requests_in_flight")


def test_one_reader_that_takes_nothing_is_given_up(gate: Gate) -> None:
    """Row 23."""
    path = gate.new_path(stream_pieces(b"data: " + b"e" * 4096 + b"\n\n"))
    client = gate.connect(receive_bytes=4096)
    client.send(gate.head(path))
    (arrival,) = gate.backend.wait_for(path)
    arrival.link.wait_ended()
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["status_code"]) == ("client_slow", 200)
    assert row["response_size"] > 0


def test_a_reader_that_takes_a_little_now_and_then_is_kept(gate: Gate) -> None:
    """Row 23: slow is not the same as gone."""
    pieces = 3000
    path = gate.new_path(stream_pieces(b"data: " + b"e" * 1018 + b"\n\n", count=pieces))
    client = gate.connect(receive_bytes=4096)
    client.send(gate.head(path))
    pause = threading.Event()
    for _ in range(12):
        client.read_some(8192)
        pause.wait(TRICKLE_SECONDS)
    rest = client.read_until_end_of_chunks()
    assert rest.endswith(b"\r\n0\r\n\r\n")
    (row,) = gate.rows("path = ?", path)
    assert row["error_message"] is None
    assert row["response_size"] == pieces * 1026


def test_500_readers_at_once_that_take_nothing_leave_memory_bounded(gate: Gate, files_enough: None) -> None:
    """Row 23."""
    path = gate.new_path(stream_pieces(b"data: " + b"e" * 16384 + b"\n\n"))
    for _ in range(READERS):
        gate.connect(receive_bytes=4096).send(gate.head(path))
    most = resident_bytes(gate.pid)

    def all_given_up() -> bool:
        nonlocal most
        most = max(most, resident_bytes(gate.pid))
        seen = gate.backend.seen(path)
        return len(seen) == READERS and all(arrival.link.has_ended for arrival in seen)

    gate.backend.wait_until(all_given_up)
    assert most <= MEMORY_BYTES_MAX
    rows = gate.rows("path = ?", path, count=READERS)
    assert {row["error_message"] for row in rows} == {"client_slow"}
    assert len(rows) == READERS
    assert gate.metric("fastgate_requests_in_flight") == 0


@pytest.mark.parametrize("refusal", ["bad key", "too large"])
def test_an_upload_that_goes_on_slowly_after_its_refusal_does_not_cost_the_client_the_answer(
    gate: Gate, refusal: str
) -> None:
    """Issue 11, row 6: what ends it is a client that sends next to nothing, not a time in all."""
    client, piece = gate.connect(), b"u" * 1024 * 1024
    line, key = f"content-length: {SLOW_PIECES * len(piece)}", "fg_nobody" if refusal == "bad key" else None
    client.send(gate.head("/t/slow", line, method="POST", key=key))
    pause = threading.Event()
    for _ in range(SLOW_PIECES):
        client.send(piece)
        pause.wait(SLOW_SECONDS / SLOW_PIECES)
    response = client.read_response(b"POST")
    assert response.status == (401 if key else 413)
    assert response.is_whole
    assert client.is_closed()
