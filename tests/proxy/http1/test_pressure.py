"""Whoever does not read makes the other side wait, and memory stays bounded; whoever reads again goes on."""

from __future__ import annotations

import threading

import pytest

from proxy.http1.limits import QUEUED_BODY_BYTES_MAX
from tests.proxy.http1.bench import Bench
from tests.proxy.http1.conftest import Serve, Served
from tests.proxy.http1.played import Played, echo, get, hold, post
from tests.proxy.sockets import TIMEOUT_SECONDS, Wire, wait_until

READ_BYTES_MAX = 256 * 1024  # what the event loop reads at once
KERNEL_BYTES_MAX = 16 * 1024 * 1024  # what two socket buffers may hold


def queued_bytes(served: Served) -> int:
    """Return what the connections hold of bodies for which no exchange has begun."""

    def count() -> int:
        pipelines = [connection._pipeline for connection in served.server._connections]
        return sum(pipeline.body_bytes for pipeline in pipelines if pipeline is not None)

    found = served.call(count)
    assert isinstance(found, int)
    return found


def send_until_full(client: Wire, piece: bytes) -> int:
    """Send until nobody takes any more for a while; return how many bytes were taken of whole pieces."""
    client._sock.settimeout(0.3)
    sent = 0
    try:
        while sent < 4 * KERNEL_BYTES_MAX:
            client._sock.sendall(piece)
            sent += len(piece)
    except TimeoutError:
        pass
    client._sock.settimeout(TIMEOUT_SECONDS)
    return sent


def pausing(exchange: Played, event: str) -> None:
    """Pause at the first piece of a body; answer with its size."""
    if event == "body" and len(exchange.pieces) == 1 and exchange.path == "/pause":
        exchange.client.pause()
    elif event == "body_end":
        exchange.answer(b"%d" % len(exchange.body))


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", f"Content-Length: {1 << 40}"])
@pytest.mark.parametrize("recognises", [False, True])
def test_an_upload_that_nobody_reads_is_taken_only_as_far_as_there_is_room(
    serve: Serve, framing: str, *, recognises: bool
) -> None:
    served = serve(pausing, recognises=recognises)
    head = get("/pause", framing, method="POST")
    if recognises and "Length" in framing:
        served.connect(head)
        served.wait_for("/pause")
    client = served.connect(head)
    piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    assert send_until_full(client, piece) < KERNEL_BYTES_MAX
    assert served.call(lambda: sum(len(each.body) for each in served.handler.exchanges)) <= 2 * READ_BYTES_MAX


def test_an_upload_that_had_to_wait_goes_on_when_there_is_room(serve: Serve) -> None:
    served = serve(pausing)
    client = served.connect()
    sender = threading.Thread(target=client.send, args=(post(b"x" * 30_000_000, "/pause") + get("/next"),))
    sender.start()
    exchange = served.wait_for("/pause", "body")
    assert not exchange.has_body
    served.call(exchange.client.resume)
    assert client.read_until(b"30000000").startswith(b"HTTP/1.1 200")
    assert client.read_until(b"\r\n\r\n0").startswith(b"HTTP/1.1 200")
    sender.join()


@pytest.mark.parametrize("piece", [post(b"x" * 60_000, "/next"), post(b"x" * 900, "/next")])
def test_pipelined_bodies_share_the_room_of_one_connection(serve: Serve, piece: bytes) -> None:
    served = serve(hold)
    client = served.connect(get("/wait"))
    exchange = served.wait_for("/wait")
    # The server stops reading before it has all of it, and the system's buffers may be short.
    sender = threading.Thread(target=client.send, args=(piece * 31,))
    sender.start()
    wait_until(lambda: queued_bytes(served) >= 900 * 31)
    assert queued_bytes(served) <= QUEUED_BODY_BYTES_MAX + READ_BYTES_MAX
    served.call(exchange.answer)
    body = b"POST /next " + b"x" * (60_000 if len(piece) > 60_000 else 900)
    client.read_head()
    for _ in range(31):
        client.read_head()
        assert client.read_exactly(len(body)) == body
    sender.join()


def test_pipelined_bodies_that_fill_the_room_are_all_read_in_the_end(serve: Serve) -> None:
    served = serve(hold)
    bodies = [bytes([number]) * size for number, size in enumerate((100_000, 10, 70_000, 300_000, 1))]
    client = served.connect(get("/wait"))
    stream = b"".join(post(body, f"/{number}") for number, body in enumerate(bodies))
    sender = threading.Thread(target=client.send, args=(stream,))
    sender.start()
    served.call(served.wait_for("/wait").answer)
    client.read_head()
    for number, body in enumerate(bodies):
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.read_exactly(len(body) + 8) == b"POST /%d " % number + body
    sender.join()


def test_a_stream_that_nobody_takes_waits_and_goes_on(serve: Serve) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            exchange.begin()
        if event in ("body_end", "goes on"):
            while "held back" not in exchange.events[-1] and exchange.sent < 400:
                exchange.sent += 1
                exchange.client.send_body(b"x" * 100_000)
            if exchange.sent == 400 and not exchange.is_over:
                exchange.end()

    served = serve(play)
    client = served.connect(get(), receive_bytes=65536)
    client.read_head()
    served.wait_full()
    (exchange,) = served.handler.exchanges
    assert exchange.sent * 100_000 < KERNEL_BYTES_MAX
    for _ in range(400):
        assert client.read_exactly(100_009)[-3:] == b"x\r\n"
    assert client.read_exactly(5) == b"0\r\n\r\n"
    client.send(get())
    assert client.read_head().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_while_it_takes_nothing_is_noticed(serve: Serve, how: str) -> None:
    served = serve(hold)
    client = served.connect(get("/hold"), receive_bytes=4096)
    exchange = served.wait_for("/hold")

    def send() -> None:
        exchange.begin()
        exchange.client.send_body(b"x" * KERNEL_BYTES_MAX)

    served.call(send)
    served.wait_full()
    getattr(client, how)()
    wait_until(lambda: served.server.connections == 0)
    assert exchange.events == ["start", "body_end", "held back", "left client_abort"]


def test_connections_that_are_idle_hold_nothing_of_what_went_over_them() -> None:
    bench = Bench(echo).feed(post(b"x" * 200_000))
    connection = bench.connection
    held = [
        getattr(connection, name, None)
        for kind in type(connection).__mro__
        for name in getattr(kind, "__slots__", ())
    ]
    assert not [each for each in held if isinstance(each, bytes | bytearray) and len(each) > 1000]
    assert (connection._exchange, connection._pipeline, connection._backlog, connection._raw) == (None,) * 4
