"""What becomes of a request, from its head and, if a rule needs it, its body: everything before `Begin`.

It asks the one pure decision, and adds what that cannot know: how much the gateway serves already, how much
of a key's allowance is left, and what a body says that has to be read first.
"""

from __future__ import annotations

import asyncio

from proxy.audit.exchange import Exchange
from proxy.http1.request import ABORTED, FAULT_KEY
from proxy.policy.decide import Decision, Forward, NeedBody, Refuse, decide
from proxy.policy.forwarded import Forwarded, TrustedProxies, resolve_client
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead
from proxy.relay.asgi import BodyTooLargeError, ClientGoneError, Receive, RequestBody, Scope, find_client
from proxy.relay.bounds import RelayBounds
from proxy.relay.counters import Counters
from proxy.relay.limits import LimitTable
from proxy.relay.replies import BODY_REPLIES, OVERLOADED, RATE_LIMITED, STOPPING, TOO_LARGE
from proxy.relay.snapshot import SnapshotSource

INTERRUPTED = "interrupted"


class Intake:
    """Decides about requests. `limits` None: no key has one."""

    def __init__(
        self,
        snapshots: SnapshotSource,
        counters: Counters,
        bounds: RelayBounds,
        limits: LimitTable | None,
        trusted: TrustedProxies | None,
    ) -> None:
        self._snapshots = snapshots
        self._counters = counters
        self._bounds = bounds
        self._limits = limits
        self._trusted = trusted

    def find_origin(self, exchange: Exchange, head: RequestHead) -> Forwarded | None:
        """Return what a trusted proxy says of a request, and have the record name the client behind it."""
        if self._trusted is None:
            return None
        forwarded = resolve_client(head, self._trusted)
        if forwarded is not None:
            exchange.ip_address = forwarded.client
        return forwarded

    async def decide(
        self,
        exchange: Exchange,
        scope: Scope,
        head: RequestHead,
        time_us: int,
        framing: tuple[bytes, bytes] | None,
        receive: Receive,
    ) -> tuple[Forward | Refuse, HeaderPairs]:
        """Return the decision, and headers for whatever the client is answered.

        Raises `ClientGoneError` if the client leaves before it has been made; the exchange is then over.
        """
        if refusal := self._turn_away(scope):
            return refusal, ()
        snapshot, forwarded = self._snapshots.current, self.find_origin(exchange, head)
        decision = decide(head, snapshot, time_us, exchange.request_id, forwarded=forwarded)
        if isinstance(decision, Refuse):
            return decision, ()
        is_read = isinstance(decision, NeedBody)
        if isinstance(decision, NeedBody):
            # Before the limit is asked: what is refused for its model, or has no route, does not count.
            body = await self._read_body(exchange, decision, scope, framing, receive)
            if not isinstance(body, bytes):
                return body, ()
            decision = decide(head, snapshot, time_us, exchange.request_id, body, forwarded=forwarded)
            assert not isinstance(decision, NeedBody)
            if isinstance(decision, Refuse):
                return decision, ()
        allowance = self._limits.admit(decision.key) if self._limits else None
        told = allowance.headers() if allowance is not None else ()
        if allowance is not None and not allowance.is_admitted:
            return _refuse(RATE_LIMITED, decision.key), told
        if not is_read and framing is not None and _declared_size(framing) > self._bounds.body_bytes_max:
            return _refuse(TOO_LARGE, decision.key), told
        return decision, told

    def _turn_away(self, scope: Scope) -> Refuse | None:
        """Refuse what the server could not read, and what is too much."""
        if fault := scope["extensions"].get(FAULT_KEY):
            return Refuse(fault.status, "bad_request", fault.message, reason=fault.reason)
        if self._counters.in_flight > self._bounds.in_flight_max:
            return _refuse(OVERLOADED, None)
        return None

    async def _read_body(
        self,
        exchange: Exchange,
        decision: NeedBody,
        scope: Scope,
        framing: tuple[bytes, bytes] | None,
        receive: Receive,
    ) -> bytes | Refuse:
        bytes_max = self._bounds.inspected_bytes_max
        if framing is not None and _declared_size(framing) > bytes_max:
            return _refuse(TOO_LARGE, decision.key)
        try:
            return b"".join([piece async for piece in RequestBody(receive, exchange, bytes_max)])
        except BodyTooLargeError:
            return _refuse(TOO_LARGE, decision.key)
        except ClientGoneError:
            return _refuse_broken(exchange, decision, find_client(scope).leave_reason or ABORTED)
        except asyncio.CancelledError:
            return interrupt(decision.key)


def interrupt(key: ApiKey | None) -> Refuse:
    """Return what becomes of a request that is cancelled before it is forwarded.

    Only a server that stops cancels: the task ends with the answer, and the client is still there.
    """
    return _refuse(STOPPING, key, INTERRUPTED)


def _refuse(reply: tuple[int, str, str], key: ApiKey | None, reason: str = "") -> Refuse:
    status, code, message = reply
    return Refuse(status, code, message, reason=reason or code, key=key)


def _refuse_broken(exchange: Exchange, decision: Decision, reason: str) -> Refuse:
    """Refuse a request whose body did not come to its end; nobody is there to be told if the client left."""
    if reason in BODY_REPLIES:
        return _refuse(BODY_REPLIES[reason], decision.key, reason)
    exchange.end(reason, decision)
    raise ClientGoneError


def _declared_size(framing: tuple[bytes, bytes]) -> int:
    return int(framing[1]) if framing[0] == b"content-length" else 0
