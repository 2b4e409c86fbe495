"""The rate limits of one worker's keys, counted together with the other workers of the machine.

`admit` is called for each request, never waits for a network or for a disk to be done, and for another
process at most `LOCK_WAIT_SECONDS_MAX`. Time is the machine's since it started: every process reads the same,
and setting the clock does not move it.

Traffic never depends on the file. While it cannot be had, each worker counts on its own, so that a key has
one allowance a worker; the log says so, and the file is tried again after `RETRY_SECONDS`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from proxy.errors import InvalidInputError
from proxy.gateway.slots import (
    BUCKETS,
    FILE_BYTES,
    LOCK_WAIT_SECONDS_MAX,
    Slots,
    digest_key_id,
    find_slot,
    first_word,
)
from proxy.policy.limits import Limit, Verdict, judge, resolve_limit
from proxy.policy.model import ApiKey

CHECK_SECONDS = 1
RETRY_SECONDS = 10
TICKETS_MAX = 65_536
ATTEMPTS_MAX = 2  # with the file that was open, and with the one that is there now
_SECOND_NS = 1_000_000_000
_NEVER_NS = 1 << 63
_HINT = "set rate_limiting.file to a file of its own on a local disk, in a folder this user may write to"
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_log = logging.getLogger(__name__)


# Nanoseconds since the machine started, where it can be told with the time that it slept.
read_clock_ns = partial(time.clock_gettime_ns, _CLOCK)


class Ticket(msgspec.Struct):
    """What is worked out once for each key of a snapshot. `place` is where its slot was last."""

    key: ApiKey
    limit: Limit
    digest: tuple[int, int]
    bucket: int
    place: int


class LimitTable:
    """Says of each request whether its key's limit admits it. One a process, and used by one thread.

    The defaults are for keys that do not say themselves: requests a minute, 0 for no limit, and how many at
    once, 0 for a minute's allowance. Raises `InvalidInputError` if the file cannot be had at the start.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate_default: int,
        burst_default: int = 0,
        clock_ns: Callable[[], int] = read_clock_ns,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS_MAX,
    ) -> None:
        self._path = path
        self._rate_default = rate_default
        self._burst_default = burst_default
        self._clock_ns = clock_ns
        self._lock_wait_seconds = lock_wait_seconds
        self._tickets: dict[str, Ticket] = {}
        self._own_words = memoryview(b"").cast("q")  # room is made when the file is lost
        self._is_crowded = False
        try:
            self._slots: Slots | None = self._open()
        except OSError as error:
            message = f"the rate limits cannot be kept in {path}: {error.strerror or error}"
            raise InvalidInputError(message, hint=_HINT) from error
        self._check_ns = clock_ns() + CHECK_SECONDS * _SECOND_NS

    @property
    def is_shared(self) -> bool:
        """Tell whether other workers' requests count too, as they do unless the file was lost."""
        return self._slots is not None

    def admit(self, key: ApiKey) -> Verdict | None:
        """Count a request of this key and return what becomes of it, or None for a key without a limit."""
        ticket = self._tickets.get(key.key_id)
        if ticket is None or ticket.key is not key:
            limit = resolve_limit(key, rate_default=self._rate_default, burst_default=self._burst_default)
            if limit is None:
                return None
            ticket = self._keep_ticket(key, limit)
        if self._clock_ns() >= self._check_ns:
            self._check()
        for _ in range(ATTEMPTS_MAX):
            if (slots := self._slots) is None:
                break
            try:
                slots.lock(ticket.bucket)
            except OSError as error:
                self._replace_slots(error)
                continue
            try:
                return self._count(ticket, slots.words)
            finally:
                slots.unlock(ticket.bucket)
        return self._count(ticket, self._own_words)

    def close(self) -> None:
        """Give the file back; what keys have used stays in it. Requests after that are counted apart."""
        self._leave_slots()
        self._check_ns = _NEVER_NS

    def _count(self, ticket: Ticket, words: memoryview[int]) -> Verdict:
        # The clock is read under the lock: the order of the times is then the order of the requests.
        now_ns = self._clock_ns()
        place = ticket.place
        if (words[place], words[place + 1]) != ticket.digest:
            place, is_crowded = find_slot(words, ticket.bucket, ticket.digest, now_ns)
            ticket.place = place
            self._is_crowded |= is_crowded
        verdict = judge(ticket.limit, words[place + 2], now_ns)
        words[place + 2] = verdict.arrival_ns
        return verdict

    def _keep_ticket(self, key: ApiKey, limit: Limit) -> Ticket:
        if len(self._tickets) >= TICKETS_MAX:
            self._tickets.clear()
        digest = digest_key_id(key.key_id)
        bucket = digest[0] % BUCKETS
        ticket = self._tickets[key.key_id] = Ticket(key, limit, digest, bucket, first_word(bucket))
        return ticket

    def _check(self) -> None:
        self._check_ns = self._clock_ns() + CHECK_SECONDS * _SECOND_NS
        if self._is_crowded:
            self._is_crowded = False
            _log.warning("more keys are busy at once than the rate limits have room for: some start anew")
        try:
            if self._slots is not None:
                self._slots.check()
                return
            self._slots = self._open()
        except OSError as error:
            self._replace_slots(error)
        else:
            _log.warning("rate limits are counted together with other workers again")

    def _replace_slots(self, error: OSError) -> None:
        """Open the file that is there now or, where that cannot help or be, go on without one."""
        had_slots = self._slots is not None
        self._leave_slots()
        try:
            if isinstance(error, TimeoutError) or not had_slots:
                raise error
            self._slots = self._open()
        except OSError as failure:
            self._check_ns = self._clock_ns() + RETRY_SECONDS * _SECOND_NS
            _log.error("each worker counts rate limits on its own: %s: %s", self._path, failure)
        else:
            _log.warning("the file of rate limits was opened again: %s: %s", self._path, error)

    def _leave_slots(self) -> None:
        if self._slots is not None:
            self._slots.close()
            self._slots = None
        if not self._own_words:
            self._own_words = memoryview(bytearray(FILE_BYTES)).cast("q")

    def _open(self) -> Slots:
        return Slots(self._path, lock_wait_seconds=self._lock_wait_seconds)
