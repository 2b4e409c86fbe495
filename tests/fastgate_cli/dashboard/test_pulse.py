"""The pulse is that of the requests, however often it was read before."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from fastgate_cli.dashboard import pulse as pulse_module
from fastgate_cli.dashboard.board import Pulse
from fastgate_cli.dashboard.pace import Pace
from fastgate_cli.dashboard.pulse import BEAT_SECONDS, BEATS, RATE_BEATS, PulseJob, list_beats
from fastgate_cli.dashboard.question import Question, Wish
from fastgate_cli.dashboard.source import Source
from proxy.settings import Settings
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.models import JournalWriterRow
from tests.fastgate_cli.dashboard.boards import NOW
from tests.proxy.store.rows import begin, record

Rows = list[tuple[float, int]]


@pytest.fixture
def job(settings: Settings) -> PulseJob:
    return PulseJob(settings.audit.directory, Pace(1, 1))


def at(database: Database, name: str, seconds_ago: float, **columns: Any) -> None:
    columns.setdefault("request_time", NOW - timedelta(seconds=seconds_ago))
    record(database, name, **columns)


def read(job: PulseJob, source: Source, now: datetime = NOW, wanted: LogFilter | None = None) -> Pulse:
    return job.read(source, Wish(Question(wanted=wanted or LogFilter())), now)


def counts(pulse: Pulse) -> list[tuple[int, int]]:
    """Return requests and errors of each beat, the present one first, without those before all of them."""
    found = [(beat.requests, beat.errors) for beat in pulse.beats[::-1]]
    while found and found[-1] == (0, 0):
        found.pop()
    return found


def test_beats_begin_at_whole_multiples_and_end_now() -> None:
    starts = list_beats(NOW)
    assert len(starts) == BEATS
    assert starts[-1] <= NOW < starts[-1] + timedelta(seconds=BEAT_SECONDS)
    assert all(start.timestamp() % BEAT_SECONDS == 0 for start in starts)
    assert {later - start for start, later in pairwise(starts)} == {timedelta(seconds=BEAT_SECONDS)}


def test_requests_and_errors_fall_into_the_beat_of_their_time(
    database: Database, source: Source, job: PulseJob
) -> None:
    at(database, "now", 1)  # the present beat began 2 seconds ago
    at(database, "refused", 3, status_code=429)
    at(database, "cut", 3.5, error_message="client_abort")
    at(database, "long-ago", 27)
    at(database, "before-all", 3 * 3600)
    pulse = read(job, source)
    assert counts(pulse) == [(1, 0), (2, 2), (0, 0), (0, 0), (0, 0), (1, 0)]
    seconds = (NOW - pulse.beats[-RATE_BEATS].start).total_seconds()
    assert seconds == 12
    assert pulse.requests_per_second == 3 / seconds
    assert pulse.errors_per_second == 2 / seconds


def test_what_is_in_flight_is_counted_with_the_filter(
    database: Database, source: Source, job: PulseJob
) -> None:
    recent = NOW - timedelta(seconds=1)
    begin(database, "waiting", source_path="ci", request_time=recent)
    begin(database, "streaming", source_path="app", is_stream=True, request_time=recent)
    pulse = read(job, source)
    assert (pulse.in_flight, pulse.streams) == (2, 1)
    pulse = read(job, source, wanted=LogFilter(sources=["ci"]))
    assert (pulse.in_flight, pulse.streams) == (1, 0)
    assert counts(pulse)[0] == (1, 0)


def test_a_settled_beat_is_not_read_again_and_one_with_a_request_in_flight_is(
    database: Database, source: Source, job: PulseJob
) -> None:
    at(database, "ended", 50)
    begin(database, "running", request_time=NOW - timedelta(seconds=30))
    assert counts(read(job, source))[6] == (1, 0)
    # Nothing that belongs to a gateway writes this: it shows what is read again, and what is not.
    database.connection().execute("UPDATE log_facts SET status = 500, took_ms = 1")
    later = counts(read(job, source))
    assert (later[6], later[10]) == ((1, 1), (1, 0))


def test_what_may_still_come_from_the_journal_is_waited_for(
    database: Database, source: Source, job: PulseJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_module, "journal_lag_ms", lambda _: 60_000)
    read(job, source)
    at(database, "late", 40)
    assert sum(requests for requests, _ in counts(read(job, source))) == 1
    monkeypatch.setattr(pulse_module, "journal_lag_ms", lambda _: 0)
    read(job, source)
    at(database, "impossible", 40)
    assert sum(requests for requests, _ in counts(read(job, source))) == 1


@options(max_examples=30)
@given(
    requests=st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=12),
    looks=st.lists(st.integers(0, 900), min_size=1, max_size=6),
)
def test_however_often_it_was_read_it_is_as_if_read_for_the_first_time(
    requests: list[tuple[int, bool]],
    looks: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    empty_database: Path,
) -> None:
    folder = tmp_path_factory.mktemp("pulse")
    path = folder / "f.db"
    copyfile(empty_database, path)
    source = Source(path, partial(open_database, path, create=False))
    job, start = PulseJob(folder, Pace(1, 1)), NOW - timedelta(seconds=1000)
    pending = sorted(requests)
    with open_database(path, create=False) as database:
        for look in sorted(looks):
            now = start + timedelta(seconds=look)
            while pending and pending[0][0] <= look:
                second, is_error = pending.pop(0)
                at(database, f"{second}-{len(pending)}", 1000 - second, status_code=500 if is_error else 200)
            read(job, source, now)
        assert read(job, source, now) == read_anew(folder, source, now)
    source.drop()


def read_anew(folder: Path, source: Source, now: datetime) -> Pulse:
    """Return the pulse as a job reads it that has never read before; the rate of rows needs two looks."""
    job = PulseJob(folder, Pace(1, 1))
    read(job, source, now)
    job._settled.clear()
    return read(job, source, now)


def test_the_rate_of_rows_is_known_from_the_second_look_on(
    database: Database, source: Source, job: PulseJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 102.0, 104.0, 106.0])
    monkeypatch.setattr(pulse_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    JournalWriterRow.insert(writer_id="w", accepted=10, stored=10).execute(database.peewee)
    assert read(job, source).rows_per_second is None
    JournalWriterRow.update(stored=30).execute(database.peewee)
    assert read(job, source).rows_per_second == 10
    assert read(job, source).rows_per_second == 0
    JournalWriterRow.delete().execute(database.peewee)  # another database has taken its place
    assert read(job, source).rows_per_second is None
