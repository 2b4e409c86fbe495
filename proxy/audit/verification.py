"""Proof that nothing was lost: what the workers have counted against what is there.

Every worker numbers the requests that it accepts. What has a number is a row, or waits in the journal, or was
deleted because its time was over; what is none of these is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.audit.events import AuditEvent, Begin, BriefBegin
from proxy.audit.segments import Segment, list_segments, list_strangers
from proxy.errors import JournalError
from proxy.store.accounts import WriterAccount, count_interrupted, read_accounts
from proxy.store.database import Database
from proxy.store.recording import read_offsets

_READ_BYTES = 4 * 1024 * 1024
_TRIES_MAX = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """Requests: `accepted` by workers; `stored` as rows, deleted ones included; `spooled` in the journal.

    `interrupted` rows are of requests that were cut, `duplicates` are rows beyond the first of a request.
    """

    accepted: int
    stored: int
    spooled: int
    lost: int
    interrupted: int
    duplicates: int


def verify_trail(database: Database, directory: Path) -> Verdict:
    """Return how many requests there should be and are. Raises `DatabaseError`, and `JournalError`."""
    if strangers := list_strangers(directory):
        raise JournalError(
            f"{strangers[0]} cannot be read: it is named like a part of the journal and is no regular file",
            hint="move it elsewhere",
        )
    for _ in range(_TRIES_MAX):
        # Before the database is looked at: what these do not hold is a row then, or came later. A newer one
        # may follow one whose end is neither among the rows that were counted nor there any more.
        segments = list_segments(directory)
        with database.snapshot():
            accounts, offsets = read_accounts(database), read_offsets(database)
            interrupted = count_interrupted(database)
        try:
            spooled = _count_spooled(segments, offsets)
        except FileNotFoundError:  # recorded, and deleted, since the database was looked at
            continue
        except OSError as error:
            raise JournalError(
                f"the journal cannot be read: {error.strerror}",
                hint=f"run this as the user whose gateway writes to {directory}",
            ) from error
        return _judge(accounts, spooled, interrupted)
    raise JournalError("the journal changes too fast to be counted", hint="try again when there is less load")


def _judge(
    accounts: Mapping[str, WriterAccount], spooled: Mapping[str, tuple[int, int]], interrupted: int
) -> Verdict:
    accepted = stored = lost = 0
    for writer_id in accounts.keys() | spooled.keys():
        account = accounts.get(writer_id, WriterAccount())
        waiting, last = spooled.get(writer_id, (0, 0))
        there = account.rows + account.pruned
        accepted += max(account.accepted, last)
        stored += there
        lost += max(0, max(account.accepted, last) - there - waiting)
    return Verdict(
        accepted=accepted,
        stored=stored,
        spooled=sum(waiting for waiting, _ in spooled.values()),
        lost=lost,
        interrupted=interrupted,
        duplicates=sum(account.duplicates for account in accounts.values()),
    )


def _count_spooled(segments: list[Segment], offsets: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return of each writer how many requests wait in the journal, and the number of the last."""
    found: dict[str, tuple[int, int]] = {}
    for segment in segments:
        for event in _read_events(segment, offsets.get(segment.name, 0)):
            if isinstance(event, Begin | BriefBegin):
                count, last = found.get(segment.writer_id, (0, 0))
                found[segment.writer_id] = count + 1, max(last, event.sequence)
    return found


def _read_events(segment: Segment, offset: int) -> Iterator[AuditEvent]:
    while True:
        events, end, _ = segment.read(offset, _READ_BYTES)
        yield from events
        if end == offset:
            return
        offset = end
