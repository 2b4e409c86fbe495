"""All connections of a server: how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from proxy.http1.handler import ABORTED
from tests.proxy.http1.conftest import Serve, Served
from tests.proxy.http1.played import Played, echo, get, hold
from tests.proxy.sockets import TIMEOUT_SECONDS, LogLines, Wire, wait_until

CLOSE = b"connection: close\r\n"


def holding(exchange: Played, event: str) -> None:
    """Leave a request to `/hold...` to the test; of one to `/hold-started` the head is sent."""
    if event == "start" and exchange.path == "/hold-started":
        exchange.begin(200, [(b"content-length", b"3")])
    hold(exchange, event)


def finish(exchange: Played) -> None:
    """Answer a request that was held."""
    if exchange.has_head:
        exchange.client.send_body(b"abc")
        exchange.end()
    else:
        exchange.answer(b"abc")


def drain_in_thread(served: Served, grace_seconds: float = 4 * TIMEOUT_SECONDS) -> threading.Thread:
    draining = threading.Thread(target=served.call, args=(served.server.drain, grace_seconds))
    draining.start()
    wait_until(lambda: served.server.is_stopping)
    return draining


def test_one_connection_too_many_is_a_503_and_there_is_room_when_another_leaves(serve: Serve) -> None:
    served = serve(echo, connections_max=2)
    clients = [served.connect(get()) for _ in range(2)]
    assert [client.read_reply().status for client in clients] == [200, 200]
    refused = served.connect()
    assert (
        refused.read_rest() == b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n" + CLOSE + b"\r\n"
    )
    assert served.server.refusals == {"overloaded": 1}
    clients[0].close()
    wait_until(lambda: served.server.connections == 1)
    assert served.connect(get()).read_reply().status == 200


def test_a_client_of_ipv4_is_known_as_one_where_both_are_served(serve: Serve) -> None:
    """Issue 11, row 7."""
    served = serve(echo, host="::")
    served.connect(get("/4")).read_reply()
    client = Wire(socket.create_connection(("::1", served.port)))
    served.clients.append(client)
    client.send(get("/6"))
    client.read_reply()
    assert [exchange.head.peer for exchange in served.handler.exchanges] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("sent", [b"", get(), get()[:7]], ids=["new", "kept", "in a head"])
def test_draining_closes_connections_that_serve_nothing_and_takes_no_more(serve: Serve, sent: bytes) -> None:
    served = serve(echo)
    client = served.connect(sent)
    if sent == get():
        client.read_until(b"GET / ")
    wait_until(lambda: served.server.connections == 1)
    served.call(served.server.drain, TIMEOUT_SECONDS)
    assert served.server.connections == 0
    assert client.read_rest() == b""
    with pytest.raises(ConnectionRefusedError):
        served.connect()


@pytest.mark.parametrize("before", [b"", get()[:7]], ids=["new", "in a head"])
def test_a_request_that_comes_in_the_moment_of_draining_is_served(serve: Serve, before: bytes) -> None:
    served = serve(echo)
    client = served.connect(before)
    wait_until(lambda: served.server.connections == 1)
    draining = drain_in_thread(served)
    client.send(get()[len(before) :])
    reply = client.read_reply()
    assert (reply.status, dict(reply.headers)["connection"]) == (200, "close")
    draining.join(TIMEOUT_SECONDS)
    assert served.server.connections == 0


def test_draining_waits_for_a_connection_that_the_loop_has_accepted_and_not_told_of(serve: Serve) -> None:
    served = serve(echo)

    async def drain_as_one_arrives() -> int:
        served.connect(get("/"))
        await asyncio.sleep(0)  # now it is accepted
        assert served.server.connections == 0
        await served.server.drain(TIMEOUT_SECONDS)
        return len(served.handler.exchanges)

    assert served.call(drain_as_one_arrives) == 1
    assert served.clients[0].read_reply().status == 200


@pytest.mark.parametrize("path", ["/hold", "/hold-started"])
@pytest.mark.parametrize("behind", [b"", get("/next")], ids=["alone", "pipelining"])
def test_draining_lets_a_request_finish_and_closes_then(serve: Serve, path: str, behind: bytes) -> None:
    served = serve(holding)
    client = served.connect(get(path) + behind)
    exchange = served.wait_for(path, "body_end")
    draining = drain_in_thread(served)
    served.call(finish, exchange)
    answered = client.read_rest()
    assert answered.endswith(b"\r\n\r\nabc")
    client.close()  # or the server lingers, for a client that may still be sending
    assert CLOSE in answered or path == "/hold-started"
    draining.join(TIMEOUT_SECONDS)
    assert not draining.is_alive()
    assert served.server.connections == 0


def test_a_request_is_not_taken_while_the_server_drains(serve: Serve) -> None:
    served = serve(holding)
    client = served.connect(get("/hold"))
    exchange = served.wait_for("/hold")
    served.call(served.server.drain, 0)
    client.send(get("/never"))
    served.call(finish, exchange)
    assert client.read_rest().count(b"HTTP/1.1 200") == 1
    assert served.handler.paths == ["/hold"]


def test_draining_waits_no_longer_than_its_grace_and_stopping_interrupts(serve: Serve) -> None:
    served = serve(holding)
    clients = [served.connect(get(path)) for path in ("/hold", "/hold-started")]
    exchanges = [served.wait_for(path, "body_end") for path in ("/hold", "/hold-started")]
    served.call(served.server.drain, 0.05)
    assert served.server.connections == 2
    served.call(served.server.stop)
    assert served.server.connections == 0
    assert [exchange.events[-1] for exchange in exchanges] == ["interrupted"] * 2
    assert b"abc" not in b"".join(client.read_rest() for client in clients)


def test_what_an_interrupted_request_is_answered_is_sent(serve: Serve) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "interrupted":
            exchange.answer(b"stopping" * 10_000, 503)

    served = serve(play)
    client = served.connect(get("/hold"))
    served.wait_for("/hold")
    stopping = threading.Thread(target=served.call, args=(served.server.stop,))
    stopping.start()
    assert client.read_rest().endswith(b"stopping" * 10_000)
    stopping.join()


def test_an_exchange_that_does_not_heed_is_told_that_its_client_is_gone_and_holds_nobody(
    serve: Serve,
) -> None:
    def play(exchange: Played, event: str) -> None:
        pass

    served = serve(play)
    clients = [served.connect(get(path)) for path in ("/1", "/2")]
    exchanges = [served.wait_for(path) for path in ("/1", "/2")]
    served.call(served.server.stop)
    assert [exchange.events[-2:] for exchange in exchanges] == [["interrupted", f"left {ABORTED}"]] * 2
    for client in clients:
        client.wait_closed(TIMEOUT_SECONDS)


def test_stopping_gives_up_a_client_that_takes_nothing_of_what_ends_its_connection(serve: Serve) -> None:
    def play(exchange: Played, event: str) -> None:
        if event == "body_end":
            exchange.answer(b"x" * 20_000_000)

    served = serve(play)
    served.connect(get("/", "Connection: close"), receive_bytes=4096)
    served.wait_for("/", "body_end")
    served.call(served.server.stop)
    assert served.server.connections == 0


@pytest.mark.parametrize("failing", ["left client_slow", "crashed"])
def test_a_mistake_at_one_deadline_leaves_the_others_in_force(
    serve: Serve, log: LogLines, failing: str
) -> None:
    class Fragile(Played):
        def leave(self, reason: str) -> None:
            raise ValueError("a bug")

        def crash(self, error: Exception) -> None:
            if failing == "crashed":
                raise error

    served = serve(holding, client_timeout_seconds=0.2)
    served.call(setattr, served.handler, "exchange_type", Fragile)
    client = served.connect(get("/hold"), receive_bytes=4096)
    exchange = served.wait_for("/hold", "body_end")
    served.call(exchange.begin)
    served.call(exchange.client.send_body, b"x" * 20_000_000)
    client.read_head()
    wait_until(lambda: served.server.connections == 0, 2 * TIMEOUT_SECONDS)
    assert ("a bug" in log.text) is (failing == "crashed")
    assert served.connect(b"GET").read_head().startswith(b"HTTP/1.1 408")


def test_many_clients_that_come_and_go_in_every_way_leave_nothing_behind(serve: Serve) -> None:
    served = serve(echo, client_timeout_seconds=0.5)
    beginnings = [
        b"",
        b"G",
        get(),
        get() + b"G",
        get() * 3,
        get("/", "Content-Length: 9", method="POST"),
        b"\0",
    ]
    for number in range(140):
        client = served.connect(beginnings[number % 7])
        (client.reset, client.finish_sending, client.close, lambda: None)[number % 4]()
    wait_until(lambda: served.server.connections == 0 or served.server.refusals.get("client_timeout"))
    for client in served.clients:
        client.close()
    wait_until(lambda: served.server.connections == 0)
    assert all(exchange.is_over for exchange in served.handler.exchanges)
