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
from proxy.policy.decide import Forward
from proxy.policy.headers import filter_response_headers
from proxy.policy.model import RequestHead
from proxy.relay.asgi import BodyTooLargeError, ClientGoneError, ClientWatch, Incoming, RequestBody, Send
from proxy.relay.replies import TOO_LARGE, build_error, send_error
from proxy.relay.upstream import Upstream, translate_error

CLIENT_ABORT = "client_abort"
INTERRUPTED = "interrupted"
INTERNAL_ERROR = "internal_error"
_log = logging.getLogger(__name__)


class Forwarding:
    """Forwards one request whose `Begin` has been written. `run` is called once."""

    __slots__ = ("_exchange", "_incoming", "_send", "_upstream")

    def __init__(self, upstream: Upstream, exchange: Exchange, incoming: Incoming, send: Send) -> None:
        self._upstream = upstream
        self._exchange = exchange
        self._incoming = incoming
        self._send = send

    async def run(
        self,
        head: RequestHead,
        decision: Forward,
        framing: tuple[bytes, bytes] | None,
        *,
        timeout_seconds: float,
        body_bytes_max: int,
    ) -> str | None:
        """Forward and answer; return the reason of a failure, as the audit row has it, or None."""
        watch = ClientWatch(self._incoming)
        error: str | None = INTERNAL_ERROR
        try:
            body: httpx.AsyncByteStream | None = None
            if decision.body is not None:
                # It has been read to be decided on; the client's framing goes with the client's bytes.
                decision.headers.append((b"content-length", b"%d" % len(decision.body)))
                body = httpx.ByteStream(decision.body)
                watch.start()
            elif framing is None:
                watch.start()
            else:
                decision.headers.append(framing)
                body = RequestBody(self._incoming, self._exchange, body_bytes_max, watch.start)
            self._exchange.gateway_us = self._exchange.elapsed_us()
            response = await self._upstream.send(
                head.method,
                decision.compiled.origin,
                decision.target,
                decision.headers,
                body,
                timeout_seconds,
            )
            watch.start()  # a backend may answer before it has the whole body, and take no more of it
            await self._relay(response, watch)
            error = None
        except asyncio.CancelledError:
            error = CLIENT_ABORT if watch.client_is_gone else INTERRUPTED
            if not watch.client_is_gone:
                raise
            _forgive_cancellation()
        except ClientGoneError:
            error = CLIENT_ABORT
        except BodyTooLargeError:
            error = await self._fail(watch, *TOO_LARGE)
        except UpstreamError as failure:
            _log.warning("%s: %s: %s", self._exchange.request_id, decision.compiled.origin, failure)
            error = await self._fail(watch, failure.status, failure.code, failure.message)
        finally:
            watch.stop()
            if error is INTERNAL_ERROR and not self._exchange.answered:
                self._exchange.status = 500
            self._exchange.end(error)
        return error

    async def _relay(self, response: httpx.Response, watch: ClientWatch) -> None:
        exchange, send = self._exchange, self._send
        is_whole = False
        try:
            if not 200 <= response.status_code <= 599:  # RFC 9110 section 15: nothing else is a final status
                raise UpstreamInvalidError("the backend answered with a status that is none")
            headers = filter_response_headers(response.headers.raw)
            exchange.take_response_head(response.status_code, headers)
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": headers + self._own_headers(),
                }
            )
            exchange.answered = True
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for chunk in response.stream:
                exchange.take_response_bytes(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            is_whole = True
            watch.stop()
            if not self._incoming.is_read:
                await self._incoming.linger()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except httpx.TransportError as error:
            raise translate_error(error, UpstreamTruncatedError) from error
        finally:
            await self._upstream.release(response, is_whole=is_whole)

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        exchange = self._exchange
        upstream_us = exchange.elapsed_us() - exchange.gateway_us
        return own_headers(exchange.request_id, exchange.gateway_us, upstream_us)

    async def _fail(self, watch: ClientWatch, status: int, code: str, message: str) -> str:
        watch.stop()
        exchange = self._exchange
        if not exchange.answered:
            body = build_error(status, code, message, exchange.request_id)
            exchange.answered, exchange.status, exchange.response_size = True, status, len(body)
            exchange.end(code)
            await send_error(self._send, self._incoming, status, body, self._own_headers())
        return code


def own_headers(request_id: str, gateway_us: int, upstream_us: int) -> list[tuple[bytes, bytes]]:
    """Return what every response carries: its id, and where the time to its head went (in ms)."""
    timing = f"gateway;dur={gateway_us / 1000:.3f}, upstream;dur={upstream_us / 1000:.3f}"
    return [(b"x-request-id", request_id.encode()), (b"server-timing", timing.encode())]


def _forgive_cancellation() -> None:
    # The watch cancelled this task on purpose; to the server the request has simply been dealt with.
    if task := asyncio.current_task():
        task.uncancel()
