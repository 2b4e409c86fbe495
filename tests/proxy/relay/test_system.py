"""The gateway's own pages: named, checked, and never a traceback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.http1.faults import BAD_FRAMING
from proxy.http1.request import FAULT_KEY
from proxy.relay.system import REQUEST_ID_KEY, SystemPages

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
class Reply:
    """What was sent."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    async def take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = json.loads(self.body)["error"]
        return error


def ask(path: str = "/health", *, method: str = "GET", **options: Any) -> Reply:
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"gateway.test"), *options.get("headers", ())],
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "scheme": "http",
        "extensions": options.get("extensions", {}),
    }

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    reply = Reply()
    asyncio.run(SystemPages(pages, frozenset()).serve(scope, receive, reply.take))
    return reply


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


def test_a_bug_after_the_answer_adds_nothing_to_it(log: Any) -> None:
    assert ask("/late").body == b"page"
    assert "after the answer" in log.text


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST"},
        {"headers": [(b"host", b"twice")]},
        {"headers": [(b"content-length", b"x")]},
        {"extensions": {FAULT_KEY: BAD_FRAMING}},
    ],
)
def test_a_page_refuses_what_the_relay_would(options: dict[str, Any]) -> None:
    reply = ask(**options)
    assert (reply.status, reply.error["code"]) == (400, "bad_request")


def test_a_page_can_name_its_request() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[REQUEST_ID_KEY])

    scope: dict[str, Any] = {
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"x")],
    }
    scope |= {"client": None, "http_version": "1.1", "scheme": "http", "extensions": {}}

    async def nobody(*_: Any) -> Any: ...

    asyncio.run(SystemPages(app, frozenset()).serve(scope, nobody, nobody))
    assert seen[0].startswith("req_")
