"""The hot path: one ASGI callable that decides about each request, then has it forwarded or refuses it.

It reads one immutable snapshot and writes to the journal, and waits for nothing else. Every path is the
relay's but the gateway's own few, which go to the Quart app behind it.
"""

from __future__ import annotations

import logging
from typing import cast

from proxy.audit.events import request_id
from proxy.audit.exchange import AuditTrail, Exchange
from proxy.clock import now_us
from proxy.errors import JournalError
from proxy.http1.faults import Fault
from proxy.http1.request import FAULT_KEY
from proxy.ids import new_ulid
from proxy.policy.decide import Decision, Forward, Refuse, decide
from proxy.policy.framing import find_fault
from proxy.policy.model import RequestHead
from proxy.relay.asgi import ASGIApp, Message, Receive, Scope, Send, find_client, find_framing, read_head
from proxy.relay.bounds import RelayBounds
from proxy.relay.counters import Counters
from proxy.relay.forwarding import INTERNAL_ERROR, Forwarding, own_headers
from proxy.relay.replies import (
    INTERNAL,
    NOT_RECORDED,
    OVERLOADED,
    READ_ONLY,
    TOO_LARGE,
    build_error,
    send_error,
)
from proxy.relay.snapshot import SnapshotSource
from proxy.relay.upstream import Upstream

PAGE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
REQUEST_ID_KEY = "fastgate.request_id"  # in the scope of a page, which has no exchange
_log = logging.getLogger(__name__)


class Gateway:
    """Serves every path but the gateway's own, which go to `system`."""

    def __init__(
        self,
        *,
        system: ASGIApp,
        system_paths: frozenset[bytes],
        snapshots: SnapshotSource,
        upstream: Upstream,
        trail: AuditTrail,
        counters: Counters,
        bounds: RelayBounds,
    ) -> None:
        self._system = system
        self._system_paths = system_paths
        self._snapshots = snapshots
        self._upstream = upstream
        self._trail = trail
        self._counters = counters
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._system(scope, receive, send)
        elif scope["raw_path"] in self._system_paths:
            await self._serve_page(scope, receive, send)
        else:
            self._counters.in_flight += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._counters.in_flight -= 1

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, id_of_request = read_head(scope), request_id(new_ulid(now_us()))
        is_answered = False

        async def send_named(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                message = {**message, "headers": [*message["headers"], *own_headers(id_of_request, 0, 0)]}
            await send(message)

        async def answer(status: int, code: str, message: str) -> None:
            body = build_error(status, code, message, id_of_request)
            await send_error(send_named, status, body, [])

        try:
            if fault := _find_fault(scope, head):
                await answer(fault.status, "bad_request", fault.message)
            elif head.method not in PAGE_METHODS:
                await answer(*READ_ONLY)
            else:
                await self._system({**scope, REQUEST_ID_KEY: id_of_request}, receive, send_named)
        except Exception:  # noqa: BLE001
            _log.exception("%s failed", id_of_request)
            if not is_answered:
                await answer(*INTERNAL)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_head(scope)
        time_us = now_us()
        exchange = self._trail.open(head, time_us)
        error: str | None = INTERNAL_ERROR
        try:
            decision, framing = self._decide(exchange, scope, head, time_us)
            if isinstance(decision, Refuse):
                error = await self._refuse(exchange, decision, send)
            else:
                error = await self._forward(exchange, scope, head, decision, framing, receive, send)
        except Exception:  # noqa: BLE001
            # The outermost boundary: a bug costs one request a bare answer, and tells its client nothing.
            _log.exception("%s failed", exchange.request_id)
            if not exchange.answered:
                exchange.status = INTERNAL[0]
            exchange.end(INTERNAL_ERROR)
            if not exchange.answered:
                await self._answer(exchange, send, *INTERNAL)
        finally:
            self._counters.count(exchange.status, error)

    def _decide(
        self, exchange: Exchange, scope: Scope, head: RequestHead, time_us: int
    ) -> tuple[Decision, tuple[bytes, bytes] | None]:
        if fault := scope["extensions"].get(FAULT_KEY):
            return Refuse(fault.status, "bad_request", fault.message, reason=fault.reason), None
        if self._counters.in_flight > self._bounds.in_flight_max:
            status, code, message = OVERLOADED
            return Refuse(status, code, message, reason=code), None
        framing = find_framing(head.headers)
        decision = decide(head, self._snapshots.current, time_us, exchange.request_id)
        if isinstance(decision, Forward) and _declared_size(framing) > self._bounds.body_bytes_max:
            status, code, message = TOO_LARGE
            decision = Refuse(status, code, message, reason=code, key=decision.key)
        return decision, framing

    async def _forward(
        self,
        exchange: Exchange,
        scope: Scope,
        head: RequestHead,
        decision: Forward,
        framing: tuple[bytes, bytes] | None,
        receive: Receive,
        send: Send,
    ) -> str | None:
        try:
            exchange.begin(decision)
        except JournalError as error:
            _log.error("a request was refused: %s", error)
            return await self._answer(exchange, send, *NOT_RECORDED)
        client = find_client(scope)
        forwarding = Forwarding(self._upstream, exchange, self._bounds, client, receive, send)
        return await forwarding.run(head, decision, framing)

    async def _refuse(self, exchange: Exchange, decision: Refuse, send: Send) -> str:
        body = build_error(decision.status, decision.code, decision.message, exchange.request_id)
        exchange.refuse(decision, decision.status, decision.reason, len(body))
        await self._send(exchange, send, decision.status, body)
        return decision.reason

    async def _answer(self, exchange: Exchange, send: Send, status: int, code: str, message: str) -> str:
        exchange.status = status
        body = build_error(status, code, message, exchange.request_id)
        await self._send(exchange, send, status, body)
        return code

    async def _send(self, exchange: Exchange, send: Send, status: int, body: bytes) -> None:
        exchange.answered = True
        headers = own_headers(exchange.request_id, exchange.elapsed_us(), 0)
        await send_error(send, status, body, headers)


def _declared_size(framing: tuple[bytes, bytes] | None) -> int:
    return int(framing[1]) if framing is not None and framing[0] == b"content-length" else 0


def _find_fault(scope: Scope, head: RequestHead) -> Fault | None:
    if fault := scope["extensions"].get(FAULT_KEY):
        return cast("Fault", fault)
    found = find_fault(head)
    return Fault(400, *found) if found else None
