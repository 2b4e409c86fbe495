"""The hot path: one ASGI callable that decides about each request, then has it forwarded or refuses it.

It reads one immutable snapshot and writes to the journal, and waits for nothing else. Every path is the
relay's but the gateway's own few, which go to the Quart app behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from proxy.audit.events import request_id
from proxy.audit.exchange import AuditTrail, Exchange
from proxy.clock import now_us
from proxy.errors import JournalError
from proxy.ids import new_ulid
from proxy.policy.cors import CorsPolicy
from proxy.policy.decide import Forward, Refuse, decide
from proxy.policy.forwarded import Forwarded, TrustedProxies, resolve_client
from proxy.policy.framing import find_fault
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.relay.asgi import ASGIApp, Incoming, Message, Receive, Scope, Send, find_framing, read_head
from proxy.relay.counters import Counters
from proxy.relay.forwarding import INTERNAL_ERROR, Forwarding, own_headers
from proxy.relay.replies import (
    INTERNAL,
    NOT_RECORDED,
    READ_ONLY,
    TOO_LARGE,
    build_error,
    send_error,
    send_no_content,
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
        timeout_seconds: float,
        body_bytes_max: int,
        trusted: TrustedProxies | None = None,
        cors: CorsPolicy | None = None,
    ) -> None:
        self._system = system
        self._system_paths = system_paths
        self._snapshots = snapshots
        self._upstream = upstream
        self._trail = trail
        self._counters = counters
        self._timeout_seconds = timeout_seconds
        self._body_bytes_max = body_bytes_max
        self._trusted = trusted
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            await self._system(scope, receive, send)
        elif scope["raw_path"] in self._system_paths:
            await self._serve_page(scope, receive, send)
        else:
            self._counters.in_flight += 1
            try:
                head = read_head(scope)
                await self._serve(
                    head, receive, _grant_origin(self._cors, head, send) if self._cors else send
                )
            finally:
                self._counters.in_flight -= 1

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, id_of_request = read_head(scope), request_id(new_ulid(now_us()))
        incoming = Incoming(receive, has_body=find_framing(head.headers) is not None)
        is_answered = False

        async def send_named(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                message = {**message, "headers": [*message["headers"], *own_headers(id_of_request, 0, 0)]}
            await send(message)

        async def answer(status: int, code: str, message: str) -> None:
            body = build_error(status, code, message, id_of_request)
            await send_error(send_named, incoming, status, body, [])

        try:
            if fault := find_fault(head):
                await answer(400, "bad_request", fault[1])
            elif head.method not in PAGE_METHODS:
                await answer(*READ_ONLY)
            else:
                await self._system({**scope, REQUEST_ID_KEY: id_of_request}, incoming, send_named)
        except Exception:  # noqa: BLE001
            _log.exception("%s failed", id_of_request)
            if not is_answered:
                await answer(*INTERNAL)
        finally:
            if not incoming.is_read:
                incoming.discard()

    async def _serve(self, head: RequestHead, receive: Receive, send: Send) -> None:
        time_us = now_us()
        exchange = self._trail.open(head, time_us)
        framing = find_framing(head.headers)
        incoming = Incoming(receive, has_body=framing is not None)
        error: str | None = INTERNAL_ERROR
        try:
            error = await self._decide(exchange, head, time_us, framing, incoming, send)
        except Exception:  # noqa: BLE001
            # The outermost boundary: a bug costs one request a bare answer, and tells its client nothing.
            _log.exception("%s failed", exchange.request_id)
            if not exchange.answered:
                exchange.status = INTERNAL[0]
            exchange.end(INTERNAL_ERROR)
            if not exchange.answered:
                await self._answer(exchange, incoming, send, *INTERNAL)
        finally:
            if not incoming.is_read:
                incoming.discard()
            self._counters.count(
                exchange.route_id,
                exchange.status,
                exchange.is_stream,
                error,
                exchange.elapsed_us(),
                exchange.first_byte_us,
                exchange.gateway_us,
            )

    async def _decide(
        self,
        exchange: Exchange,
        head: RequestHead,
        time_us: int,
        framing: tuple[bytes, bytes] | None,
        incoming: Incoming,
        send: Send,
    ) -> str | None:
        forwarded = self._find_origin(exchange, head) if self._trusted else None
        if self._cors and (answer := self._cors.answer_preflight(head)) is not None:
            await self._answer_preflight(exchange, answer, send)
            return None
        decision = decide(head, self._snapshots.current, time_us, exchange.request_id, forwarded)
        if isinstance(decision, Forward) and _declared_size(framing) > self._body_bytes_max:
            status, code, message = TOO_LARGE
            decision = Refuse(status, code, message, reason=code, key=decision.key)
        if isinstance(decision, Refuse):
            return await self._refuse(exchange, decision, incoming, send)
        try:
            exchange.begin(decision)
        except JournalError as error:
            _log.error("a request was refused: %s", error)
            return await self._answer(exchange, incoming, send, *NOT_RECORDED)
        timeout = decision.compiled.route.timeout_seconds
        return await Forwarding(self._upstream, exchange, incoming, send).run(
            head,
            decision,
            framing,
            timeout_seconds=self._timeout_seconds if timeout is None else timeout,
            body_bytes_max=self._body_bytes_max,
        )

    def _find_origin(self, exchange: Exchange, head: RequestHead) -> Forwarded | None:
        assert self._trusted is not None
        forwarded = resolve_client(head, self._trusted)
        if forwarded is not None:
            exchange.ip_address = forwarded.client
        return forwarded

    async def _answer_preflight(self, exchange: Exchange, answer: HeaderPairs, send: Send) -> None:
        exchange.status, exchange.gateway_us = 204, exchange.elapsed_us()
        exchange.end()
        exchange.answered = True
        await send_no_content(send, [*answer, *own_headers(exchange.request_id, exchange.gateway_us, 0)])

    async def _refuse(self, exchange: Exchange, decision: Refuse, incoming: Incoming, send: Send) -> str:
        body = build_error(decision.status, decision.code, decision.message, exchange.request_id)
        exchange.refuse(decision, decision.status, decision.reason, len(body))
        await self._send(exchange, incoming, send, decision.status, body)
        return decision.reason

    async def _answer(
        self, exchange: Exchange, incoming: Incoming, send: Send, status: int, code: str, message: str
    ) -> str:
        exchange.status = status
        body = build_error(status, code, message, exchange.request_id)
        await self._send(exchange, incoming, send, status, body)
        return code

    async def _send(
        self, exchange: Exchange, incoming: Incoming, send: Send, status: int, body: bytes
    ) -> None:
        exchange.answered = True
        headers = own_headers(exchange.request_id, exchange.elapsed_us(), 0)
        await send_error(send, incoming, status, body, headers)


def _declared_size(framing: tuple[bytes, bytes] | None) -> int:
    return int(framing[1]) if framing is not None and framing[0] == b"content-length" else 0


def _grant_origin(cors: CorsPolicy, head: RequestHead, send: Send) -> Send:
    """Return a `send` that has every response, whoever makes it, say which pages may see it."""

    def send_granted(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": cors.apply(head, message["headers"])}
        return send(message)

    return send_granted
