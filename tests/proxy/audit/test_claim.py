"""One gateway to a journal, and how far behind its recorder is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from proxy.audit.claim import claim_journal, journal_lag_ms, mark_recorded
from proxy.audit.events import Begin
from proxy.audit.journal import JournalWriter
from proxy.errors import ConflictError


def test_a_second_claim_is_refused_until_the_first_is_given_up(tmp_path: Path) -> None:
    claim = claim_journal(tmp_path)
    with pytest.raises(ConflictError, match="another gateway"):
        claim_journal(tmp_path)

    os.close(claim)

    os.close(claim_journal(tmp_path))


def test_a_claim_that_is_given_up_meanwhile_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    claim = claim_journal(tmp_path)
    threading.Timer(0.1, os.close, (claim,)).start()

    os.close(claim_journal(tmp_path, wait_seconds=10))

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("waiting for an earlier gateway")


def test_a_wait_for_a_claim_comes_to_an_end(tmp_path: Path) -> None:
    claim = claim_journal(tmp_path)
    with pytest.raises(ConflictError):
        claim_journal(tmp_path, wait_seconds=0.1)
    os.close(claim)


def test_lag_is_the_time_since_everything_was_last_in_the_database(tmp_path: Path) -> None:
    os.close(claim_journal(tmp_path))
    writer = JournalWriter(tmp_path, "w")
    mark_recorded(tmp_path, time.time() - 60)
    os.utime(tmp_path / "lock", (time.time() - 3600,) * 2)
    assert journal_lag_ms(tmp_path) == 0  # an empty segment holds nothing that could wait

    writer.append(Begin("u", 1, 0, "GET", "/", "::1"))
    assert 60_000 <= journal_lag_ms(tmp_path) < 65_000

    mark_recorded(tmp_path, time.time() + 1)
    assert journal_lag_ms(tmp_path) == 0


def test_lag_grows_although_nothing_was_ever_recorded(tmp_path: Path) -> None:
    os.close(claim_journal(tmp_path))
    os.utime(tmp_path / "lock", (time.time() - 30,) * 2)
    JournalWriter(tmp_path, "w").append(Begin("u", 1, 0, "GET", "/", "::1"))

    assert 30_000 <= journal_lag_ms(tmp_path) < 35_000


def test_lag_of_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert journal_lag_ms(tmp_path / "missing") == 0
