"""Row 24: clients that leave in the middle, one by one and ten thousand times."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress

import pytest

from tests.hardening.arrivals import Arrival
from tests.hardening.gate import Gate, wait_for
from tests.hardening.measures import count_files, count_threads, resident_bytes
from tests.hardening.plays import STREAM_HEAD, hold, stream_pieces

pytestmark = pytest.mark.usefixtures("serving")
EVENT = b"data: event\n\n"
DRAINED_BYTES = 8 * 1024 * 1024  # more than all buffers between the backend and the client hold
WARM_UP, REQUESTS, AT_ONCE = 1000, 10_000, 200
GROWTH_BYTES_MAX = 32 * 1024 * 1024
FILES_MAX = 256 + 16  # idle connections to the backend that are kept, and a few files of the journal
STREAM_EVENTS = 30


@pytest.fixture(scope="module")
def settings() -> str:
    return "proxy: {client_timeout: 5}\naudit: {include_body: true, body_max_size: 10KB}"


@pytest.mark.parametrize(
    ("piece", "reason"), [(EVENT, "client_closed"), (EVENT[:-1], "client_abort")], ids=["row 22", "row 24"]
)
@pytest.mark.parametrize("by_reset", [False, True], ids=["FIN", "RST"])
def test_a_stream_is_closed_upstream_when_its_client_leaves(
    gate: Gate, by_reset: bool, piece: bytes, reason: str
) -> None:
    """One that is left between two whole events was closed by somebody who had enough."""
    path = gate.new_path(stream_pieces(piece, pause_seconds=0.05))
    client = gate.connect()
    client.send(gate.head(path))
    assert client.read_head()[0] == 200
    read = client.read_some(3 * len(piece))
    client.reset() if by_reset else client.close()
    gate.seen_of(path).link.wait_ended()
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["status_code"]) == (reason, 200)
    assert row["response_size"] >= 2 * len(piece)
    assert row["stream_chunks"] >= 2
    assert row["response_body"].encode().count(piece) >= read.count(piece)
    assert row["response_time"] >= row["first_response_time"] >= row["request_time"]


def test_a_stream_that_is_silent_is_closed_upstream(gate: Gate) -> None:
    """Row 24: nothing has to be sent for it to be noticed."""

    async def be_silent(arrival: Arrival) -> None:
        await arrival.link.send(STREAM_HEAD + b"d\r\n" + EVENT + b"\r\n")
        await arrival.link.wait_closed()

    path = gate.new_path(be_silent)
    client = gate.connect()
    client.send(gate.head(path))
    client.read_head()
    client.close()
    gate.seen_of(path).link.wait_ended()
    assert gate.reason(path) == "client_closed"


def test_a_client_that_leaves_before_the_answer_leaves_nothing_upstream(gate: Gate) -> None:
    """Row 24."""
    path = gate.new_path(hold)
    client = gate.connect()
    client.send(gate.head(path, "content-length: 4", method="POST") + b"body")
    (arrival,) = gate.backend.wait_for(path, is_whole=True)
    client.close()
    arrival.link.wait_ended()
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["status_code"], row["request_size"]) == ("client_abort", None, 4)
    assert row["request_body"] == "body"


def test_a_client_that_leaves_during_its_upload_leaves_nothing_upstream(gate: Gate) -> None:
    """Row 24."""
    path, piece = gate.new_path(), b"u" * 100_000
    client = gate.connect()
    client.send(gate.head(path, "content-length: 1000000", method="POST") + piece)
    (arrival,) = gate.backend.wait_for(path)
    gate.backend.wait_until(lambda: bytes(arrival.body) == piece)
    client.close()
    arrival.link.wait_ended()
    assert not arrival.is_whole
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["request_size"]) == ("client_abort", len(piece))


def test_a_client_that_leaves_a_pipeline_has_the_rest_undone(gate: Gate) -> None:
    """Row 24."""
    paths = [gate.new_path(hold) for _ in range(5)]
    client = gate.connect()
    client.send(b"".join(gate.head(path) for path in paths))
    (arrival,) = gate.backend.wait_for(paths[0])
    client.close()
    arrival.link.wait_ended()
    gate.check_serves()
    assert not any(gate.backend.seen(path) for path in paths[1:])


def test_a_route_that_drains_reads_what_the_client_does_not_wait_for(gate: Gate) -> None:
    """Row 24."""
    gate.write("UPDATE proxy_routes SET on_client_abort = 'drain' WHERE route_id = ?", gate.route_id)

    async def send_all(arrival: Arrival) -> None:
        await arrival.link.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % DRAINED_BYTES)
        await arrival.link.send(bytes(DRAINED_BYTES))

    path = gate.new_path(send_all)
    client = gate.connect(receive_bytes=4096)
    client.send(gate.head(path))
    client.read_head()
    client.reset()
    (row,) = gate.rows("path = ?", path)
    assert (row["error_message"], row["response_size"]) == ("client_abort", DRAINED_BYTES)
    assert gate.seen_of(path).is_answered
    gate.write("UPDATE proxy_routes SET on_client_abort = 'cancel' WHERE route_id = ?", gate.route_id)


async def visit(gate: Gate, paths: list[str], rng: random.Random) -> None:
    """Send a request in part or whole, read some of the answer or all of it, and leave, well or badly."""
    path, body = rng.choice(paths), rng.randbytes(rng.choice((0, 10, 5000)))
    request = gate.head(path, f"content-length: {len(body)}", method="POST") + body
    cut = rng.choice((len(request), len(request), rng.randrange(len(request))))
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        writer.write(request[:cut])
        await writer.drain()
        wanted = rng.choice((0, 1, 200, 500, 100_000)) if cut == len(request) else 0
        received = b""
        while len(received) < wanted and not received.endswith((path.encode(), b"\r\n0\r\n\r\n")):
            if not (data := await reader.read(wanted - len(received))):
                break
            received += data
    if rng.random() < 0.5:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def visit_often(gate: Gate, paths: list[str], count: int, rng: random.Random) -> None:
    left = iter(range(count))

    async def visit_in_turn(own: random.Random) -> None:
        for _ in left:
            await visit(gate, paths, own)

    await asyncio.gather(*(visit_in_turn(random.Random(rng.random())) for _ in range(AT_ONCE)))


def settle(gate: Gate) -> None:
    """Return once the gateway serves nothing, and uses no connection to the backend."""
    wait_for(lambda: gate.metric("fastgate_requests_in_flight"), lambda count: count == 0)
    gate.backend.wait_until(lambda: gate.backend.busy == 0)


def test_10_000_clients_that_leave_at_random_moments_leave_nothing_behind(gate: Gate) -> None:
    """Row 24: seeded, so that a run can be repeated."""
    rng = random.Random(24)
    paths = [gate.new_path(), gate.new_path(stream_pieces(EVENT, count=STREAM_EVENTS, pause_seconds=0.002))]
    asyncio.run(visit_often(gate, paths, WARM_UP, rng))
    settle(gate)
    files, threads, memory = count_files(gate.pid), count_threads(gate.pid), resident_bytes(gate.pid)
    asyncio.run(visit_often(gate, paths, REQUESTS, rng))
    settle(gate)
    seen = [arrival for path in paths for arrival in gate.backend.seen(path)]
    assert len(seen) > (WARM_UP + REQUESTS) / 2
    open_links = sum(not link.has_ended for link in gate.backend.links)
    assert count_files(gate.pid) <= files + FILES_MAX
    assert open_links <= FILES_MAX
    assert count_threads(gate.pid) == threads
    assert resident_bytes(gate.pid) - memory <= GROWTH_BYTES_MAX
    check_rows(gate, paths, {arrival.request_id for arrival in seen})


def check_rows(gate: Gate, paths: list[str], request_ids: set[str]) -> None:
    """Check that what the backend has seen has one row each, and that every row has ended as it may."""
    wait_for(
        lambda: {row["request_id"] for row in gate.rows("path IN (?, ?)", *paths)},
        lambda told: told >= request_ids,
    )
    rows = gate.rows("path IN (?, ?)", *paths)
    assert len({row["request_id"] for row in rows}) == len(rows)
    assert {row["error_message"] for row in rows} <= {None, "client_abort", "client_closed"}
