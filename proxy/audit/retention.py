"""Retention: how long requests and their bodies are kept, and the little that is deleted each time.

The recorder calls it between its batches. It never holds the database for longer than a moment, and never
keeps the recorder from what has just come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.store.database import Database
from proxy.store.facts import US_PER_DAY
from proxy.store.retention import Pruned, Pruner

# How long one call may take, and how long there is nothing to do once everything old is gone.
WORK_SECONDS = 0.1
REST_SECONDS = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days after which rows and bodies are deleted; 0 keeps them."""

    days: int = 0
    body_days: int = 0


class Retention:
    """Deletes what is older than a policy allows. `monotonic` is the clock that bounds a call."""

    def __init__(
        self, policy: RetentionPolicy | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy or RetentionPolicy()
        self._monotonic = monotonic
        self._rest_until = 0.0
        self._deleted = 0

    def work(self, database: Database, now_us: int) -> int:
        """Delete some of what is old, if it is time to; return how many requests were deleted or emptied."""
        started = self._monotonic()
        if started < self._rest_until:
            return 0
        changed = 0
        for prune, before_us in self._list_tasks(Pruner(database), now_us):
            while self._monotonic() - started < WORK_SECONDS:
                pruned = prune(before_us)
                changed += pruned.changed
                if not pruned.seen:
                    break
            else:
                self._deleted += changed
                return changed
        self._rest_until = self._monotonic() + REST_SECONDS
        self._report(changed)
        return changed

    def _list_tasks(self, pruner: Pruner, now_us: int) -> list[tuple[Callable[[int], Pruned], int]]:
        days, body_days = self._policy.days, self._policy.body_days
        tasks: list[tuple[Callable[[int], Pruned], int]] = []
        if days:
            before_us = now_us - days * US_PER_DAY
            tasks += [(pruner.prune_rows, before_us), (pruner.prune_words, before_us)]
        if body_days and not 0 < days <= body_days:
            tasks.append((pruner.prune_bodies, now_us - body_days * US_PER_DAY))
        return tasks

    def _report(self, changed: int) -> None:
        if total := self._deleted + changed:
            _log.info("%d requests were deleted or lost their bodies: their time is over", total)
        self._deleted = 0
