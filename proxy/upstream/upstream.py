"""The way to the backends: which of them gets a request, and all connections of a worker.

Nothing is added to a request, no redirect followed, no cookie kept, no body decompressed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from proxy.policy.routing import CompiledRoute
from proxy.settings import ProxySettings
from proxy.upstream.balance import Backend, Backends, Group
from proxy.upstream.ports import AnswerExchange
from proxy.upstream.request import OutgoingRequest
from proxy.upstream.resolve import Resolver
from proxy.upstream.retries import Retries, build_retries
from proxy.upstream.sending import Sending
from proxy.upstream.ways import Observe, Way, Ways

PLANS_MAX = 4096
SWEEP_SECONDS = 0.25


class Plan(msgspec.Struct):
    """What sending needs to know of a route, worked out once for each snapshot."""

    compiled: CompiledRoute
    way: Way
    generation: int  # of the ways
    group: Group
    retries: Retries
    connect_seconds: float
    total_seconds: float  # 0: no bound
    keeps_host: bool  # the route sets a Host of its own

    def renames_host(self, backend: Backend) -> bool:
        """Tell whether a request to a backend needs another Host than the one to the route's first."""
        return backend is not self.group.backends[0] and not self.keeps_host


class Upstream:
    """Sends requests to backends. One for each worker; `start` it in the event loop, and `close` it there.

    `errors` counts tries that failed, by kind: unreachable, timeout, broken, stale (an idle connection that
    had ended) and status (one to be retried). `observe` is told of every connection that is made.
    """

    def __init__(
        self,
        settings: ProxySettings,
        *,
        resolver: Resolver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        observe: Observe = lambda _event, _transport: None,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self.backends = Backends(monotonic, chance)
        self.chance = chance
        self.loop: asyncio.AbstractEventLoop
        self._settings = settings
        self._ways = Ways(resolver or Resolver(), egress_proxy=settings.egress_proxy, observe=observe)
        self._plans: dict[str, Plan] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look at deadlines. Call it where the event loop runs."""
        self.loop = asyncio.get_running_loop()
        self._sweep_deadlines()

    def find_plan(self, compiled: CompiledRoute) -> Plan:
        """Return how a route's requests are sent; `UpstreamError` if it cannot be served as it is."""
        route_id = compiled.route.route_id
        plan = self._plans.get(route_id)
        # A new snapshot has new routes, and ways may have been given up.
        if plan is None or plan.compiled is not compiled or plan.generation != self._ways.generation:
            if len(self._plans) >= PLANS_MAX:
                self._plans.clear()
            plan = self._plans[route_id] = self._build_plan(compiled, plan)
        return plan

    def choose(self, plan: Plan) -> Backend:
        """Return the backend that a request is to be tried with first."""
        backends = plan.group.backends
        if len(backends) == 1:
            return backends[0]
        chosen = self.backends.choose(plan.group)
        assert chosen is not None
        return chosen

    def open(
        self,
        plan: Plan,
        backend: Backend,
        request: OutgoingRequest,
        exchange: AnswerExchange,
        timeout_seconds: float,
    ) -> Sending:
        """Return a request on its way to a backend; `start` it."""
        return Sending(self, plan, backend, request, exchange, timeout_seconds)

    async def close(self) -> None:
        """Close every idle connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        self._ways.close()
        await asyncio.sleep(0)  # a socket is closed in the loop's next round

    def _build_plan(self, compiled: CompiledRoute, old: Plan | None) -> Plan:
        route, settings = compiled.route, self._settings
        origins = (compiled.origin, *(target.rstrip("/") for target in route.targets))
        turn = old.group.turn if old is not None else 0
        return Plan(
            compiled=compiled,
            way=self._ways.find(route),
            generation=self._ways.generation,
            group=Group([self.backends.get(origin) for origin in origins], route.balance, turn),
            retries=build_retries(route, settings.max_retries),
            connect_seconds=settings.connect_timeout,
            total_seconds=route.total_timeout_seconds or settings.total_timeout,
            keeps_host=compiled.header_rules.host != route.target_host.encode(),
        )

    def _sweep_deadlines(self) -> None:
        # First of all: nothing that goes wrong with one connection may leave the others without deadlines.
        self._sweep = self.loop.call_later(SWEEP_SECONDS, self._sweep_deadlines)
        now = self.loop.time()
        for connection in [
            each for each in self._ways.connections if each.deadline <= now or each.total_deadline <= now
        ]:
            connection.expire()
