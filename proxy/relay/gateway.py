"""The hot path: one ASGI callable that decides about each request, then has it forwarded or refuses it.

It reads one immutable snapshot and writes to the journal, and waits for nothing else. Every path is the
relay's but the gateway's own few, which go to the Quart app behind it.
"""

from __future__ import annotations

import logging

from proxy.audit.exchange import AuditTrail, Exchange
from proxy.clock import now_us
from proxy.errors import JournalError
from proxy.policy.decide import Forward, Refuse, decide
from proxy.policy.model import RequestHead
from proxy.relay.asgi import ASGIApp, Receive, Scope, Send, find_framing, read_head
from proxy.relay.counters import Counters
from proxy.relay.forwarding import INTERNAL_ERROR, Forwarding, own_headers
from proxy.relay.replies import INTERNAL, NOT_RECORDED, TOO_LARGE, build_error, send_error
from proxy.relay.snapshot import SnapshotSource
from proxy.relay.upstream import Upstream

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
        timeout_seconds: float,
        body_bytes_max: int,
    ) -> None:
        self._system = system
        self._system_paths = system_paths
        self._snapshots = snapshots
        self._upstream = upstream
        self._trail = trail
        self._counters = counters
        self._timeout_seconds = timeout_seconds
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http" or scope["raw_path"] in self._system_paths:
            await self._system(scope, receive, send)
        else:
            self._counters.in_flight += 1
            try:
                await self._serve(read_head(scope), receive, send)
            finally:
                self._counters.in_flight -= 1

    async def _serve(self, head: RequestHead, receive: Receive, send: Send) -> None:
        time_us = now_us()
        exchange = self._trail.open(head, time_us)
        error: str | None = INTERNAL_ERROR
        try:
            error = await self._decide(exchange, head, time_us, receive, send)
        except Exception:  # noqa: BLE001
            # The outermost boundary: a bug costs one request a bare answer, and tells its client nothing.
            _log.exception("%s failed", exchange.request_id)
            exchange.end(INTERNAL_ERROR)
            if not exchange.answered:
                await self._answer(exchange, send, *INTERNAL)
        finally:
            self._counters.count(exchange.status, error)

    async def _decide(
        self, exchange: Exchange, head: RequestHead, time_us: int, receive: Receive, send: Send
    ) -> str | None:
        decision = decide(head, self._snapshots.current, time_us, exchange.request_id)
        framing = find_framing(head.headers)
        if isinstance(decision, Forward) and _declared_size(framing) > self._body_bytes_max:
            status, code, message = TOO_LARGE
            decision = Refuse(status, code, message, reason=code, key=decision.key)
        if isinstance(decision, Refuse):
            return await self._refuse(exchange, decision, send)
        try:
            exchange.begin(decision)
        except JournalError as error:
            _log.error("a request was refused: %s", error)
            return await self._answer(exchange, send, *NOT_RECORDED)
        timeout = decision.compiled.route.timeout_seconds
        return await Forwarding(self._upstream, exchange, send).run(
            head,
            decision,
            framing,
            receive,
            timeout_seconds=self._timeout_seconds if timeout is None else timeout,
            body_bytes_max=self._body_bytes_max,
        )

    async def _refuse(self, exchange: Exchange, decision: Refuse, send: Send) -> str:
        body = build_error(decision.status, decision.code, decision.message, exchange.request_id)
        exchange.refuse(decision, decision.status, decision.reason, len(body))
        await self._send(exchange, send, decision.status, body)
        return decision.reason

    async def _answer(self, exchange: Exchange, send: Send, status: int, code: str, message: str) -> str:
        exchange.status = status
        await self._send(exchange, send, status, build_error(status, code, message, exchange.request_id))
        return code

    async def _send(self, exchange: Exchange, send: Send, status: int, body: bytes) -> None:
        exchange.answered = True
        await send_error(send, status, body, own_headers(exchange.request_id, exchange.elapsed_us(), 0))


def _declared_size(framing: tuple[bytes, bytes] | None) -> int:
    return int(framing[1]) if framing is not None and framing[0] == b"content-length" else 0
