"""The front for ASGI servers, with a server and an exchange that the tests play."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.gateway import asgi
from proxy.gateway.asgi import QUEUED_BYTES_MAX, AsgiFront, Cut
from proxy.gateway.bounds import Bounds
from proxy.gateway.pages import Message, Send
from proxy.policy.model import RequestHead

LENGTH_5, OK = [(b"content-length", b"5")], [(b"content-length", b"2")]


class PlayedExchange:
    """Notes what it is told; `script` is called with the client when the head has come."""

    def __init__(self, client: Any, head: RequestHead, script: Callable[[Any], object]) -> None:
        self.client = client
        self.head = head
        self.told: list[Any] = []
        self._script = script

    def start(self) -> None:
        self.told.append("start")
        self._script(self.client)

    def crash(self, error: Exception) -> None:
        self.told.append(type(error))
        self.client.break_off()

    def take_body(self, data: bytes) -> None:
        self.told.append(data)

    def leave(self, reason: str) -> None:
        self.told.append(reason)

    def fail_body(self, reason: str) -> None:
        self.told.append(reason)
        self.client.send_head(408, OK)
        self.client.send_body(b"no")
        self.client.end()

    def interrupt(self) -> None:
        self.told.append("interrupt")
        self.client.break_off()

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.told.append(name)


class PlayedGateway:
    """Opens exchanges that follow a script."""

    def __init__(self, script: Callable[[Any], object], client_timeout_seconds: float = 30.0) -> None:
        self.bounds = Bounds(client_timeout_seconds=client_timeout_seconds)
        self.exchange: PlayedExchange
        self._script = script

    def open(self, client: Any, head: RequestHead, fault: None, raw: None) -> PlayedExchange:
        self.exchange = PlayedExchange(client, head, self._script)
        return self.exchange


class Server:
    """An ASGI server with one request. What it is sent is in `sent`, how the client was cut off in `cuts`."""

    def __init__(self, gateway: PlayedGateway, *messages: Message, **scope: Any) -> None:
        self.sent: list[Message] = []
        self.cuts: list[Cut] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_gone = False
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self.messages.put_nowait(message)
        self._gateway: Any = gateway
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/a",
            "raw_path": b"/a",
            "query_string": b"",
            "headers": [(b"host", b"x")],
            "client": ("127.0.0.1", 1),
            **scope,
        }

    async def serve(self) -> None:
        await AsgiFront(self._gateway, self._refuse, self._cut_off)(self.scope, self.messages.get, self._send)
        self.messages.put_nowait({"type": "http.disconnect"})

    async def _send(self, message: Message) -> None:
        await self.has_room.wait()
        if self.is_gone:
            raise BrokenPipeError
        self.sent.append(message)

    async def _cut_off(self, scope: Message, send: Send, cut: Cut) -> None:
        self.cuts.append(cut)

    async def _refuse(self, *_: object) -> None:
        raise AssertionError("no lifespan was asked for")

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


async def until(is_so: Callable[[], object]) -> None:
    """Let the event loop go round until it is so."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0)


def piece(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def say_ok(client: Any) -> None:
    client.send_head(200, OK)
    client.send_body(b"ok")
    client.end()


def serve(script: Callable[[Any], object], *messages: Message, **scope: Any) -> tuple[Server, PlayedExchange]:
    async def run() -> tuple[Server, PlayedExchange]:
        gateway = PlayedGateway(script)
        server = Server(gateway, *messages, **scope)
        async with asyncio.timeout(10):
            await server.serve()
        return server, gateway.exchange

    return asyncio.run(run())


def test_a_request_is_told_as_it_comes_and_its_answer_sent_as_it_goes() -> None:
    def echo(client: Any) -> None:
        client.send_head(200, [])
        client.send_body(b"one")

    async def run() -> None:
        gateway = PlayedGateway(echo)
        server = Server(gateway, piece(b"a", more=True), piece(b"b"), method="POST", headers=LENGTH_5)
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.sent and "take_body_end" in gateway.exchange.told)
        assert gateway.exchange.told == ["start", b"a", b"b", "take_body_end"]
        assert server.body == b"one"
        gateway.exchange.client.send_body(b"two")
        gateway.exchange.client.end()
        await serving
        assert (server.body, server.is_whole, server.cuts) == (b"onetwo", True, [])

    asyncio.run(run())


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"raw_path": b"http://x/a", "headers": [(b"Host", b"x")]}, {"path": b"/a"}),
        ({"raw_path": b"http://y/a", "headers": [(b"host", b"x")]}, {"path": b"http://y/a"}),
        ({"raw_path": None, "path": "/a b%/ü"}, {"path": b"/a%20b%25/%C3%BC"}),
        ({"client": ("::ffff:127.0.0.1", 1)}, {"peer": "127.0.0.1"}),
        ({"client": ("::1", 1)}, {"peer": "::1"}),
        ({"client": None}, {"peer": ""}),
        ({"headers": [(b"X-A", b"1"), (b"x-a", b"2")]}, {"headers": [(b"x-a", b"1"), (b"x-a", b"2")]}),
    ],
)
def test_a_head_is_read_as_our_own_connections_read_it(
    scope: dict[str, Any], expected: dict[str, Any]
) -> None:
    _, exchange = serve(say_ok, **scope)
    assert {name: getattr(exchange.head, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("first", "is_chunked"),
    [(piece(b""), False), (piece(b"a", more=True), True), (piece(b"", more=True), True), (None, True)],
    ids=["none", "a piece", "an empty piece", "nothing yet"],
)
def test_over_http_2_the_first_message_says_whether_there_is_a_body(
    first: Message | None, is_chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "LINGER_SECONDS", 0.01)
    _, exchange = serve(say_ok, *([first] if first else []), http_version="2", method="POST")
    assert ((b"transfer-encoding", b"chunked") in exchange.head.headers) is is_chunked
    assert (exchange.told[:2] == ["start", "take_body_end"]) is not is_chunked


@pytest.mark.parametrize(
    ("method", "status", "headers", "sent"),
    [
        ("HEAD", 200, LENGTH_5, LENGTH_5),
        ("GET", 204, LENGTH_5, []),
        ("GET", 304, LENGTH_5, LENGTH_5),
        ("GET", 200, [*OK, (b"date", b"1"), (b"server", b"2"), (b"x", b"3")], [*OK, (b"x", b"3")]),
    ],
)
def test_an_answer_has_what_its_status_allows_and_the_server_does_not_add(
    method: str, status: int, headers: list[tuple[bytes, bytes]], sent: list[tuple[bytes, bytes]]
) -> None:
    def answer(client: Any) -> None:
        client.send_head(status, headers)
        client.send_body(b"ok")
        client.end()

    server, _ = serve(answer, method=method)
    assert server.sent[0] == {"type": "http.response.start", "status": status, "headers": sent}
    assert server.body == (b"ok" if method == "GET" and status == 200 else b"")
    assert server.is_whole


@pytest.mark.parametrize(("version", "closes"), [("1.1", True), ("1.0", True), ("2", False)])
def test_a_connection_that_may_not_be_used_again_is_said_to_be_closed(version: str, closes: bool) -> None:
    def refuse(client: Any) -> None:
        client.forbid_reuse()
        say_ok(client)

    server, _ = serve(refuse, piece(b""), http_version=version)
    assert ((b"connection", b"close") in server.sent[0]["headers"]) is closes


@pytest.mark.parametrize(
    "end",
    [
        lambda client: client.break_off(),
        lambda client: client.end(),
        lambda client: client.send_body(b"x" * 9),
    ],
    ids=["broken off", "too short", "too long"],
)
def test_an_answer_that_is_not_whole_never_ends(end: Callable[[Any], object]) -> None:
    def answer(client: Any) -> None:
        client.send_head(200, LENGTH_5)
        client.send_body(b"ok")
        end(client)

    server, _ = serve(answer)
    assert (server.body, server.is_whole, server.cuts) == (b"ok", False, [Cut.BROKEN])


def test_a_backend_is_held_back_while_the_server_has_no_room_and_goes_on_then() -> None:
    def answer(client: Any) -> None:
        client.send_head(200, [])
        for _ in range(3):
            client.send_body(bytes(QUEUED_BYTES_MAX // 2))

    async def run() -> None:
        gateway = PlayedGateway(answer)
        server = Server(gateway)
        server.has_room.clear()
        serving = asyncio.create_task(server.serve())
        for _ in range(5):
            await asyncio.sleep(0)
        assert gateway.exchange.told == ["start", "hold_back", "take_body_end"]
        server.has_room.set()
        await until(lambda: "go_on" in gateway.exchange.told)
        gateway.exchange.client.end()
        await serving
        assert len(server.body) == 3 * (QUEUED_BYTES_MAX // 2)

    asyncio.run(run())


@pytest.mark.parametrize("by_sending", [False, True], ids=["told by the server", "found when sending"])
def test_a_client_that_has_left_is_told_of_at_once_and_not_cut_off(by_sending: bool) -> None:
    async def run() -> None:
        gateway = PlayedGateway(lambda client: client.send_head(200, []))
        server = Server(gateway)
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.sent)
        if by_sending:
            server.is_gone = True
            gateway.exchange.client.send_body(b"more")
        else:
            server.messages.put_nowait({"type": "http.disconnect"})
        await serving
        assert gateway.exchange.told == ["start", "take_body_end", "client_abort"]
        assert (server.is_whole, server.cuts) == (False, [])

    asyncio.run(run())


def test_a_body_is_not_read_while_the_backend_has_no_room() -> None:
    async def run() -> None:
        gateway = PlayedGateway(lambda client: client.pause())
        server = Server(gateway, piece(b"a", more=True), piece(b"b"), method="POST", headers=LENGTH_5)
        serving = asyncio.create_task(server.serve())
        for _ in range(9):
            await asyncio.sleep(0)
        assert gateway.exchange.told == ["start"]
        gateway.exchange.client.resume()
        await until(lambda: "take_body_end" in gateway.exchange.told)
        say_ok(gateway.exchange.client)
        await serving
        assert gateway.exchange.told == ["start", b"a", b"b", "take_body_end"]

    asyncio.run(run())


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def run() -> None:
        gateway = PlayedGateway(lambda client: None, client_timeout_seconds=0.01)
        server = Server(gateway, piece(b"a", more=True), method="POST", headers=LENGTH_5)
        await asyncio.wait_for(server.serve(), 10)
        assert gateway.exchange.told == ["start", b"a", "client_timeout"]
        assert server.sent[0]["status"] == 408
        assert (b"connection", b"close") in server.sent[0]["headers"]

    asyncio.run(run())


def test_a_client_that_takes_nothing_is_given_up_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "TAKING_TIMES", 1)

    async def run() -> None:
        gateway = PlayedGateway(lambda client: client.send_head(200, []), client_timeout_seconds=0.01)
        server = Server(gateway)
        server.has_room.clear()
        await asyncio.wait_for(server.serve(), 10)
        assert gateway.exchange.told == ["start", "take_body_end", "client_slow"]
        assert server.cuts == [Cut.STUCK]

    asyncio.run(run())


@pytest.mark.parametrize("comes_to_its_end", [True, False])
def test_an_early_answer_ends_when_the_upload_has_or_nothing_of_it_comes(
    comes_to_its_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "LINGER_SECONDS", 0.01)

    async def run() -> None:
        gateway = PlayedGateway(say_ok)
        server = Server(
            gateway, piece(b"a" * 9000, more=True), method="POST", http_version="2", headers=LENGTH_5
        )
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.body == b"ok")
        assert not server.is_whole
        if comes_to_its_end:
            server.messages.put_nowait(piece(b"b"))
        await serving
        assert server.is_whole
        assert gateway.exchange.told == ["start"]
        assert server.cuts == ([] if comes_to_its_end else [Cut.UNWANTED])

    asyncio.run(run())


def test_a_server_that_gives_up_has_the_exchange_interrupted() -> None:
    async def run() -> None:
        gateway = PlayedGateway(lambda client: client.send_head(200, []))
        server = Server(gateway)
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.sent)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert gateway.exchange.told == ["start", "take_body_end", "interrupt"]
        assert not server.is_whole

    asyncio.run(run())


def test_a_bug_costs_one_request() -> None:
    def fail(client: Any) -> None:
        raise ZeroDivisionError

    server, exchange = serve(fail)
    assert exchange.told == ["start", ZeroDivisionError]
    assert (server.sent, server.cuts) == ([], [Cut.BROKEN])


def test_a_websocket_is_refused() -> None:
    server, sent = Server(PlayedGateway(say_ok)), []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await AsgiFront(server._gateway, server._refuse)({"type": "websocket"}, server.messages.get, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1003}]
