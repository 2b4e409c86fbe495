"""A worker's end of the journal: it numbers requests, says what is kept of them, and writes their events.

What comes in one turn of the event loop is written together. A request waits for that once, before anything
of it goes to a backend, and no stream ever waits: an event that the journal does not take is kept for a while
and tried again, unless its request can still be refused.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from proxy.audit.events import AuditEvent, BriefBegin, End
from proxy.audit.journal import JournalWriter
from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import header_names
from proxy.audit.masking.text import TextWriter
from proxy.audit.record import HeadTexts, Record
from proxy.errors import JournalError
from proxy.ids import UlidSource
from proxy.policy.model import RequestHead
from proxy.settings import AuditSettings

HEADERS_BYTES_MAX = 1024 * 1024
BODY_BYTES_MAX = 16 * 1024 * 1024  # of each body, whatever the configuration says: a record has a bound
# An event stream is mostly frame: so much more of it is kept as may be needed for a text of that size.
STREAM_FACTOR = 32
STREAM_BYTES_MAX = 1024 * 1024
WAITING_EVENTS_MAX = 5_000
PENDING_EVENTS_MAX = 64  # that are written together
# Masked whatever the configuration says; `audit.redact_headers` adds to them.
_SECRET_HEADERS = (
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "set-cookie",
)
_NO_MASK = SecretMask()
_NOT_WRITTEN = JournalError("the journal has met a bug")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What is kept of a request, and whether one that cannot be audited goes through all the same."""

    include_headers: bool = True
    headers_bytes_max: int = 8192
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
        headers_bytes_max=min(settings.headers_max_size, HEADERS_BYTES_MAX),
        body_bytes_max=body_bytes_max,
        stream_bytes_max=longest if merges_streams else body_bytes_max,
        redacted=header_names((*_SECRET_HEADERS, *settings.redact_headers)),
        forward_on_failure=settings.on_failure == "forward",
        merges_streams=merges_streams,
    )


class Waiter(Protocol):
    """Who waits for the beginning of a request to be in the journal."""

    def recorded(self, error: JournalError | None) -> None:
        """It is, or, with an error, the request must not go on. Raises nothing."""


_Commit = tuple[str, Waiter]  # with the request's ulid


class AuditTrail:
    """One worker's way into the journal. `events_lost` counts events that the journal never took.

    `is_failing` tells whether it refused the last one; `tapped_bytes` is how much of bodies is in memory.
    `defer` calls a function in the event loop's next turn, as its `call_soon` does; without it every event is
    written by itself.
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
        self._writer = TextWriter(policy.redacted, find_mask)
        self.events_lost = 0
        self.is_failing = False
        self.tapped_bytes = 0
        self._journal = journal
        self.sequence = 0  # of the last request of this worker
        self._ulids = UlidSource()
        self._defer = defer
        self._pending: list[AuditEvent] = []
        self._commits: list[_Commit] = []
        self._waiting: deque[tuple[AuditEvent, ...]] = deque()

    @property
    def writer(self) -> TextWriter:
        """Return what writes texts down, with the secrets masked that there are now."""
        self._writer.refresh()
        return self._writer

    def open(
        self, head: RequestHead, time_us: int, texts: HeadTexts | None = None, length: str = ""
    ) -> Record:
        """Start the record of a request that came at `time_us`, microseconds since the epoch.

        `texts` are those of its head, if it was recognised, and `length` the digits of its Content-Length.
        """
        return Record(self, head, self._ulids.next(time_us), time_us, texts, length)

    def commit(self, begin: BriefBegin, waiter: Waiter) -> None:
        """Write the beginning of a request, and tell the waiter when the journal has it.

        Told of a `JournalError`, it is to be refused: it has left nothing, and its number is free.
        """
        if self._journal is None:
            waiter.recorded(None)
            return
        self._commits.append((begin.ulid, waiter))
        self.write(begin)

    def write(self, *events: AuditEvent, at_once: bool = False) -> None:
        """Have events written with what else comes in this turn; those that cannot be are kept for later.

        `at_once` is for what is long: a record has a bound.
        """
        if self._journal is None:
            return
        if not self._pending and self._defer is not None:
            self._defer(self.flush)
        self._pending += events
        if self._defer is None or at_once or len(self._pending) > PENDING_EVENTS_MAX:
            self.flush()

    def flush(self) -> None:
        """Append what is to be written together."""
        if not self._pending or self._journal is None:
            return
        pending, self._pending = self._pending, []
        commits, self._commits = self._commits, []
        refusal: JournalError | None = _NOT_WRITTEN
        try:
            refusal = self._append(self._journal, pending, commits)
        finally:
            for _, waiter in commits:
                waiter.recorded(refusal)

    def _append(
        self, journal: JournalWriter, pending: Sequence[AuditEvent], commits: Sequence[_Commit]
    ) -> JournalError | None:
        """Write events, or keep what may not be lost; return why those who wait are to be refused."""
        try:
            if self._waiting:
                self._write_waiting(journal)
            journal.append(*pending, within_bound=bool(commits))
        except JournalError as error:
            self._note_failure(error)
            if not commits or self.policy.forward_on_failure:
                self._keep(pending)
                return None
            if others := self._withdraw(pending, {ulid for ulid, _ in commits}):
                self._append(journal, others, ())
            return error
        if self.is_failing and commits:
            self._recover()
        return None

    def _withdraw(self, pending: Sequence[AuditEvent], refused: set[str]) -> list[AuditEvent]:
        """Return what is left without refused requests, numbered anew: a gap would be a lost record."""
        self.sequence -= sum(isinstance(event, BriefBegin) for event in pending)
        kept: list[AuditEvent] = []
        for event in pending:
            if event.ulid in refused:
                continue
            if isinstance(event, BriefBegin):
                self.sequence += 1
                event = replace(event, sequence=self.sequence)
            kept.append(event)
        return kept

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

    def _keep(self, events: Sequence[AuditEvent]) -> None:
        if len(self._waiting) >= WAITING_EVENTS_MAX:
            self.events_lost += len(events)
        else:
            self._waiting.append(tuple(map(_drop_bodies, events)))


def _drop_bodies(event: AuditEvent) -> AuditEvent:
    # Many are kept, and a full disk is no reason to fill the memory.
    if isinstance(event, End):
        return replace(event, request_body=None, response_body=None)
    return event
