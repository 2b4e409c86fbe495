"""The way to the backends: which one gets a request, over which transport, and what its failures are called.

A transport and not a client: nothing is added to a request, no redirect followed, no cookie kept, no proxy
variable read, no body decompressed. httpx's exceptions become ours here and nowhere else.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

import httpx

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError
from proxy.policy.model import Route
from proxy.policy.routing import CompiledRoute
from proxy.relay.answers import InvalidAnswerError
from proxy.relay.backends import Backend, Backends, Group
from proxy.relay.bodies import BytesBody, DeadlineBody, StreamedBody, read_ahead
from proxy.relay.direct import DirectTransport, Trace, find_length
from proxy.relay.retries import build_retries
from proxy.relay.sending import ATTEMPT, Attempt, Plan, Sending
from proxy.relay.tracing import TracedTransport
from proxy.relay.transports import Transports, build_context
from proxy.settings import ProxySettings

PLANS_MAX = 4096
Body = bytes | httpx.AsyncByteStream | None
_NO_BODY = BytesBody()
_FRAMING = (b"content-length", b"transfer-encoding")


class Upstream:
    """Sends requests to backends. One for each worker; `close` closes its idle connections.

    `plain` serves routes without wishes of their own. `errors` counts tries that failed, by kind:
    unreachable, timeout, broken, stale (an idle connection that had ended) and status (one to be retried).
    `trace` is told of every connection that is made.
    """

    def __init__(
        self,
        plain: httpx.AsyncBaseTransport,
        connect_timeout_seconds: float,
        *,
        egress_proxy: str = "",
        retries_max: int = 0,
        total_timeout_seconds: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        trace: Trace | None = None,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._backends = Backends(monotonic, chance)
        self._transports = Transports(plain, egress_proxy=egress_proxy)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._retries_max = retries_max
        self._total_timeout_seconds = total_timeout_seconds
        self._chance = chance
        self._trace = trace
        self._plans: dict[str, Plan] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def choose(self, compiled: CompiledRoute) -> str:
        """Return the origin that a request is to be tried with first: hand it to `send`."""
        try:
            return self._choose(self._find_plan(compiled)).origin
        except UpstreamError:  # of a route that cannot be served as it is; `send` says so
            return compiled.origin

    async def send(
        self,
        method: str,
        compiled: CompiledRoute,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: Body,
        timeout_seconds: float,
        *,
        origin: str | None = None,
    ) -> httpx.Response:
        """Send a request and return as soon as the response head is there; `release` it in the end.

        `target` goes into the request line as it is; `headers` frame the body, and are made to if it is
        bytes. `timeout_seconds` bounds each wait for the backend. The route's total time-out bounds the
        whole: after the head the response's stream raises `httpx.ReadTimeout`. Raises `UpstreamError` or one
        of its kinds, or what `body` raises.
        """
        plan = self._find_plan(compiled)
        if not plan.total_seconds:
            return await self._send(
                plan, method, target, headers, body, timeout_seconds, origin=origin, deadline=None
            )
        deadline = asyncio.get_running_loop().time() + plan.total_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._send(
                    plan, method, target, headers, body, timeout_seconds, origin=origin, deadline=deadline
                )
        except TimeoutError as error:
            self.errors["timeout"] += 1
            raise UpstreamTimeoutError("the backend took longer than the whole exchange may") from error
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = DeadlineBody(response.stream, deadline)
        return response

    async def release(self, response: httpx.Response, *, is_whole: bool) -> None:
        """Give a response's connection back; one that was not read to its end is closed.

        The closing goes on in a task of its own if the caller is cancelled, so that no connection leaks.
        """
        attempt = response.extensions.get(ATTEMPT)
        if attempt is not None and not attempt.is_over:
            attempt.is_over = True
            self._backends.finish(attempt.backend)
        if is_whole:
            # The response's own closing is a wrapper around this, and costs more than it.
            await cast("httpx.AsyncByteStream", response.stream).aclose()
            return
        closing = asyncio.create_task(response.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def close(self) -> None:
        """Close every idle connection."""
        await self._transports.close()

    async def _send(
        self,
        plan: Plan,
        method: str,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: Body,
        timeout_seconds: float,
        *,
        origin: str | None,
        deadline: float | None,
    ) -> httpx.Response:
        headers, prepared = await _prepare(headers, body)
        sending = Sending(
            plan,
            self._backends,
            self.errors,
            self._chance,
            self._choose(plan, origin),
            method,
            target,
            headers,
            prepared,
            self._connect_timeout_seconds,
            timeout_seconds,
            deadline,
        )
        try:
            return await sending.run()
        except httpx.TransportError as error:
            raise translate_error(error, UpstreamInvalidError) from error

    def _choose(self, plan: Plan, origin: str | None = None) -> Backend:
        group = plan.group
        if origin is not None:
            for backend in group.backends:
                # Time may have passed since it was chosen, and another request may be finding out.
                if backend.origin == origin and (
                    len(group.backends) == 1 or self._backends.is_usable(backend)
                ):
                    return backend
        chosen = self._backends.choose(group)
        assert chosen is not None
        return chosen

    def _find_plan(self, compiled: CompiledRoute) -> Plan:
        route_id = compiled.route.route_id
        plan = self._plans.get(route_id)
        # A new snapshot has new routes, and transports may have been given up.
        if plan is None or plan.compiled is not compiled or plan.generation != self._transports.generation:
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            plan = self._plans[route_id] = self._build_plan(compiled, plan)
        return plan

    def _build_plan(self, compiled: CompiledRoute, old: Plan | None) -> Plan:
        route = compiled.route
        origins = (compiled.origin, *(target.rstrip("/") for target in route.targets))
        turn = old.group.turn if old is not None else 0
        return Plan(
            compiled=compiled,
            transport=self._find_transport(route),
            generation=self._transports.generation,
            group=Group([self._backends.get(origin) for origin in origins], route.balance, turn),
            retries=build_retries(route, self._retries_max),
            total_seconds=route.total_timeout_seconds or self._total_timeout_seconds,
            keeps_host=compiled.header_rules.host != route.target_host.encode(),
        )

    def _find_transport(self, route: Route) -> httpx.AsyncBaseTransport:
        transport = self._transports.find(route)
        return transport if self._trace is None else TracedTransport(transport, self._trace)


def build_upstream(settings: ProxySettings, *, trace: Trace | None = None) -> Upstream:
    """Return the way to the backends that the configuration's `proxy` section asks for."""
    return Upstream(
        build_transport(),
        settings.connect_timeout,
        egress_proxy=settings.egress_proxy,
        retries_max=settings.max_retries,
        total_timeout_seconds=settings.total_timeout,
        trace=trace,
    )


def build_transport() -> httpx.AsyncBaseTransport:
    """Return the transport for HTTP/1.1, with certificates verified by the system's authorities."""
    return DirectTransport(build_context())


def find_attempt(response: httpx.Response) -> Attempt | None:
    """Return who answered a response of `Upstream.send`, and how many tries that took."""
    attempt: Attempt | None = response.extensions.get(ATTEMPT)
    return attempt


def translate_error(error: httpx.TransportError, broken: type[UpstreamError]) -> UpstreamError:
    """Return ours for an exception of httpx; `broken` is for a backend that broke off or spoke no HTTP."""
    if isinstance(error, httpx.ConnectTimeout):
        return UpstreamTimeoutError("the backend did not accept a connection in time")
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeoutError("the backend did not answer in time")
    if isinstance(error, InvalidAnswerError):
        return UpstreamInvalidError("the backend did not speak HTTP")
    if isinstance(error, httpx.ProxyError):
        return UpstreamError("the egress proxy refused the connection", hint="look at proxy.egress_proxy")
    if isinstance(error, httpx.ConnectError):
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return UpstreamError(
                "the backend's certificate is not trusted", hint="name its authority in the route's tls_ca"
            )
        return UpstreamError("the backend cannot be reached")
    return broken("the backend broke off or did not speak HTTP")


async def _prepare(
    headers: list[tuple[bytes, bytes]], body: Body
) -> tuple[list[tuple[bytes, bytes]], BytesBody | StreamedBody]:
    if body is None:
        return headers, _NO_BODY
    if not isinstance(body, bytes):
        return headers, await read_ahead(body, find_length(headers))
    if find_length(headers) != len(body):
        # Whoever took the body into memory, and perhaps changed it, need not know about framing.
        headers = [pair for pair in headers if pair[0] not in _FRAMING]
        headers.append((b"content-length", b"%d" % len(body)))
    return headers, BytesBody(body)
