"""What one worker serves requests with, and how an exchange is made of each: the `Handler` of its
connections.

It reads one immutable snapshot and writes to the journal, and waits for nothing else. Every path is the
gateway's but its own few pages, which are handed to `pages`.
"""

from __future__ import annotations

import asyncio
import re

from proxy.audit.record import Record
from proxy.audit.trail import AuditTrail
from proxy.clock import ForwardClock
from proxy.gateway.bounds import Bounds
from proxy.gateway.exchange import Exchange
from proxy.gateway.heads import Heads, KnownHead, RawHead
from proxy.gateway.limits import LimitTable
from proxy.gateway.pages import Pages
from proxy.gateway.snapshot import SnapshotSource
from proxy.http1.faults import Fault
from proxy.http1.handler import Client, ClientExchange
from proxy.policy.cors import CorsPolicy
from proxy.policy.decide import Decision, decide
from proxy.policy.forwarded import Forwarded, TrustedProxies, resolve_client
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.relay.counters import Counters
from proxy.upstream.request import CHUNKED
from proxy.upstream.upstream import Upstream

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:-]{3,127}")


class Gateway:
    """One worker's. `limits` None: no key has one; `trusted` None: no proxy in front is believed."""

    def __init__(
        self,
        *,
        pages: Pages,
        snapshots: SnapshotSource,
        upstream: Upstream,
        trail: AuditTrail,
        counters: Counters,
        bounds: Bounds,
        limits: LimitTable | None = None,
        trusted: TrustedProxies | None = None,
        cors: CorsPolicy | None = None,
    ) -> None:
        self.snapshots = snapshots
        self.upstream = upstream
        self.counters = counters
        self.bounds = bounds
        self.limits = limits
        self.cors = cors
        self.heads = Heads()
        self.loop: asyncio.AbstractEventLoop
        self._pages = pages
        self._trail = trail
        self._trusted = trusted
        self._clock = ForwardClock()
        self._inspected_bytes = 0

    def start(self) -> None:
        """Get ready to serve. Call it where the event loop runs."""
        self.loop = asyncio.get_running_loop()
        self.upstream.start()

    # What connections ask.

    def recognise(self, peer: str, data: bytes, end: int) -> tuple[KnownHead, int, int] | None:
        """Return what `open_known` takes if a head, `data` up to `end`, is known, or None."""
        snapshots = self.snapshots
        return self.heads.recognise(peer, data, end, snapshots.current, snapshots.mask, self._clock.now_us())

    def open_known(self, client: Client, known: KnownHead, length: int, time_us: int) -> ClientExchange:
        """Return the exchange of a recognised head."""
        self.counters.in_flight += 1
        head = known.head
        if known.has_length:
            record = self._trail.open(head, time_us, known.texts, str(length))
            return Exchange(self, client, head, record, time_us, length, known=known)
        record = self._trail.open(head, time_us, known.texts)
        return Exchange(self, client, head, record, time_us, None, known=known)

    def open(
        self, client: Client, head: RequestHead, fault: Fault | None, raw: tuple[bytes, int] | None
    ) -> ClientExchange:
        """Return the exchange of a request; one with a fault is going to be refused."""
        if head.path in self._pages.paths:
            return self._pages.open(client, head, fault)
        self.counters.in_flight += 1
        time_us = self._clock.now_us()
        # Before the record, which may write down what the mask leaves of the head.
        kept = None if raw is None else RawHead(*raw, self.snapshots.current, self.snapshots.mask)
        record = self._trail.open(head, time_us)
        length = _find_length(head.headers) if fault is None else None
        return Exchange(self, client, head, record, time_us, length, fault, kept)

    # What exchanges ask.

    def decide(
        self,
        head: RequestHead,
        time_us: int,
        request_id: str,
        body: bytes | None,
        forwarded: Forwarded | None,
    ) -> Decision:
        """Return the one pure decision, by the keys and routes as they are now."""
        return decide(head, self.snapshots.current, time_us, request_id, body, forwarded=forwarded)

    def find_forwarded(self, head: RequestHead, record: Record) -> Forwarded | None:
        """Return what a trusted proxy says of a request, and have the record name the client behind it."""
        if self._trusted is None:
            return None
        forwarded = resolve_client(head, self._trusted)
        if forwarded is not None:
            record.ip_address = forwarded.client
            record.given_id = _find_request_id(head.headers)
        return forwarded

    def name_for_backend(self, record: Record) -> bytes:
        """Return the id that a backend is sent: as a UUID, for there are some that take nothing else."""
        return (record.given_id or record.uuid).encode()

    def reserve_memory(self, size: int) -> bool:
        """Take memory for a body that is looked into; False if all of them together hold too much."""
        if self._inspected_bytes + size > self.bounds.inspected_total_bytes_max:
            return False
        self._inspected_bytes += size
        return True

    def release_memory(self, size: int) -> None:
        """Give it back."""
        self._inspected_bytes -= size

    def finish(self, record: Record, error: str | None) -> None:
        """Count a request that is over."""
        counters = self.counters
        counters.in_flight -= 1
        counters.count(
            record.route_id,
            record.status,
            record.is_stream,
            error,
            record.elapsed_us(),
            record.first_byte_us,
            record.gateway_us,
        )


def _find_request_id(headers: HeaderPairs) -> str | None:
    """Return the id that a trusted proxy has given a request, if it is one that can be shown and
    looked for.
    """
    found = [value for name, value in headers if name == b"x-request-id"]
    return found[0].decode() if len(found) == 1 and _REQUEST_ID.fullmatch(found[0]) else None


def _find_length(headers: HeaderPairs) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
        if name == b"transfer-encoding":
            return CHUNKED
    return None
