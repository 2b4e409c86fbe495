"""The gateway's own pages: named, checked, and never a traceback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.gateway.pages import REQUEST_ID_KEY, ASGIApp, PageExchange, Pages
from proxy.http1.faults import BAD_FRAMING
from proxy.policy.cors import CorsPolicy
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.settings import CorsSettings

PARAMETER = "0123456789"


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Answer, or, below `/broken`, fail."""
    if scope["path"] == "/broken":
        password = PARAMETER
        raise RuntimeError(f"{len(password)} characters")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"page"})
    if scope["path"] == "/late":
        raise RuntimeError("after the answer")


@dataclass
class Client:
    """The client of one request for a page: what it is sent."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    ends: list[str] = field(default_factory=list)

    def send_head(self, status: int, headers: HeaderPairs) -> None:
        assert not self.status
        self.status, self.headers = status, dict(headers)

    def send_body(self, data: bytes) -> None:
        self.body += data

    is_plain: bool = False

    def send_whole(self, head: bytes, body: bytes) -> None: ...

    def end(self) -> None:
        self.ends.append("end")

    def break_off(self) -> None:
        self.ends.append("break_off")

    def forbid_reuse(self) -> None: ...

    def want_body(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = json.loads(self.body)["error"]
        return error


def open_page(
    client: Client, path: str = "/health", *, method: str = "GET", app: ASGIApp = pages, **options: Any
) -> PageExchange:
    headers = [(b"host", b"gateway.test"), *options.get("headers", ())]
    head = RequestHead(method, path.encode(), b"", headers, "127.0.0.1")
    return Pages(app, frozenset(), options.get("cors")).open(client, head, options.get("fault"))


def ask(path: str = "/health", **options: Any) -> Client:
    """Return the client of a page, once nothing more is under way."""
    client = Client()

    async def run() -> None:
        exchange = open_page(client, path, **options)
        exchange.start()
        exchange.take_body(b"that nobody reads")
        exchange.take_body_end()
        await settle()

    asyncio.run(run())
    assert client.ends == ["end"]
    return client


async def settle() -> None:
    """Wait for the tasks of pages."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


def test_a_page_has_an_id_and_says_where_the_time_went() -> None:
    reply = ask()
    assert (reply.status, reply.body) == (200, b"page")
    assert reply.headers[b"x-request-id"].startswith(b"req_")
    assert reply.headers[b"server-timing"]
    assert reply.headers[b"date"].endswith(b" GMT")


def test_a_bug_in_a_page_is_a_bare_500(log: Any) -> None:
    reply = ask("/broken")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert reply.headers[b"x-request-id"].decode() in log.text
    assert PARAMETER not in log.text + reply.body.decode()


def test_a_bug_after_half_of_a_page_is_a_bare_500_too(log: Any) -> None:
    reply = ask("/late")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "after the answer" in log.text


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST"},
        {"headers": [(b"host", b"twice")]},
        {"headers": [(b"content-length", b"x")]},
        {"fault": BAD_FRAMING},
    ],
)
def test_a_page_refuses_what_the_gateway_would(options: dict[str, Any]) -> None:
    reply = ask(**options)
    assert (reply.status, reply.error["code"]) == (400, "bad_request")


def test_a_page_can_name_its_request() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[REQUEST_ID_KEY])
        await pages(scope, receive, send)

    assert ask(app=app).headers[b"x-request-id"].decode() == seen[0]


@pytest.mark.parametrize("how", ["leave", "interrupt"])
def test_a_page_that_takes_its_time_ends_when_nobody_waits_for_it(how: str) -> None:
    """One that is stopped says so; one whose client has left says nothing to anybody."""
    client = Client()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()  # never comes: the client stays until it leaves

    async def run() -> None:
        exchange = open_page(client, app=wait)
        exchange.start()
        await asyncio.sleep(0)
        exchange.leave("client_abort") if how == "leave" else exchange.interrupt()
        exchange.hold_back()
        exchange.go_on()
        await settle()

    asyncio.run(run())
    assert (client.status, client.ends) == ((0, []) if how == "leave" else (503, ["end"]))


def test_a_page_can_be_read_by_the_pages_of_others() -> None:
    policy = CorsPolicy.build(CorsSettings(enabled=True))
    client = ask(headers=[(b"origin", b"https://a.example")], cors=policy)
    assert client.headers[b"access-control-allow-origin"] == b"https://a.example"
