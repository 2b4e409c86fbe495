"""Checks of the journal: can it be written, how much waits in it, was a part of it damaged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from proxy.audit.claim import journal_lag_ms
from proxy.audit.segments import list_segments
from proxy.checks.files import find_write_fault
from proxy.checks.result import Check, failed, format_size, passed, warning
from proxy.settings import Settings
from proxy.store.database import Database
from proxy.store.recording import read_offsets

LAG_SECONDS_MAX = 10.0
FILL_MAX = 0.5
_NAME = "journal"


def check_journal(settings: Settings, database: Database | None, *, is_running: bool) -> Iterator[Check]:
    """Yield how the journal is; without a database all that it holds waits."""
    folder = settings.audit.directory
    if not settings.audit.enabled:
        yield passed(_NAME, "audit.enabled is off: no request is recorded")
        return
    if fault := find_write_fault(folder):
        yield failed(_NAME, fault, f"give this user {shlex.quote(str(folder))}, or set audit.directory")
        return
    if not folder.exists():
        yield passed(_NAME, f"{folder} is made when the gateway starts")
        return
    yield judge_backlog(
        folder,
        count_waiting(folder, database),
        journal_lag_ms(folder) / 1000,
        settings.audit.journal_max_size,
        is_running=is_running,
    )
    if damaged := sorted(folder.glob("*.damaged")):
        names = " ".join(shlex.quote(str(file)) for file in damaged[:3])
        detail = f"{len(damaged)} damaged segments are kept; what could be read of them is recorded"
        yield warning(_NAME, detail, f"look at them if rows are missing, then: rm {names}")


def count_waiting(folder: Path, database: Database | None) -> int:
    """Return how many bytes of the journal are not yet in the database."""
    offsets = read_offsets(database) if database is not None else {}
    waiting = 0
    for segment in list_segments(folder):
        # The recorder deletes what it has recorded at any moment.
        with suppress(FileNotFoundError):
            waiting += max(0, segment.path.stat().st_size - offsets.get(segment.name, 0))
    return waiting


def judge_backlog(
    folder: Path, waiting_bytes: int, lag_seconds: float, bytes_max: int, *, is_running: bool
) -> Check:
    """Return what it means that so much waits, and since when."""
    detail = f"{folder}, {format_size(waiting_bytes)} wait to be recorded"
    if waiting_bytes and not is_running:
        return warning(_NAME, detail, "'fastgate serve' records them")
    if waiting_bytes > bytes_max * FILL_MAX:
        return failed(_NAME, f"{detail}: it is filling up", "the gateway's log says why nothing is recorded")
    if waiting_bytes and lag_seconds > LAG_SECONDS_MAX:
        late = f"{detail}, the oldest for {lag_seconds:.0f} s"
        return warning(_NAME, late, "the gateway's log says what holds the recorder up")
    return passed(_NAME, detail)
