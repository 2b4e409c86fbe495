"""A journal, a trail into it, and who waits for it; what the journal holds is read with each head spelled
out.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.audit.events import AuditEvent, Begin, BriefBegin, End, decode_head
from proxy.audit.journal import TOTAL_BYTES_MAX, JournalWriter
from proxy.audit.record import Record
from proxy.audit.segments import list_segments
from proxy.audit.trail import AuditPolicy, AuditTrail, build_audit_policy
from proxy.errors import JournalError
from proxy.policy.decide import Forward
from proxy.policy.model import ApiKey, HeaderPairs, RequestHead, Route
from proxy.policy.routing import compile_route
from proxy.settings import AuditSettings

BEGAN_US = 1_769_817_600_000_000
KEY = ApiKey("key_1", "sha256:0", source_path="team")
ROUTE = compile_route(Route("rt_1", "chat", "/v1/*", "backend:8000"))
ORIGIN = "http://backend:8000"
POLICY = build_audit_policy(AuditSettings(include_body=True, body_max_size=8))
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]


class Waiter:
    """Who waits for a beginning to be in the journal: `told` is what came of it, in order."""

    def __init__(self) -> None:
        self.told: list[JournalError | None] = []

    def recorded(self, error: JournalError | None) -> None:
        self.told.append(error)


class Bench:
    """A trail into a journal of its own, and a monotonic clock that a test turns by hand.

    With `defers`, what comes in one turn is written together, and `run_turn` is the next one.
    """

    def __init__(
        self,
        directory: Path,
        policy: AuditPolicy = POLICY,
        *,
        defers: bool = False,
        total_bytes_max: int = TOTAL_BYTES_MAX,
    ) -> None:
        self.directory = directory
        self.clock_ns = 0
        self.journal = JournalWriter(directory, "w", total_bytes_max=total_bytes_max)
        self._deferred: list[Any] = []
        self.trail = AuditTrail(
            self.journal,
            policy,
            monotonic_ns=lambda: self.clock_ns,
            defer=self._deferred.append if defers else None,
        )

    def open(self, **fields: Any) -> Record:
        head: dict[str, Any] = {"method": "POST", "path": b"/v1/chat", "query": b"", "headers": ()}
        return self.trail.open(RequestHead(**(head | fields)), BEGAN_US)

    def run_turn(self) -> None:
        calls, self._deferred[:] = list(self._deferred), []
        for call in calls:
            call()

    def pass_us(self, microseconds: int) -> None:
        self.clock_ns += microseconds * 1000

    def events(self) -> list[AuditEvent]:
        return [
            spell_out(event)
            for segment in list_segments(self.directory)
            for event in segment.read(0, 1 << 24).events
        ]

    def kinds(self) -> list[type[AuditEvent]]:
        return [type(event) for event in self.events()]

    def begins(self) -> list[Begin]:
        return [event for event in self.events() if isinstance(event, Begin)]

    def ends(self) -> list[End]:
        return [event for event in self.events() if isinstance(event, End)]

    def sequences(self) -> list[int]:
        return [event.sequence for event in self.begins()]

    def bytes(self) -> bytes:
        return b"".join(segment.path.read_bytes() for segment in list_segments(self.directory))


def forward(target: bytes = b"/v1/chat", headers: HeaderPairs = ()) -> Forward:
    return Forward(KEY, ROUTE, target, list(headers))


def begin_record(record: Record, decision: Forward | None = None, key: ApiKey = KEY) -> Waiter:
    """Begin a request that is to be forwarded, as the gateway does it."""
    waiter, route_id = Waiter(), ROUTE.route.route_id
    target_url = record.write_target(decision or forward(), ORIGIN)
    record.begin(route_id, record.encode_head(key, route_id, target_url), waiter)
    return waiter


def spell_out(event: AuditEvent) -> AuditEvent:
    """Return a beginning with what its head says; every other event as it is."""
    if not isinstance(event, BriefBegin):
        return event
    head = decode_head(event.head)
    headers = head.headers
    if headers is not None:
        headers += (event.length or "") + head.headers_rest
    return Begin(
        event.ulid,
        event.sequence,
        event.began_us,
        head.method,
        head.path,
        head.ip_address,
        head.user_agent,
        head.key_id,
        head.source_path,
        head.route_id,
        head.target_url,
        headers,
        head.is_previous,
    )


@contextmanager
def full_disk() -> Iterator[None]:
    """Let nothing be written meanwhile."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
