"""The recorder over real files and a real database: nothing lost, nothing twice, whatever is killed."""

from __future__ import annotations

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from proxy.audit import recorder as recorder_module
from proxy.audit.claim import journal_lag_ms
from proxy.audit.events import Begin, BriefBegin, End, FirstByte
from proxy.audit.journal import JournalWriter
from proxy.audit.recorder import Recorder
from proxy.audit.segments import list_segments
from proxy.errors import DatabaseError
from proxy.store import database as database_module
from proxy.store.database import open_database
from proxy.store.models import ApiKeyRow

ROOT = Path(__file__).parents[3]
BEGAN_US = 1_769_817_600_000_000
RECORD_UNTIL_KILLED = """
import sys, threading
from pathlib import Path
from proxy.audit import recorder
from proxy.store.database import open_database
recorder.BATCH_BYTES_MAX = 400
directory, database = map(Path, sys.argv[1:])
while True:
    recorder.Recorder(directory, lambda: open_database(database, create=False)).step()
"""


class Site:
    """A folder with a journal and a database, and writers and a recorder on them."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "journal"
        self.path = folder / "f.db"
        self.create_database()
        self.recorder = Recorder(self.directory, lambda: open_database(self.path, create=False))

    def create_database(self) -> None:
        with open_database(self.path, create=True) as database, database.transaction():
            ApiKeyRow.insert(key_id="key_1", key_value="d", source_path="s").execute(database.peewee)

    def writer(self, writer_id: str = "w", segment_bytes_max: int = 1 << 20) -> JournalWriter:
        return JournalWriter(self.directory, writer_id, segment_bytes_max=segment_bytes_max)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def rows(self) -> dict[object, tuple[object, ...]]:
        found = self.query("SELECT id, status_code, error_message FROM audit_logs")
        return {str(row[0]).removeprefix("log_"): row[1:] for row in found}

    def usage(self) -> object:
        return self.query("SELECT usage_count FROM api_keys")[0][0]

    def files(self, pattern: str = "*.log") -> list[str]:
        return sorted(path.name for path in self.directory.glob(pattern))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def begin(name: str, sequence: int = 1) -> Begin:
    return Begin(name, sequence, began_us(name), "GET", "/", "::1", key_id="key_1", route_id="rt_1")


def end(name: str, status: int = 200) -> End:
    return End(name, began_us(name), 10, status)


def began_us(name: str) -> int:
    return BEGAN_US + (int(name) if name.isdigit() else 0)


def test_a_live_segment_is_recorded_and_never_deleted(site: Site) -> None:
    writer = site.writer()
    writer.append(begin("a"), end("a"))

    assert site.recorder.step() == 2
    assert site.recorder.step() == 0
    writer.append(begin("b"))
    assert site.recorder.step() == 1

    assert site.rows() == {"a": (200, None), "b": (None, None)}
    assert site.files() == ["w.000001.log"]
    assert site.usage() == 2
    assert journal_lag_ms(site.directory) == 0


def test_a_finished_segment_is_deleted_once_it_is_in_the_database(site: Site) -> None:
    writer = site.writer(segment_bytes_max=200)
    for number in range(20):
        writer.append(begin(str(number)), end(str(number)))
    assert len(site.files()) > 3

    site.recorder.step()

    assert site.files() == [f"w.{writer._number:06d}.log"]
    assert len(site.rows()) == 20
    writer.close()
    site.recorder.step()
    assert site.files() == []
    assert site.query("SELECT * FROM journal_segments") == []


def test_a_finished_segment_stays_as_long_as_the_database_has_not_committed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.05)
    writer = site.writer()
    writer.append(begin("a"), end("a"))
    writer.close()
    with closing(sqlite3.connect(site.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(DatabaseError, match="locked"):
                site.recorder.step()
        assert site.files() == ["w.000001.log"]
        other.execute("ROLLBACK")

    site.recorder.step()

    assert (site.rows(), site.usage(), site.files()) == ({"a": (200, None)}, 1, [])


def test_only_requests_of_a_dead_writer_are_interrupted(site: Site) -> None:
    dead, alive = site.writer("dead"), site.writer("alive", segment_bytes_max=1)
    dead.append(begin("cut"))
    dead.append(FirstByte("cut", BEGAN_US, 1))
    dead.append(begin("done"), end("done"))
    dead.close()
    alive.append(begin("running"))
    alive.append(
        begin("new", 2)
    )  # in a segment of its own: the first one is finished, its writer is not dead

    site.recorder.step()

    assert site.rows() == {
        "cut": (None, "interrupted"),
        "done": (200, None),
        "running": (None, None),
        "new": (None, None),
    }
    alive.append(end("running"))
    site.recorder.step()
    assert site.rows()["running"] == (200, None)


def test_an_end_finds_its_begin_however_far_behind_the_recorder_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH_BYTES_MAX", 150)
    writer = site.writer(segment_bytes_max=400)
    for number in range(40):
        writer.append(begin(f"short{number}"), end(f"short{number}"))
        if number % 10 == 0:
            writer.append(begin(f"long{number}"))
        elif number % 10 == 7:
            writer.append(end(f"long{number - 7}"))
    assert len(site.files()) > 2

    site.recorder.step()

    assert set(site.rows().values()) == {(200, None)}
    assert (len(site.rows()), site.usage()) == (44, 44)


def test_batches_of_any_size_lose_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    writers = [site.writer(f"w{number}", segment_bytes_max=300) for number in range(3)]
    for round_number in range(15):
        monkeypatch.setattr(recorder_module, "BATCH_BYTES_MAX", chance.randint(1, 400))
        for number, writer in enumerate(writers):
            for name in (f"{round_number}.{number}.a", f"{round_number}.{number}.b"):
                writer.append(begin(name))
                writer.append(end(name))
        site.recorder.step()
    for writer in writers:
        writer.close()
    site.recorder.step()

    assert set(site.rows().values()) == {(200, None)}
    assert (len(site.rows()), site.usage()) == (90, 90)
    assert site.files("*") == ["recorded"]


def test_a_step_ends_although_the_journal_keeps_growing(site: Site) -> None:
    site.writer("old").append(begin("old"), end("old"))
    writing, stop = threading.Event(), threading.Event()

    def write() -> None:
        writer, number = site.writer("busy"), 0
        while not stop.is_set():
            number += 1
            writer.append(begin(str(number), number), end(str(number)))
            writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert writing.wait(5)
        started = time.monotonic()
        site.recorder.step()
        assert time.monotonic() - started < 5
    finally:
        stop.set()
        thread.join()
    site.recorder.step()
    assert len(site.rows()) == site.usage()


def test_a_torn_tail_is_kept_aside_and_everything_before_it_recorded(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    writer = site.writer()
    writer.append(begin("a"), end("a"))
    writer.append(begin("b"))
    writer.close()
    path = site.directory / "w.000001.log"
    os.truncate(path, path.stat().st_size - 1)
    torn = path.read_bytes()

    site.recorder.step()

    assert site.rows() == {"a": (200, None)}
    assert site.files() == []
    assert path.with_suffix(".damaged").read_bytes() == torn
    assert "could not be read" in caplog.text


def test_a_damaged_byte_costs_one_record_in_a_live_segment_too(site: Site) -> None:
    writer, path = site.writer(), site.directory / "w.000001.log"
    writer.append(begin("a"))
    place = path.stat().st_size + 20
    writer.append(begin("b"))
    writer.append(end("a"))
    writer.append(begin("c"), end("c"))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)

    site.recorder.step()
    assert site.rows() == {"a": (200, None), "c": (200, None)}
    writer.append(begin("d"), end("d"))
    site.recorder.step()
    writer.close()
    site.recorder.step()
    assert site.rows() == {"a": (200, None), "c": (200, None), "d": (200, None)}
    assert site.files("w.*") == ["w.000001.damaged"]
    assert site.usage() == 3


def test_a_database_that_was_deleted_gets_what_is_in_the_journal_once_there_is_one(site: Site) -> None:
    writer = site.writer()
    writer.append(begin("a"), end("a"))
    site.recorder.step()
    for path in site.path.parent.glob("f.db*"):
        path.unlink()
    writer.append(begin("b"), end("b"))
    writer.close()
    with pytest.raises(DatabaseError):
        site.recorder.step()
    assert site.files() == ["w.000001.log"]
    site.recorder.close()
    site.create_database()

    site.recorder.step()

    assert set(site.rows()) == {"a", "b"}
    assert (site.usage(), site.files()) == (2, [])


def test_running_goes_on_over_failures_and_ends_with_what_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder_module, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)
    writer, stop, warned = site.writer(), threading.Event(), threading.Event()
    writer.append(begin("a"), end("a"))

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.set()

    listener = Listener()
    logging.getLogger(recorder_module.__name__).addHandler(listener)
    thread = threading.Thread(target=site.recorder.run, args=[stop])
    try:
        with closing(sqlite3.connect(site.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            thread.start()
            assert warned.wait(5)
            writer.append(begin("b"), end("b"))
            other.execute("ROLLBACK")
        writer.append(begin("c"), end("c"))
    finally:
        stop.set()
        thread.join()
        logging.getLogger(recorder_module.__name__).removeHandler(listener)

    assert set(site.rows()) == {"a", "b", "c"}
    assert "wait in the journal" in caplog.text


def test_a_recorder_killed_at_any_moment_repeats_nothing_and_skips_nothing(site: Site) -> None:
    chance = random.Random(3)
    writer, number = site.writer(segment_bytes_max=3_000), 0
    for _ in range(10):
        killed = subprocess.Popen(
            [sys.executable, "-c", RECORD_UNTIL_KILLED, str(site.directory), str(site.path)], cwd=ROOT
        )
        recorded = len(site.rows())
        deadline = time.monotonic() + 10
        # Written while it records, until it has got somewhere: then it is killed in the middle of it.
        while len(site.rows()) < recorded + chance.randint(1, 40) and time.monotonic() < deadline:
            for _ in range(20):
                number += 1
                writer.append(begin(str(number), number))
                writer.append(end(str(number)))
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    writer.append(begin("last", number + 1))
    writer.close()

    site.recorder.step()

    expected: dict[object, tuple[object, ...]] = {str(count + 1): (200, None) for count in range(number)}
    assert site.rows() == expected | {"last": (None, "interrupted")}
    assert site.usage() == number + 1
    assert site.query("PRAGMA integrity_check") == [("ok",)]
    assert [segment.name for segment in list_segments(site.directory)] == []
    assert site.files("*.damaged") == []


def test_what_is_named_like_a_segment_and_is_none_stops_no_rows(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    writer = site.writer("w")
    (site.directory / "a.log").mkdir()
    os.mkfifo(site.directory / "b.log")
    (site.directory / "c.log").symlink_to(site.path)
    (site.directory / "z.log").symlink_to("nowhere")
    writer.append(begin("1"), end("1"))
    writer.close()

    with caplog.at_level(logging.WARNING):
        assert site.recorder.step() == 2
        assert site.recorder.step() == 0

    assert site.rows() == {"1": (200, None)}
    assert site.files() == ["a.log", "b.log", "c.log", "z.log"]
    assert sum("is passed over" in record.getMessage() for record in caplog.records) == 4


def test_a_fifo_that_takes_the_place_of_a_segment_keeps_nobody_waiting(site: Site) -> None:
    site.writer("w").close()
    (segment,) = list_segments(site.directory)
    segment.path.unlink()
    os.mkfifo(segment.path)

    assert segment.is_finished()
    with pytest.raises(OSError, match="seek"):
        segment.read(0, 100)


def test_a_request_whose_head_nobody_understands_is_kept_aside(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    writer = site.writer("w")
    writer.append(BriefBegin("bad", 1, BEGAN_US, b"\xc1"), begin("2", 2), end("2"))
    writer.close()
    site.recorder.step()
    assert site.rows() == {"2": (200, None)}
    assert site.files("*.damaged") == ["w.000001.damaged"]
    assert "the heads of 1 requests" in caplog.text
