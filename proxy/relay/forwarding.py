"""One request on its way to a backend and back.

Chunks are passed on as they come: never merged, parsed or decompressed. A response that the backend broke off
is broken off for the client too, by leaving it unfinished: the server then closes the connection without the
end of the message. Whatever happens, the exchange ends exactly once, in a place that nothing can skip.
"""

from __future__ import annotations

import asyncio
import logging

import httpx

from proxy.audit.exchange import Exchange
from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTruncatedError
from proxy.http1.request import ABORTED
from proxy.policy.decide import Forward
from proxy.policy.headers import filter_response_headers
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.relay.asgi import (
    BodyTooLargeError,
    ClientGoneError,
    ClientWatch,
    Receive,
    RequestBody,
    Scope,
    Send,
    find_client,
)
from proxy.relay.bounds import RelayBounds
from proxy.relay.intake import INTERRUPTED
from proxy.relay.keepalive import StreamKeepAlive, may_hold_comments
from proxy.relay.replies import BODY_REPLIES, STOPPING, TOO_LARGE, build_error, own_headers, send_error
from proxy.relay.sending import ATTEMPT
from proxy.relay.upstream import Upstream, translate_error

INTERNAL_ERROR = "internal_error"
_log = logging.getLogger(__name__)


class Forwarding:
    """Forwards one request whose `Begin` has been written. `run` is called once."""

    __slots__ = ("_bounds", "_exchange", "_receive", "_send", "_told", "_upstream", "_watch")

    def __init__(
        self,
        upstream: Upstream,
        exchange: Exchange,
        bounds: RelayBounds,
        scope: Scope,
        receive: Receive,
        send: Send,
        told: HeaderPairs,
    ) -> None:
        self._upstream = upstream
        self._exchange = exchange
        self._bounds = bounds
        self._watch = ClientWatch(find_client(scope))
        self._receive = receive
        self._send = send
        self._told = told

    async def run(
        self, head: RequestHead, decision: Forward, framing: tuple[bytes, bytes] | None, origin: str
    ) -> str | None:
        """Forward, to `origin` first, and answer; return the reason of a failure, as the row has it, or None.

        `told` are headers that the client gets besides those of the response.
        """
        error: str | None = INTERNAL_ERROR
        try:
            route = decision.compiled.route
            self._watch.start(drains=route.on_client_abort == "drain")
            body: bytes | httpx.AsyncByteStream | None = decision.body
            if body is None and framing is not None:
                decision.headers.append(framing)
                body = RequestBody(self._receive, self._exchange, self._bounds.body_bytes_max)
            self._exchange.gateway_us = self._exchange.elapsed_us()
            response = await self._upstream.send(
                head.method,
                decision.compiled,
                decision.target,
                decision.headers,
                body,
                self._bounds.timeout_seconds if route.timeout_seconds is None else route.timeout_seconds,
                origin=origin,
            )
            attempt = response.extensions.get(ATTEMPT)
            if attempt is not None and attempt.backend.origin != origin:
                self._exchange.note_origin(decision, attempt.backend.origin)
            await self._relay(response)
            error = self._watch.leave_reason
        except asyncio.CancelledError:
            error = self._watch.leave_reason or INTERRUPTED
            if error is INTERRUPTED:
                await self._fail(STOPPING, INTERRUPTED)
                raise
            _forgive_cancellation()
        except ClientGoneError:
            error = await self._give_up()
        except BodyTooLargeError:
            error = await self._fail(TOO_LARGE)
        except UpstreamError as failure:
            _log.warning("%s: %s: %s", self._exchange.request_id, origin, failure)
            # A client can be told of a truncated answer only if nothing of it was sent: then it is invalid.
            is_truncated = isinstance(failure, UpstreamTruncatedError)
            code = UpstreamInvalidError.code if is_truncated else failure.code
            error = await self._fail((failure.status, code, failure.message), failure.code)
        finally:
            self._end(error)
        return error

    def _end(self, error: str | None) -> None:
        self._watch.stop()
        if error is not None and not self._exchange.answered:
            self._exchange.forget_response()
            if error is INTERNAL_ERROR:
                self._exchange.status = 500
        self._exchange.end(error)

    async def _relay(self, response: httpx.Response) -> None:
        exchange, send = self._exchange, self._send
        is_whole = False
        try:
            if not 200 <= response.status_code <= 599:  # RFC 9110 section 15: nothing else is a final status
                raise UpstreamInvalidError("the backend answered with a status that is none")
            headers = filter_response_headers(response.headers.raw, is_limited=bool(self._told))
            exchange.take_response_head(response.status_code, headers)
            collected = await self._collect_body(response) if self._bounds.is_collecting else None
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": headers + self._own_headers(),
                }
            )
            exchange.answered = True
            if collected is None:
                await self._relay_body(response, headers)
            elif collected:
                await send({"type": "http.response.body", "body": collected, "more_body": True})
            is_whole = True
            self._watch.stop()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except httpx.TransportError as error:
            raise translate_error(error, UpstreamTruncatedError) from error
        finally:
            await self._upstream.release(response, is_whole=is_whole)

    async def _collect_body(self, response: httpx.Response) -> bytes:
        """Read a whole body before anything of it is sent: one that breaks off is then still a 502."""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        pieces: list[bytes] = []
        async for piece in response.stream:
            self._exchange.take_response_bytes(piece)
            pieces.append(piece)
            if self._exchange.response_size > self._bounds.body_bytes_max:
                raise UpstreamInvalidError("the answer is longer than proxy.max_body_size")
        return b"".join(pieces)

    async def _relay_body(self, response: httpx.Response, headers: HeaderPairs) -> None:
        exchange, send = self._exchange, self._send
        assert isinstance(response.stream, httpx.AsyncByteStream)
        if self._bounds.keep_alive_seconds and may_hold_comments(headers):
            return await self._relay_stream(response.stream)
        async for chunk in response.stream:
            exchange.take_response_bytes(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        return None

    async def _relay_stream(self, stream: httpx.AsyncByteStream) -> None:
        keep_alive = StreamKeepAlive(self._send, self._bounds.keep_alive_seconds)
        keep_alive.start()
        try:
            async for chunk in stream:
                self._exchange.take_response_bytes(chunk)
                keep_alive.take(chunk)
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            keep_alive.stop()

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        exchange = self._exchange
        upstream_us = exchange.elapsed_us() - exchange.gateway_us
        return [*self._told, *own_headers(exchange.request_id, exchange.gateway_us, upstream_us)]

    async def _give_up(self) -> str:
        """End a request whose body will not come to its end; say why, to a client that is still there."""
        reason = self._watch.leave_reason or ABORTED
        if reason in BODY_REPLIES:
            await self._fail(BODY_REPLIES[reason], reason)
        return reason

    async def _fail(self, reply: tuple[int, str, str], reason: str = "") -> str:
        self._watch.stop()
        exchange, (status, code, message) = self._exchange, reply
        if not exchange.answered:
            body = build_error(status, code, message, exchange.request_id)
            exchange.forget_response()
            exchange.answered, exchange.status, exchange.response_size = True, status, len(body)
            exchange.end(reason or code)
            await send_error(self._send, status, body, self._own_headers())
        return reason or code


def _forgive_cancellation() -> None:
    # The watch cancelled this task on purpose; to the server the request has simply been dealt with.
    if task := asyncio.current_task():
        task.uncancel()
