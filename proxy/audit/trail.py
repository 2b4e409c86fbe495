"""A worker's end of the journal: it numbers requests, says what is kept of them, and writes their events.

Nobody ever waits for it: an event that the journal does not take is kept for a while and tried again, unless
its request can still be refused.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from proxy.audit.events import AuditEvent, End
from proxy.audit.exchange import Exchange
from proxy.audit.journal import JournalWriter
from proxy.audit.redact import header_names
from proxy.audit.scribe import Scribe
from proxy.audit.secrets import SecretMask
from proxy.errors import JournalError
from proxy.ids import UlidSource
from proxy.policy.model import RequestHead
from proxy.settings import AuditSettings

BODY_BYTES_MAX = 16 * 1024 * 1024  # of each body, whatever the configuration says: a record has a bound
# An event stream is mostly frame: so much more of it is kept as may be needed for a text of that size.
STREAM_FACTOR = 32
STREAM_BYTES_MAX = 1024 * 1024
WAITING_EVENTS_MAX = 5_000
PENDING_EVENTS_MAX = 64  # that are written together
# Masked whatever the configuration says; `audit.redact_headers` adds to them.
_SECRET_HEADERS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "set-cookie")
_NO_MASK = SecretMask()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What is kept of a request, and whether one that cannot be audited goes through all the same."""

    include_headers: bool = True
    body_bytes_max: int = 0  # 0: bodies are not kept
    stream_bytes_max: int = 0
    redacted: frozenset[bytes] = frozenset()
    forward_on_failure: bool = False
    merges_streams: bool = False  # the recorder makes one answer of an event stream's events


def build_audit_policy(settings: AuditSettings) -> AuditPolicy:
    """Return the policy that the configuration's `audit` section asks for."""
    body_bytes_max = min(settings.body_max_size, BODY_BYTES_MAX) if settings.include_body else 0
    merges_streams = settings.stream_bodies == "merged"
    longest = max(body_bytes_max, min(body_bytes_max * STREAM_FACTOR, STREAM_BYTES_MAX))
    return AuditPolicy(
        include_headers=settings.include_headers,
        body_bytes_max=body_bytes_max,
        stream_bytes_max=longest if merges_streams else body_bytes_max,
        redacted=header_names((*_SECRET_HEADERS, *settings.redact_headers)),
        forward_on_failure=settings.on_failure == "forward",
        merges_streams=merges_streams,
    )


class AuditTrail:
    """One worker's way into the journal. `events_lost` counts events that the journal never took.

    `is_failing` tells whether it refused the last one; `tapped_bytes` is how much of bodies is in memory.
    `defer` calls a function before the event loop goes on, as its `call_soon` does; without it nothing waits.
    """

    def __init__(
        self,
        journal: JournalWriter | None,
        policy: AuditPolicy,
        *,
        find_mask: Callable[[], SecretMask] = lambda: _NO_MASK,
        monotonic_ns: Callable[[], int] = time.perf_counter_ns,
        defer: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.policy = policy
        self.monotonic_ns = monotonic_ns
        self.scribe = Scribe(policy.redacted, find_mask)
        self.events_lost = 0
        self.is_failing = False
        self.tapped_bytes = 0
        self._journal = journal
        self._sequence = 0
        self._ulids = UlidSource()
        self._defer = defer
        self._pending: list[AuditEvent] = []
        self._waiting: deque[tuple[AuditEvent, ...]] = deque()

    def open(self, head: RequestHead, time_us: int) -> Exchange:
        """Start an exchange for a request that came at `time_us`, microseconds since the epoch."""
        self.scribe.refresh()
        return Exchange(self, head, self._ulids.next(time_us), time_us)

    def next_sequence(self) -> int:
        """Return the number of the next request of this worker."""
        self._sequence += 1
        return self._sequence

    def return_sequence(self) -> None:
        """Take back the last number: its request was refused and left no record, so there is no gap."""
        self._sequence -= 1

    def write(self, *events: AuditEvent, required: bool = False) -> None:
        """Append events; those that cannot be written are kept for later.

        Of a request that can still be refused they are `required`: they are written at once, or else
        `JournalError` is raised. Others are written together with what comes before the event loop goes on.
        """
        if self._journal is None:
            return
        if required or self._defer is None:
            self._append(self._journal, events, required=required)
            return
        if not self._pending:
            self._defer(self.flush)
        self._pending += events
        if len(self._pending) > PENDING_EVENTS_MAX or _has_bodies(events[-1]):
            self.flush()

    def flush(self) -> None:
        """Append what is to be written together."""
        if self._pending and self._journal is not None:
            self._append(self._journal, ())

    def _append(
        self, journal: JournalWriter, events: tuple[AuditEvent, ...], *, required: bool = False
    ) -> None:
        pending, self._pending = tuple(self._pending), []
        try:
            if self._waiting:
                self._write_waiting(journal)
            journal.append(*pending, *events, within_bound=required)
            if self.is_failing:
                self._recover()
        except JournalError as error:
            self._note_failure(error)
            if pending:
                self._keep(pending)
            if required and not self.policy.forward_on_failure:
                raise
            if events:
                self._keep(events)

    def retry(self) -> None:
        """If the journal has refused an event, see whether it takes them now, those that wait first."""
        self.flush()
        if self._journal is not None and self.is_failing:
            with suppress(JournalError):
                self._write_waiting(self._journal)
                self._journal.append(within_bound=True)  # an empty record
                self._recover()

    def _note_failure(self, error: JournalError) -> None:
        # Once for each trouble: a line for each request would fill what may be the same disk.
        if not self.is_failing:
            self.is_failing = True
            what = "go through unrecorded for now" if self.policy.forward_on_failure else "are refused"
            _log.error("new requests %s: %s", what, error)

    def _recover(self) -> None:
        self.is_failing = False
        _log.warning("requests are recorded again")

    def _write_waiting(self, journal: JournalWriter) -> None:
        while self._waiting:
            journal.append(*self._waiting[0])
            self._waiting.popleft()

    def _keep(self, events: tuple[AuditEvent, ...]) -> None:
        if len(self._waiting) >= WAITING_EVENTS_MAX:
            self.events_lost += len(events)
        else:
            self._waiting.append(tuple(_drop_bodies(event) for event in events))


def _has_bodies(event: AuditEvent) -> bool:
    # A record has a bound, and bodies are long.
    return isinstance(event, End) and (event.request_body is not None or event.response_body is not None)


def _drop_bodies(event: AuditEvent) -> AuditEvent:
    # Many are kept, and a full disk is no reason to fill the memory.
    if isinstance(event, End):
        return msgspec.structs.replace(event, request_body=None, response_body=None)
    return event
