"""The journal: what waits in it, and what of it was damaged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.audit.journal import TOTAL_BYTES_MAX, JournalWriter
from proxy.checks.journal import check_journal, count_waiting, judge_backlog
from proxy.settings import Settings, database_path
from proxy.store.database import open_database, open_for_reading
from proxy.store.facts import WordBook
from proxy.store.recording import Batch, write_batch


def write_segment(settings: Settings, size: int, writer_id: str = "worker-1-a") -> str:
    """Make a segment of so many bytes; what they are does not matter here."""
    JournalWriter(settings.audit.directory, writer_id).close()
    path = settings.audit.directory / f"{writer_id}.000001.log"
    path.write_bytes(b"x" * size)
    return path.name


def test_what_is_recorded_does_not_wait(settings: Settings) -> None:
    name = write_segment(settings, 100)
    write_segment(settings, 7, "worker-2-b")
    assert count_waiting(settings.audit.directory, None) == 107
    with open_database(database_path(settings), create=False) as database:
        write_batch(database, Batch(), {name: 60}, WordBook())
        assert count_waiting(settings.audit.directory, database) == 47


def test_a_journal_that_nobody_records_is_a_warning(settings: Settings) -> None:
    write_segment(settings, 100)
    with open_for_reading(database_path(settings)) as database:
        (check,) = check_journal(settings, database, is_running=False)
    assert check.status == "warning"
    assert "100 B wait" in check.detail
    assert "fastgate serve" in check.fix


@pytest.mark.parametrize(
    ("waiting", "lag", "is_running", "status"),
    [
        (0, 0, False, "passed"),
        (0, 100, True, "passed"),
        (10, 1, True, "passed"),
        (10, 11, True, "warning"),
        (10, 0, False, "warning"),
        (TOTAL_BYTES_MAX // 2 + 1, 0, True, "failed"),
    ],
)
def test_much_that_waits_or_waits_long_is_told(
    waiting: int, lag: float, is_running: bool, status: str
) -> None:
    check = judge_backlog(Path("/journal"), waiting, lag, 4 << 30, is_running=is_running)
    assert check.status == status
    assert bool(check.fix) is (status != "passed")


def test_damaged_segments_are_named(settings: Settings) -> None:
    write_segment(settings, 0)
    damaged = settings.audit.directory / "worker-1 a.000001.damaged"
    damaged.touch()
    backlog, check = check_journal(settings, None, is_running=True)
    assert (backlog.status, check.status) == ("passed", "warning")
    assert f"rm '{damaged}'" in check.fix


def test_a_journal_that_is_not_there_yet_is_not_made(bare: Settings) -> None:
    (check,) = check_journal(bare, None, is_running=False)
    assert check.status == "passed"
    assert not bare.audit.directory.exists()


def test_a_journal_that_cannot_be_written_has_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    (check,) = check_journal(settings, None, is_running=False)
    assert (check.status, bool(check.fix)) == ("failed", True)


def test_no_journal_is_needed_where_nothing_is_recorded(bare: Settings) -> None:
    off = replace(bare, audit=replace(bare.audit, enabled=False))
    (check,) = check_journal(off, None, is_running=False)
    assert check.status == "passed"
