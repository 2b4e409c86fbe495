"""The proof: what was accepted is stored or spooled, and what is neither is called lost."""

from __future__ import annotations

import itertools
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from proxy.audit.events import Begin, End
from proxy.audit.journal import JournalWriter
from proxy.audit.recorder import Recorder
from proxy.audit.verification import verify_trail
from proxy.store.database import open_database
from proxy.store.retention import Pruner

BEGAN_US = 1_769_817_600_000_000


class Site:
    def __init__(self, folder: Path) -> None:
        self.directory = folder / "journal"
        self.path = folder / "f.db"
        open_database(self.path, create=True).close()
        self.recorder = Recorder(self.directory, lambda: open_database(self.path, create=False))

    def write(self, writer: JournalWriter, *sequences: int, ends: bool = True) -> None:
        for sequence in sequences:
            name = f"{writer.writer_id}{sequence}"
            began_us = BEGAN_US + sequence
            writer.append(Begin(name, sequence, began_us, "GET", "/", "::1"))
            if ends:
                writer.append(End(name, began_us, 10, 200))

    def verify(self) -> dict[str, int]:
        with open_database(self.path, create=False) as database:
            return asdict(verify_trail(database, self.directory))

    def execute(self, statement: str) -> None:
        with open_database(self.path, create=False) as database:
            database.connection().execute(statement)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def verdict(**counts: int) -> dict[str, int]:
    names = ("accepted", "stored", "spooled", "lost", "interrupted", "duplicates")
    return dict.fromkeys(names, 0) | counts


def test_a_gateway_that_never_ran_has_lost_nothing(site: Site) -> None:
    assert site.verify() == verdict()


def test_what_waits_in_the_journal_is_spooled_until_it_is_stored(site: Site) -> None:
    writers = [JournalWriter(site.directory, name) for name in ("v", "w")]
    for writer in writers:
        site.write(writer, 1, 2)
    assert site.verify() == verdict(accepted=4, spooled=4)
    site.recorder.step()
    site.write(writers[0], 3)
    assert site.verify() == verdict(accepted=5, stored=4, spooled=1)
    site.recorder.step()
    assert site.verify() == verdict(accepted=5, stored=5)


def test_a_gap_is_a_loss(site: Site) -> None:
    writer = JournalWriter(site.directory, "w")
    site.write(writer, 1, 3)
    assert site.verify() == verdict(accepted=3, spooled=2, lost=1)
    site.recorder.step()
    assert site.verify() == verdict(accepted=3, stored=2, lost=1)


def test_a_row_that_somebody_deleted_is_a_loss_and_one_whose_time_was_over_is_not(site: Site) -> None:
    site.write(JournalWriter(site.directory, "w"), 1, 2, 3)
    site.recorder.step()
    with open_database(site.path, create=False) as database:
        Pruner(database).prune_rows(BEGAN_US + 2)
    assert site.verify() == verdict(accepted=3, stored=3)
    site.execute("DELETE FROM audit_logs WHERE id = 'log_w3'")
    assert site.verify() == verdict(accepted=3, stored=2, lost=1)


def test_requests_that_were_cut_are_counted(site: Site) -> None:
    writer = JournalWriter(site.directory, "w")
    site.write(writer, 1)
    site.write(writer, 2, 3, ends=False)
    writer.close()
    site.recorder.step()
    assert site.verify() == verdict(accepted=3, stored=3, interrupted=2)


def test_a_request_that_is_there_twice_is_told(site: Site) -> None:
    site.write(JournalWriter(site.directory, "w"), 1, 2)
    site.recorder.step()
    site.execute("UPDATE audit_logs SET sequence = 1")
    assert site.verify()["duplicates"] == 1


def test_rows_that_were_imported_are_nobody_s(site: Site) -> None:
    site.write(JournalWriter(site.directory, "w"), 1)
    site.recorder.step()
    site.execute("UPDATE audit_logs SET writer_id = NULL, sequence = NULL")
    site.execute("DELETE FROM journal_writers")
    assert site.verify() == verdict()


def test_nothing_seems_lost_while_segments_come_and_go(site: Site) -> None:
    writer = JournalWriter(site.directory, "w", segment_bytes_max=200)
    stop = threading.Event()

    def work() -> None:
        for sequence in itertools.count(1):
            site.write(writer, sequence)
            site.recorder.step()
            if stop.is_set():
                break
        site.recorder.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        verdicts = [site.verify() for _ in range(60)]
    finally:
        stop.set()
        thread.join()
    assert {each["lost"] for each in verdicts} == {0}
    final = site.verify()
    assert final["accepted"] == final["stored"] >= verdicts[-1]["accepted"]
