"""One request on its way to the backends of its route: tried, tried again where that is safe, answered.

What is safe is retries.py's to say, and which backend is next is backends.py's. A response that is returned
is final: nothing is tried again once a byte of it can have gone on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import httpx
import msgspec

from proxy.policy.model import HeaderPairs
from proxy.policy.routing import CompiledRoute
from proxy.relay.backends import Backend, Backends, Group
from proxy.relay.bodies import BytesBody, StreamedBody
from proxy.relay.retries import (
    Failure,
    Retries,
    backoff_seconds,
    classify_error,
    is_renewal,
    may_retry,
)

_SLACK_SECONDS = 0.01  # a timer may be that early
ATTEMPT = "fastgate.attempt"  # where a response's extensions hold its `Attempt`


class Plan(msgspec.Struct):
    """What sending needs to know of a route, worked out once for each snapshot."""

    compiled: CompiledRoute
    transport: httpx.AsyncBaseTransport
    generation: int  # of the transports
    group: Group
    retries: Retries
    total_seconds: float  # 0: no bound
    keeps_host: bool  # the route sets a Host of its own


class Attempt(msgspec.Struct):
    """Who answered: the backend, and how many tries it took in all."""

    backend: Backend
    tries: int
    is_over: bool = False


class Sending(msgspec.Struct):
    """A request being sent. `run` is called once; `errors` counts the tries that fail, by kind."""

    plan: Plan
    backends: Backends
    errors: Counter[str]
    chance: Callable[[], float]
    backend: Backend
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: BytesBody | StreamedBody
    connect_seconds: float
    timeout_seconds: float
    deadline: float | None  # of the loop's clock
    tries: int = 0
    counted: int = 0  # of these, what the route's retries bound
    received: int = 0  # of these, what a backend may have received
    rounds: int = 0
    is_fresh: bool = False
    tried: list[Backend] = msgspec.field(default_factory=list)

    async def run(self) -> httpx.Response:
        """Return the response as soon as its head is there; raises httpx's exceptions or the body's."""
        while True:
            self.tries += 1
            try:
                response = await self._try()
            except httpx.TransportError as error:
                failure = classify_error(error)
                self.errors["timeout" if isinstance(error, httpx.TimeoutException) else failure.value] += 1
                if not await self._turn_to_next(failure, None):
                    raise
                continue
            if response.status_code not in self.plan.retries.statuses:
                return response
            self.errors[Failure.STATUS.value] += 1
            if not await self._turn_to_next(Failure.STATUS, response):
                return response

    async def _try(self) -> httpx.Response:
        backend = self.backend
        self.backends.begin(backend)
        try:
            response = await self.plan.transport.handle_async_request(self._build_request())
        except httpx.TransportError as error:
            if classify_error(error) is Failure.STALE:
                self.backends.give_up(backend)
            else:
                self.backends.fail(backend)
            raise
        except BaseException:
            # The client has left, its body failed, or the time for the whole is over, which is a failure too.
            if self._is_late(_SLACK_SECONDS):
                self.backends.fail(backend)
            else:
                self.backends.give_up(backend)
            raise
        self.backends.succeed(backend)
        response.extensions[ATTEMPT] = Attempt(backend, self.tries)
        return response

    def _build_request(self) -> httpx.Request:
        seconds = self.timeout_seconds
        return httpx.Request(
            self.method,
            self.backend.url,
            headers=self._headers(),
            stream=self.body,
            extensions={
                "target": self.target,
                "origin": self.backend.key,
                "fresh": self.is_fresh,
                "timeout": {
                    "connect": self.connect_seconds,
                    "pool": self.connect_seconds,
                    "read": seconds,
                    "write": seconds,
                },
            },
        )

    def _headers(self) -> list[tuple[bytes, bytes]]:
        if self.backend is self.plan.group.backends[0] or self.plan.keeps_host:
            return self.headers
        return [(b"host", self.backend.host) if pair[0] == b"host" else pair for pair in self.headers]

    async def _turn_to_next(self, failure: Failure, response: httpx.Response | None) -> bool:
        """Set the backend that is tried next and wait until it may be; False if there is to be none."""
        if not self.body.is_replayable or self._is_late(0.0) or not self._may_retry(failure):
            return False
        if failure is Failure.STALE:
            self.is_fresh = True  # so that it is met once
            return True
        self.tried.append(self.backend)
        found = self.backends.choose(self.plan.group, self.tried)
        if found is None:
            return await self._back_off(response)
        await self._drop(response)
        self.backend = found
        return True

    def _may_retry(self, failure: Failure) -> bool:
        retries = self.plan.retries
        if is_renewal(retries, failure, self.method):
            return True
        self.counted += 1
        self.received += failure is not Failure.UNSENT
        return may_retry(retries, failure, self.method, tries=self.counted, received=self.received)

    async def _back_off(self, response: httpx.Response | None) -> bool:
        """Wait before all backends are tried once more."""
        self.rounds += 1
        retry_after = _find_retry_after(response.headers.raw) if response is not None else None
        seconds = backoff_seconds(self.rounds, self.chance(), retry_after)
        if seconds is None or self._is_late(seconds):
            return False
        await self._drop(response)
        await asyncio.sleep(seconds)
        self.tried.clear()
        found = self.backends.choose(self.plan.group)
        assert found is not None
        self.backend = found
        return True

    async def _drop(self, response: httpx.Response | None) -> None:
        if response is not None:
            self.backends.finish(self.backend)
            await response.aclose()

    def _is_late(self, seconds: float) -> bool:
        return self.deadline is not None and asyncio.get_running_loop().time() + seconds >= self.deadline


def _find_retry_after(headers: HeaderPairs) -> bytes | None:
    return next((value for name, value in headers if name.lower() == b"retry-after"), None)
