"""What a dashboard says of the gateway is what its files say, with a database and without one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fastgate_cli.dashboard.board import Gateway
from fastgate_cli.dashboard.gateway import NOT_RECORDED, GatewayJob
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.source import Source
from proxy.audit.claim import mark_recorded
from proxy.errors import DatabaseError, JournalError
from proxy.relay.counters import metrics_directory, open_counters
from proxy.running import Note, RunningFile
from proxy.settings import Settings
from proxy.store.database import Database
from proxy.store.models import JournalSegment
from tests.fastgate_cli.dashboard.boards import NOW

NOTE = Note(os.getpid(), "http://127.0.0.1:8514", 2, [1, 2], "0.1.0", 1_769_860_000.0)


def read(settings: Settings, source: Source) -> Gateway:
    value = GatewayJob(settings, Pace(1, 1)).read(source, Wish(), NOW)
    assert isinstance(value, Gateway)
    return value


@pytest.fixture
def journal(settings: Settings) -> Path:
    """A journal of 1,000 bytes, all of which came two seconds ago."""
    folder = settings.audit.directory
    folder.mkdir()
    segment = folder / "worker-1.000001.log"
    segment.write_bytes(b"x" * 1000)
    return segment


def test_where_nothing_has_ever_run_nothing_runs(
    settings: Settings, database: Database, source: Source
) -> None:
    assert read(settings, source) == Gateway()


def test_a_gateway_that_runs_is_told_with_what_its_workers_serve(
    settings: Settings, database: Database, source: Source
) -> None:
    counters = open_counters(metrics_directory(settings), "worker-1")
    counters.in_flight = 3
    counters.publish(revision=1, events_lost=0)
    with RunningFile(settings.audit.directory) as running:
        running.write(NOTE)
        found = read(settings, source)
        assert (found.address, found.workers, found.version) == ("http://127.0.0.1:8514", 2, "0.1.0")
        assert found.started is not None
        assert found.started.timestamp() == NOTE.started
        assert found.in_flight == 3
        assert found.remark == ""
    counters.close()
    assert read(settings, source).address == ""


def test_workers_that_cannot_be_asked_serve_an_unknown_number(
    settings: Settings, database: Database, source: Source
) -> None:
    with RunningFile(settings.audit.directory) as running:
        running.write(NOTE)
        assert read(settings, source).in_flight is None


def test_a_reload_that_failed_is_told(settings: Settings, database: Database, source: Source) -> None:
    with RunningFile(settings.audit.directory) as running:
        running.write(
            Note(**{**{name: getattr(NOTE, name) for name in NOTE.__struct_fields__}, "trouble": "x"})
        )
        assert read(settings, source).remark == "the last reload came to nothing: x"


def test_what_waits_is_what_is_not_yet_in_the_database(
    settings: Settings, database: Database, source: Source, journal: Path
) -> None:
    assert read(settings, source).waiting_bytes == 1000
    assert read(settings, source).lag_ms > 0
    JournalSegment.insert(name=journal.name, offset=400).execute(database.peewee)
    assert read(settings, source).waiting_bytes == 600
    mark_recorded(settings.audit.directory, journal.stat().st_mtime + 1)
    assert read(settings, source).lag_ms == 0


def test_without_a_database_all_of_the_journal_waits_and_the_gateway_is_seen(
    settings: Settings, source: Source, journal: Path
) -> None:
    with pytest.raises(DatabaseError):
        source.connect()
    with RunningFile(settings.audit.directory) as running:
        running.write(NOTE)
        found = read(settings, source)
    assert (found.address, found.waiting_bytes) == (NOTE.address, 1000)


def test_a_configuration_without_an_audit_trail_says_so(
    settings: Settings, database: Database, source: Source
) -> None:
    quiet = replace(settings, audit=replace(settings.audit, enabled=False))
    assert read(quiet, source).remark == NOT_RECORDED


def test_a_journal_that_cannot_be_read_is_an_error_of_ours(
    settings: Settings, database: Database, source: Source, tmp_path: Path
) -> None:
    settings.audit.directory.write_text("not a folder")
    with pytest.raises(JournalError):
        read(settings, source)
