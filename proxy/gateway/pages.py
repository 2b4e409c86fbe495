"""The gateway's own pages, served by an ASGI application: checked as every request is, and never recorded.

What is asked for has no body that anybody wants, and is not asked for often: a task each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from proxy.audit.events import request_id
from proxy.clock import now_us
from proxy.gateway import replies
from proxy.gateway.replies import Reply
from proxy.http1.faults import Fault
from proxy.http1.handler import Client
from proxy.ids import new_ulid
from proxy.policy.cors import CorsPolicy
from proxy.policy.framing import find_fault
from proxy.policy.model import RequestHead
from proxy.policy.own_pages import PAGE_METHODS

REQUEST_ID_KEY = "fastgate.request_id"  # in the scope of a page, which has no exchange
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_ASGI = {"version": "3.0", "spec_version": "2.4"}
_NO_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}
_log = logging.getLogger(__name__)


class Pages:
    """The pages at `paths`, which an application serves."""

    def __init__(self, app: ASGIApp, paths: frozenset[bytes], cors: CorsPolicy | None = None) -> None:
        self.app = app
        self.paths = paths
        self.cors = cors

    def open(self, client: Client, head: RequestHead, fault: Fault | None) -> PageExchange:
        """Return the exchange of a request for one of them."""
        return PageExchange(self, client, head, fault)


class PageExchange:
    """One request for a page. What comes of its body is passed over."""

    def __init__(self, pages: Pages, client: Client, head: RequestHead, fault: Fault | None) -> None:
        self._pages = pages
        self._client = client
        self._head = head
        self._fault = fault
        self._request_id = request_id(new_ulid(now_us()))
        self._task: asyncio.Task[None] | None = None
        self._is_answered = False

    def start(self) -> None:
        """Have the page made, or refuse the request."""
        if self._fault is not None:
            self._answer(Reply(self._fault.status, "bad_request", self._fault.message))
        elif fault := find_fault(self._head):
            self._answer(Reply(400, "bad_request", fault[1]))
        elif self._head.method not in PAGE_METHODS:
            self._answer(replies.READ_ONLY)
        else:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def take_body(self, data: bytes) -> None:
        """A piece of the body has come."""

    def take_body_end(self) -> None:
        """The body is whole."""

    def fail_body(self, reason: str) -> None:
        """The body will never be whole."""

    def hold_back(self) -> None:
        """The client takes nothing more for now: the page is in memory already."""

    def go_on(self) -> None:
        """The client takes more."""

    def leave(self, reason: str) -> None:  # noqa: ARG002
        """The client is gone."""
        self._is_answered = True
        if self._task is not None:
            self._task.cancel()

    def interrupt(self) -> None:
        """The server stops."""
        if self._task is not None:
            self._task.cancel()
        if not self._is_answered:
            self._answer(replies.STOPPING)

    def crash(self, error: Exception) -> None:
        """Something has met a bug."""
        _log.error("%s failed", self._request_id, exc_info=error)
        if self._is_answered:
            self._client.break_off()
        else:
            self._answer(replies.INTERNAL)

    async def _run(self) -> None:
        status, headers, body = 500, [], b""

        messages = [_NO_BODY]

        async def receive() -> Message:
            if not messages:
                await asyncio.Event().wait()  # until the client leaves, which ends the task
            return messages.pop()

        async def send(message: Message) -> None:
            nonlocal status, headers, body
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            else:
                body += message.get("body", b"")

        try:
            await self._pages.app(self._build_scope(), receive, send)
            if not self._is_answered:
                own = replies.own_headers(self._request_id, 0, 0)
                kept = [(name.lower(), value) for name, value in headers]
                self._send(status, [replies.date_header(), *kept, *own], body)
        except Exception as error:  # noqa: BLE001
            # The outermost boundary of the application.
            self.crash(error)

    def _build_scope(self) -> dict[str, Any]:
        head = self._head
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.http_version,
            "method": head.method,
            "scheme": head.scheme,
            "path": head.path.decode("latin-1"),
            "raw_path": head.path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "client": (head.peer, 0),
            "server": None,
            "extensions": {},
            REQUEST_ID_KEY: self._request_id,
        }

    def _answer(self, reply: Reply) -> None:
        body = replies.build_error(reply, self._request_id)
        headers = replies.error_headers(reply.status, replies.own_headers(self._request_id, 0, 0), len(body))
        self._send(reply.status, headers, body)

    def _send(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._is_answered = True
        cors = self._pages.cors
        self._client.send_head(status, cors.apply(self._head, headers) if cors is not None else headers)
        self._client.send_body(body)
        self._client.end()
