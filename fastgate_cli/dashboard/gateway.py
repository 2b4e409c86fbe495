"""What a dashboard reads of the running gateway: its note, its workers' counters, its journal. Files only."""

from __future__ import annotations

from datetime import datetime

from fastgate_cli.dashboard.board import Gateway
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.source import Source
from proxy.audit.claim import journal_lag_ms
from proxy.checks.journal import count_waiting
from proxy.clock import from_us
from proxy.errors import DatabaseError, JournalError, NotRunningError
from proxy.relay.counters import Counters, metrics_directory
from proxy.running import Note, read_running
from proxy.settings import Settings
from proxy.store.database import Database

NOT_RECORDED = "audit.enabled is off: no request is recorded"


class GatewayJob:
    """Reads whether a gateway runs and how far behind its recorder is, also while there is no database."""

    part = "gateway"

    def __init__(self, settings: Settings, pace: Pace) -> None:
        self.pace = pace
        self._settings = settings

    def find_subject(self, _: Wish) -> str:
        """Return the one thing that it is about."""
        return self.part

    def read(self, source: Source, _: Wish, __: datetime) -> Gateway:
        """Return what there is to say of the gateway. Raises `JournalError` if that may not be read."""
        try:
            database = source.connect()
            return self._describe(database)
        except DatabaseError:
            source.drop()
            return self._describe(None)

    def _describe(self, database: Database | None) -> Gateway:
        directory = self._settings.audit.directory
        note = _find_note(self._settings)
        try:
            lag_ms, waiting = journal_lag_ms(directory), count_waiting(directory, database)
        except OSError as error:
            raise JournalError(f"{directory} cannot be read: {error.strerror}") from error
        remark = "" if self._settings.audit.enabled else NOT_RECORDED
        if note is None:
            return Gateway(lag_ms=lag_ms, waiting_bytes=waiting, remark=remark)
        return Gateway(
            address=note.address,
            workers=note.workers,
            version=note.version,
            started=from_us(round(note.started * 1e6)),
            in_flight=_count_in_flight(self._settings),
            lag_ms=lag_ms,
            waiting_bytes=waiting,
            remark=f"the last reload came to nothing: {note.trouble}" if note.trouble else remark,
        )


def _count_in_flight(settings: Settings) -> int | None:
    """Return what the workers are serving; None if they cannot tell."""
    totals = Counters(directory=metrics_directory(settings)).read_totals()
    return totals.in_flight if totals.workers else None


def _find_note(settings: Settings) -> Note | None:
    try:
        return read_running(settings.audit.directory)
    except NotRunningError:
        return None
