"""One request on its way to the backends of its route: tried, tried again where that is safe, answered.

What is safe is retries.py's to say, and which backend is next is balance.py's. An answer whose head has been
told is final: nothing is tried again once a byte of it can have gone on.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from proxy.errors import UpstreamError, UpstreamTimeoutError
from proxy.policy.model import HeaderPairs
from proxy.upstream.answers import KnownAnswer
from proxy.upstream.balance import Backend
from proxy.upstream.base import NEVER
from proxy.upstream.faults import explain_connect_error, name_route
from proxy.upstream.ports import AnswerExchange
from proxy.upstream.request import OutgoingRequest
from proxy.upstream.retries import Failure, backoff_seconds, is_renewal, may_retry

if TYPE_CHECKING:
    from proxy.upstream.upstream import Plan, Upstream
    from proxy.upstream.ways import Connection

# Of a body that comes while there is no connection yet.
KEPT_BYTES_MAX = 64 * 1024


class Sending:
    """A request being sent. It is over when it has told its exchange of an end, or was cancelled.

    `backend` is the one that is asked, and in the end the one that has answered.
    """

    __slots__ = (
        "_connecting",
        "_connection",
        "_counted",
        "_deadline",
        "_has_head",
        "_has_held_back",
        "_is_answered",
        "_is_fresh",
        "_is_idle",
        "_is_paused",
        "_is_replayable",
        "_loop",
        "_plan",
        "_received",
        "_request",
        "_rounds",
        "_timeout_seconds",
        "_timer",
        "_tried",
        "_upstream",
        "backend",
        "exchange",
        "tries",
    )

    def __init__(
        self,
        upstream: Upstream,
        plan: Plan,
        backend: Backend,
        request: OutgoingRequest,
        exchange: AnswerExchange,
        timeout_seconds: float,
    ) -> None:
        self.exchange = exchange
        self.backend = backend
        self.tries = 0
        self._upstream = upstream
        self._loop = upstream.loop
        self._plan = plan
        self._request = request
        self._timeout_seconds = timeout_seconds
        self._deadline = self._loop.time() + plan.total_seconds if plan.total_seconds else NEVER
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # of a back-off
        self._is_idle = self._is_fresh = False  # the connection was idle; none that is may be taken
        self._is_replayable = True
        self._is_paused = self._has_held_back = self._has_head = self._is_answered = False
        self._counted = 0  # tries that the route's retries bound
        self._received = 0  # of these, what a backend may have received
        self._rounds = 0
        self._tried: list[Backend] | None = None

    # What the exchange asks of it.

    def start(self) -> None:
        """Send the request to its backend."""
        self.tries += 1
        backend, way = self.backend, self._plan.way
        if backend.failures:
            self._upstream.backends.begin(backend)
        else:
            backend.in_flight += 1
        connection = None if self._is_fresh else way.pool.take(backend.key)
        if connection is None:
            self._connecting = self._loop.create_task(self._connect())
        else:
            self._is_idle = True
            self._use(connection)

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body on, or keep it until there is a connection."""
        if self._connection is None:
            self._request.add(data)
            if self._request.size >= KEPT_BYTES_MAX and not self._has_held_back:
                self._has_held_back = True
                self.exchange.hold_body_back()
        else:
            self._connection.send_body(data)

    def end_body(self) -> None:
        """The body is whole."""
        if self._connection is None:
            self._request.is_whole = True
        else:
            self._connection.end_body()

    def cancel(self) -> None:
        """Give the request up, whatever is under way."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            # Given up here, for a task that has not begun yet never hears of it.
            self._connecting.cancel()
            self._connecting = None
            self._upstream.backends.give_up(self.backend)
        elif self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            self._give_back()

    def pause(self) -> None:
        """Read no more of the answer for now."""
        self._is_paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        if self._connection is not None:
            self._connection.resume()

    # What a connection tells it.

    def take_head(self, status: int, headers: HeaderPairs) -> None:
        """The head of the final answer has come: tell it, unless the route asks for another try."""
        self._upstream.backends.succeed(self.backend)
        self._has_head = True
        if status in self._plan.retries.statuses and self._try_status(headers):
            return
        self._request.pieces = []
        self._is_answered = True
        self.exchange.take_head(status, headers)

    def take_whole(self, known: KnownAnswer, body: bytes) -> bool:
        """A whole answer has come, the head of which is known; False if it has to be told bit by bit."""
        plan, backend, connection = self._plan, self.backend, self._connection
        if known.status in plan.retries.statuses or connection is None:
            return False
        if backend.failures:
            self._upstream.backends.succeed(backend)
        backend.in_flight -= 1
        self._connection = None
        connection.note_whole(known)
        plan.way.pool.put(backend.key, connection)
        self.exchange.take_whole(known, body)
        return True

    def finish(self) -> None:
        """The answer is whole, and has been told."""
        connection, self._connection = self._connection, None
        self._upstream.backends.finish(self.backend)
        assert connection is not None
        self._plan.way.pool.put(self.backend.key, connection)
        self.exchange.take_answer_end()

    def fail(self, error: UpstreamError, *, is_untouched: bool, is_unsent: bool = False) -> None:
        """The connection has ended before that."""
        self._connection = None
        is_stale = self._is_idle and is_untouched and not isinstance(error, UpstreamTimeoutError)
        failure = Failure.UNSENT if is_unsent else Failure.STALE if is_stale else Failure.SENT
        if self._is_answered:
            self._upstream.backends.finish(self.backend)
            self._count(error, failure)
            self._give_up(error)
        else:
            if self._has_head or is_stale:
                self._give_back()
            else:
                self._upstream.backends.fail(self.backend)
            self._fail_try(error, failure)

    # Connecting.

    async def _connect(self) -> None:
        plan, backend = self._plan, self.backend
        seconds = min(plan.connect_seconds, self._deadline - self._loop.time())
        try:
            async with asyncio.timeout(max(seconds, 0)):
                connection = await plan.way.connect(backend)
        except Exception as error:  # noqa: BLE001
            # Whatever a connection can fail of, and what nobody has thought of: one request has no backend.
            self._connecting = None
            self._upstream.backends.fail(backend)
            self._guard(self._fail_try, explain_connect_error(error), Failure.UNSENT)
            return
        self._connecting = None
        self._is_idle = False
        self._guard(self._use, connection)

    def _guard(self, work: object, *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001
            self.exchange.crash(error)

    def _use(self, connection: Connection) -> None:
        request = self._request
        template = request.template
        if len(self._plan.group.backends) > 1 and self._plan.renames_host(self.backend):
            template = template.with_host(self.backend.host)
        self._connection = connection
        self._has_head = False
        connection.total_deadline = self._deadline
        if self._is_paused:
            connection.pause()
        self._is_replayable = request.is_whole
        connection.send(self, request, template, self._timeout_seconds)
        if not request.is_whole:
            request.pieces = []
            request.size = 0
        if self._has_held_back:
            self._has_held_back = False
            self.exchange.go_on_with_body()

    # Trying again.

    def _fail_try(self, error: UpstreamError, failure: Failure) -> None:
        self._count(error, failure)
        if not self._may_retry(failure) or not self._turn_to_next(failure, None):
            self._give_up(error)

    def _give_up(self, error: UpstreamError) -> None:
        error.hint = name_route(error.hint, shlex.quote(self._plan.compiled.route.route_name))
        self.exchange.fail(error)

    def _count(self, error: UpstreamError, failure: Failure) -> None:
        self._upstream.errors["timeout" if isinstance(error, UpstreamTimeoutError) else failure.value] += 1

    def _try_status(self, headers: HeaderPairs) -> bool:
        """Try again for an answer with a status that the route names; False if it is the one to tell."""
        self._upstream.errors[Failure.STATUS.value] += 1
        return self._may_retry(Failure.STATUS) and self._turn_to_next(Failure.STATUS, headers)

    def _may_retry(self, failure: Failure) -> bool:
        if not self._is_replayable or self._is_late(0.0):
            return False
        retries, method = self._plan.retries, self._request.template.method
        if is_renewal(retries, failure, method):
            return True
        self._counted += 1
        self._received += failure is not Failure.UNSENT
        return may_retry(retries, failure, method, tries=self._counted, received=self._received)

    def _turn_to_next(self, failure: Failure, headers: HeaderPairs | None) -> bool:
        """Try the next backend, now or after a back-off; False if there is to be none."""
        if failure is Failure.STALE:
            self._is_fresh = True  # so that it is met once
            self._begin_again(0.0)
            return True
        self._is_fresh = False
        self._tried = [*(self._tried or ()), self.backend]
        found = self._upstream.backends.choose(self._plan.group, self._tried)
        seconds = 0.0
        if found is None:
            self._rounds += 1
            retry_after = _find_retry_after(headers) if headers is not None else None
            wait = backoff_seconds(self._rounds, self._upstream.chance(), retry_after)
            if wait is None or self._is_late(wait):
                return False
            seconds = wait
        if headers is not None:
            self.cancel()  # the answer that is not told
        if found is not None:
            self.backend = found
        self._begin_again(seconds, all_again=found is None)
        return True

    def _begin_again(self, seconds: float, *, all_again: bool = False) -> None:
        # Never from within what has just failed, however many fail at once.
        self._timer = self._loop.call_later(seconds, self._guard, self._start_again, all_again)

    def _start_again(self, all_again: bool) -> None:
        self._timer = None
        if all_again:
            self._tried = None
            found = self._upstream.backends.choose(self._plan.group)
            assert found is not None
            self.backend = found
        self.start()

    def _is_late(self, seconds: float) -> bool:
        return self._loop.time() + seconds >= self._deadline

    def _give_back(self) -> None:
        if self._has_head:
            self._upstream.backends.finish(self.backend)
        else:
            self._upstream.backends.give_up(self.backend)


def _find_retry_after(headers: HeaderPairs) -> bytes | None:
    return next((value for name, value in headers if name.lower() == b"retry-after"), None)
