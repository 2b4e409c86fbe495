"""A request in flight, and how it becomes events.

`AuditTrail` is a worker's end of the journal: it numbers requests and says what is kept of them. `Exchange`
is one request: the relay tells it what passes, it writes `Begin`, `FirstByte` and `End`, and it ends exactly
once, whatever happens. Neither ever waits for anything but one `write` to the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.audit.events import AuditEvent, Begin, End, FirstByte, request_id
from proxy.audit.journal import JournalWriter
from proxy.audit.redact import header_names, redact_headers, redact_query
from proxy.errors import JournalError
from proxy.ids import UlidSource
from proxy.policy.decide import Decision, Forward
from proxy.policy.model import HeaderPairs, RequestHead
from proxy.settings import AuditSettings

TEXT_MAX = 500  # characters of path, target and user agent that a row keeps
BODY_BYTES_MAX = 16 * 1024 * 1024  # of each body, whatever the configuration says: a record has a bound
# Masked whatever the configuration says; `audit.redact_headers` adds to them.
_SECRET_HEADERS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "set-cookie")
_STREAM_TYPES = (
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/stream+json",
)


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What is kept of a request, and whether one that cannot be audited goes through all the same."""

    include_headers: bool = True
    body_bytes_max: int = 0  # 0: bodies are not kept
    redacted: frozenset[bytes] = frozenset()
    forward_on_failure: bool = False


def build_audit_policy(settings: AuditSettings) -> AuditPolicy:
    """Return the policy that the configuration's `audit` section asks for."""
    return AuditPolicy(
        include_headers=settings.include_headers,
        body_bytes_max=min(settings.body_max_size, BODY_BYTES_MAX) if settings.include_body else 0,
        redacted=header_names((*_SECRET_HEADERS, *settings.redact_headers)),
        forward_on_failure=settings.on_failure == "forward",
    )


class AuditTrail:
    """One worker's way into the journal. `events_lost` counts events that the journal did not take.

    `is_failing` tells whether it refused the last one.
    """

    def __init__(
        self,
        journal: JournalWriter | None,
        policy: AuditPolicy,
        *,
        monotonic_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.policy = policy
        self.monotonic_ns = monotonic_ns
        self.events_lost = 0
        self.is_failing = False
        self._journal = journal
        self._sequence = 0
        self._ulids = UlidSource()

    def open(self, head: RequestHead, time_us: int) -> Exchange:
        """Start an exchange for a request that came at `time_us`, microseconds since the epoch."""
        return Exchange(self, head, self._ulids.next(time_us), time_us)

    def next_sequence(self) -> int:
        """Return the number of the next request of this worker."""
        self._sequence += 1
        return self._sequence

    def return_sequence(self) -> None:
        """Take back the last number: its request was refused and left no record, so there is no gap."""
        self._sequence -= 1

    def write(self, *events: AuditEvent, required: bool = False) -> None:
        """Append events; if they cannot be written raise `JournalError` (`required`) or count them."""
        if self._journal is None:
            return
        try:
            self._journal.append(*events)
            self.is_failing = False
        except JournalError:
            self.is_failing = True
            if required and not self.policy.forward_on_failure:
                raise
            self.events_lost += len(events)


class Exchange:
    """One request in flight: what has passed so far, and whether it has ended."""

    __slots__ = (
        "_began_us",
        "_begun",
        "_head",
        "_request_tap",
        "_response_headers",
        "_response_tap",
        "_started_ns",
        "_trail",
        "answered",
        "chunks",
        "ended",
        "first_byte_us",
        "gateway_us",
        "ip_address",
        "is_stream",
        "request_size",
        "response_size",
        "route_id",
        "status",
        "ulid",
    )

    def __init__(self, trail: AuditTrail, head: RequestHead, ulid: str, began_us: int) -> None:
        self.ulid = ulid
        self.status: int | None = None
        self.request_size = 0
        self.response_size = 0
        self.chunks = 0
        self.gateway_us = 0
        self.answered = False  # the head of a response has gone to the client
        self.ended = False
        self.ip_address = head.peer  # or, behind a proxy that is trusted, of the client that it names
        self.route_id: str | None = None  # of the route that serves it
        self.first_byte_us: int | None = None
        self.is_stream = False
        self._trail = trail
        self._head = head
        self._began_us = began_us
        self._begun = False
        self._started_ns = trail.monotonic_ns()
        self._response_headers: HeaderPairs | None = None
        self._request_tap = bytearray()
        self._response_tap = bytearray()

    @property
    def request_id(self) -> str:
        """Return the id that is shown to the client and sent to the backend."""
        return request_id(self.ulid)

    def elapsed_us(self) -> int:
        """Return microseconds since the request came, by the monotonic clock."""
        return (self._trail.monotonic_ns() - self._started_ns) // 1000

    def begin(self, decision: Decision, origin: str | None = None) -> None:
        """Write `Begin`; only after this may a byte go upstream. Raises `JournalError` if it must not.

        `origin` is the backend that is asked first, if it is not the route's own.
        """
        if isinstance(decision, Forward):
            self.route_id = decision.compiled.route.route_id
        try:
            self._trail.write(self._build_begin(decision, origin), required=True)
        except JournalError:
            self._trail.return_sequence()
            raise
        self._begun = True

    def refuse(self, decision: Decision, status: int, reason: str, response_size: int) -> None:
        """Write `Begin` and `End` in one go, for a request that the gateway answers itself."""
        self.ended = True
        self.status = status
        self.response_size = response_size
        self.gateway_us = self.elapsed_us()
        self._trail.write(self._build_begin(decision), self._build_end(reason))

    def take_request_bytes(self, data: bytes) -> None:
        """Count, and keep a bounded copy of, body bytes on their way to the backend."""
        self.request_size += len(data)
        room = self._trail.policy.body_bytes_max - len(self._request_tap)
        if room > 0:
            self._request_tap += data[:room]

    def take_response_head(self, status: int, headers: HeaderPairs) -> None:
        """Note the backend's status and headers, their names in lower case; they are masked when written."""
        self.status = status
        self._response_headers = headers
        for name, value in headers:
            if name == b"content-type":
                self.is_stream = value.lower().startswith(_STREAM_TYPES)

    def take_response_bytes(self, data: bytes) -> None:
        """Count, and keep a bounded copy of, body bytes on their way to the client."""
        if self.first_byte_us is None:
            self.first_byte_us = self.elapsed_us()
            if self.is_stream:
                # A plain response ends a moment later, and `End` says when its first byte came.
                self._trail.write(FirstByte(self.ulid, self._began_us, self.first_byte_us))
        self.chunks += 1
        self.response_size += len(data)
        room = self._trail.policy.body_bytes_max - len(self._response_tap)
        if room > 0:
            self._response_tap += data[:room]

    def end(self, error: str | None = None, decision: Decision | None = None) -> None:
        """Write `End`, the first time it is called; later calls change nothing.

        A request that failed before it was decided on has no `Begin` yet, and gets one now.
        """
        if not self.ended:
            self.ended = True
            begin = () if self._begun else (self._build_begin(decision),)
            self._trail.write(*begin, self._build_end(error))

    def _build_begin(self, decision: Decision | None, origin: str | None = None) -> Begin:
        head, policy = self._head, self._trail.policy
        forward = decision if isinstance(decision, Forward) else None
        key = decision.key if decision else None
        user_agent = None
        for name, value in head.headers:
            if name == b"user-agent":
                user_agent = _text(value)
                break
        return Begin(
            ulid=self.ulid,
            sequence=self._trail.next_sequence(),
            began_us=self._began_us,
            method=head.method[:10],
            path=_text(head.path),
            ip_address=self.ip_address,
            user_agent=user_agent,
            key_id=key.key_id if key else None,
            source_path=key.source_path if key else None,
            route_id=forward.compiled.route.route_id if forward else None,
            target_url=_target_url(forward, origin) if forward else None,
            headers=redact_headers(head.headers, policy.redacted) if policy.include_headers else None,
            is_previous=key.is_previous if key else False,
        )

    def _build_end(self, error: str | None) -> End:
        policy, headers = self._trail.policy, self._response_headers
        return End(
            ulid=self.ulid,
            began_us=self._began_us,
            after_us=self.elapsed_us(),
            status=self.status,
            error=error,
            first_byte_after_us=self.first_byte_us,
            gateway_us=self.gateway_us,
            request_size=self.request_size,
            response_size=self.response_size,
            is_stream=self.is_stream,
            chunks=self.chunks if self.is_stream else 0,
            headers=redact_headers(headers, policy.redacted) if headers and policy.include_headers else None,
            request_body=bytes(self._request_tap) if policy.body_bytes_max else None,
            response_body=bytes(self._response_tap) if policy.body_bytes_max else None,
        )


def _text(raw: bytes) -> str:
    return raw[:TEXT_MAX].decode("latin-1")


def _target_url(forward: Forward, origin: str | None) -> str:
    path, question, query = forward.target.partition(b"?")
    target = path + question + redact_query(query) if query else path
    return ((origin or forward.compiled.origin) + _text(target))[:TEXT_MAX]
