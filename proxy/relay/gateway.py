"""The hot path: one ASGI callable that decides about each request, then has it forwarded or refuses it.

It reads one immutable snapshot and writes to the journal, and waits for nothing else. Every path is the
relay's but the gateway's own few, which go to the Quart app behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from proxy.audit.exchange import Exchange
from proxy.audit.trail import AuditTrail
from proxy.clock import ForwardClock
from proxy.errors import JournalError
from proxy.http1.request import ABORTED, FAULT_KEY
from proxy.policy.cors import CorsPolicy
from proxy.policy.decide import Refuse
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.relay.asgi import ClientGoneError, Message, Receive, Scope, Send, find_framing, read_head
from proxy.relay.bounds import RelayBounds
from proxy.relay.counters import Counters
from proxy.relay.forwarding import INTERNAL_ERROR, Forwarding
from proxy.relay.intake import Intake, interrupt
from proxy.relay.replies import (
    INTERNAL,
    NOT_RECORDED,
    build_error,
    own_headers,
    send_error,
    send_no_content,
    send_status,
)
from proxy.relay.system import SystemPages
from proxy.relay.upstream import Upstream

_log = logging.getLogger(__name__)


class Gateway:
    """Serves every path but the gateway's own, which go to `system`."""

    def __init__(
        self,
        *,
        system: SystemPages,
        intake: Intake,
        upstream: Upstream,
        trail: AuditTrail,
        counters: Counters,
        bounds: RelayBounds,
        cors: CorsPolicy | None = None,
    ) -> None:
        self._system = system
        self._intake = intake
        self._upstream = upstream
        self._trail = trail
        self._counters = counters
        self._bounds = bounds
        self._cors = cors
        self._clock = ForwardClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._system.app(scope, receive, send)
        elif scope["raw_path"] in self._system.paths:
            await self._system.serve(scope, receive, send)
        else:
            self._counters.in_flight += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._counters.in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, time_us = read_head(scope), self._clock.now_us()
        exchange = self._trail.open(head, time_us)
        if self._cors is not None:
            send = _grant_origin(self._cors, head, send)
        error: str | None = INTERNAL_ERROR
        try:
            error = await self._answer(exchange, scope, head, time_us, receive, send)
        except ClientGoneError:
            error = ABORTED
        except Exception:  # noqa: BLE001
            # The outermost boundary: a bug costs one request a bare answer, and tells its client nothing.
            _log.exception("%s failed", exchange.request_id)
            await self._answer_for_bug(exchange, send)
        finally:
            self._counters.count(
                exchange.route_id,
                exchange.status,
                exchange.is_stream,
                error,
                exchange.elapsed_us(),
                exchange.first_byte_us,
                exchange.gateway_us,
            )

    async def _answer(
        self, exchange: Exchange, scope: Scope, head: RequestHead, time_us: int, receive: Receive, send: Send
    ) -> str | None:
        if self._cors is not None and FAULT_KEY not in scope["extensions"]:
            self._intake.find_origin(exchange, head)
            if (answer := self._cors.answer_preflight(head)) is not None:
                await self._answer_preflight(exchange, answer, send)
                return None
        framing = find_framing(head.headers)
        decision, told = await self._intake.decide(exchange, scope, head, time_us, framing, receive)
        if isinstance(decision, Refuse):
            return await self._refuse(exchange, decision, told, send)
        origin = self._upstream.choose(decision.compiled)
        try:
            await exchange.begin(decision, origin)
        except JournalError:
            exchange.abandon()
            return await self._send_error(exchange, send, NOT_RECORDED, told)
        except asyncio.CancelledError:
            return await self._refuse(exchange, interrupt(decision.key), told, send)
        forwarding = Forwarding(self._upstream, exchange, self._bounds, scope, receive, send, told)
        return await forwarding.run(head, decision, framing, origin)

    async def _refuse(self, exchange: Exchange, decision: Refuse, told: HeaderPairs, send: Send) -> str:
        body = build_error(decision.status, decision.code, decision.message, exchange.request_id)
        exchange.refuse(decision, decision.status, decision.reason, len(body))
        exchange.answered = True
        await send_error(send, decision.status, body, _own_headers(exchange, told))
        return decision.reason

    async def _send_error(
        self, exchange: Exchange, send: Send, reply: tuple[int, str, str], told: HeaderPairs = ()
    ) -> str:
        status, code, message = reply
        exchange.status, exchange.answered = status, True
        body = build_error(status, code, message, exchange.request_id)
        await send_error(send, status, body, _own_headers(exchange, told))
        return code

    async def _answer_preflight(self, exchange: Exchange, answer: HeaderPairs, send: Send) -> None:
        exchange.status, exchange.gateway_us = 204, exchange.elapsed_us()
        exchange.end()
        exchange.answered = True
        await send_no_content(send, _own_headers(exchange, answer))

    async def _answer_for_bug(self, exchange: Exchange, send: Send) -> None:
        """Record and answer a request that met a bug, be it in what records or in what answers."""
        if not exchange.answered:
            exchange.status = INTERNAL[0]
        try:
            exchange.end(INTERNAL_ERROR)
        except Exception:  # noqa: BLE001
            _log.exception("%s could not be written down", exchange.request_id)
            exchange.end_barely(INTERNAL_ERROR)
        if exchange.answered:
            return
        try:
            await self._send_error(exchange, send, INTERNAL)
        except Exception:  # noqa: BLE001
            _log.exception("%s could not be answered", exchange.request_id)
            await send_status(send, INTERNAL[0], exchange.request_id)


def _own_headers(exchange: Exchange, told: HeaderPairs) -> list[tuple[bytes, bytes]]:
    return [*told, *own_headers(exchange.request_id, exchange.elapsed_us(), 0)]


def _grant_origin(cors: CorsPolicy, head: RequestHead, send: Send) -> Send:
    """Return a `send` that has every response, whoever makes it, say which pages may see it."""

    def send_granted(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": cors.apply(head, message["headers"])}
        return send(message)

    return send_granted
