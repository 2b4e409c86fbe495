"""The gateway's own pages, on their way to the Quart app: checked as every request is, and never recorded."""

from __future__ import annotations

import logging

from proxy.audit.events import request_id
from proxy.clock import now_us
from proxy.http1.request import FAULT_KEY
from proxy.ids import new_ulid
from proxy.policy.framing import find_fault
from proxy.policy.model import RequestHead
from proxy.policy.own_pages import PAGE_METHODS
from proxy.relay.asgi import ASGIApp, Message, Receive, Scope, Send, read_head
from proxy.relay.replies import INTERNAL, READ_ONLY, build_error, date_header, own_headers, send_error

REQUEST_ID_KEY = "fastgate.request_id"  # in the scope of a page, which has no exchange
_log = logging.getLogger(__name__)


class SystemPages:
    """Passes requests for `paths` on to an application, and answers for it if it fails."""

    def __init__(self, app: ASGIApp, paths: frozenset[bytes]) -> None:
        self.app = app
        self.paths = paths

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request for one of the paths."""
        id_of_request = request_id(new_ulid(now_us()))
        is_answered = False

        async def send_named(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                headers = [date_header(), *message["headers"], *own_headers(id_of_request, 0, 0)]
                message = {**message, "headers": headers}
            await send(message)

        async def answer(status: int, code: str, message: str) -> None:
            nonlocal is_answered
            is_answered = True
            body = build_error(status, code, message, id_of_request)
            await send_error(send, status, body, own_headers(id_of_request, 0, 0))

        try:
            if fault := _find_fault(scope, read_head(scope)):
                await answer(fault[0], "bad_request", fault[1])
            elif scope["method"] not in PAGE_METHODS:
                await answer(*READ_ONLY)
            else:
                await self.app({**scope, REQUEST_ID_KEY: id_of_request}, receive, send_named)
        except Exception:  # noqa: BLE001
            _log.exception("%s failed", id_of_request)
            if not is_answered:
                await answer(*INTERNAL)


def _find_fault(scope: Scope, head: RequestHead) -> tuple[int, str] | None:
    if fault := scope["extensions"].get(FAULT_KEY):
        return fault.status, fault.message
    found = find_fault(head)
    return (400, found[1]) if found else None
