"""A worker's end of the journal: who waits is told, what if it cannot be written, and what is kept
of bodies.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.audit import trail as trail_module
from proxy.audit.events import AuditEvent, Begin, End
from proxy.audit.record import Record
from proxy.audit.segments import list_segments
from proxy.audit.trail import AuditTrail, build_audit_policy
from proxy.errors import JournalError
from proxy.policy.model import RequestHead
from proxy.settings import AuditSettings
from tests.proxy.audit.trails import BEGAN_US, POLICY, STREAM, Bench, Waiter, begin_record, full_disk


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def deferred(tmp_path: Path) -> Bench:
    """A trail that writes what comes in one turn of the event loop together."""
    return Bench(tmp_path, build_audit_policy(AuditSettings(include_body=True)), defers=True)


def refuse(bench: Bench) -> None:
    bench.open().refuse(None, 401, "unknown_api_key", 1)


def is_refused(waiter: Waiter) -> bool:
    """Tell whether a request is refused; it has been told, and once."""
    (error,) = waiter.told
    return error is not None


def test_a_request_that_cannot_be_recorded_is_refused_and_leaves_no_gap(bench: Bench) -> None:
    assert not is_refused(begin_record(bench.open()))
    with full_disk():
        assert is_refused(begin_record(bench.open()))
    assert (bench.trail.is_failing, bench.trail.events_lost) == (True, 0)

    assert not is_refused(begin_record(bench.open()))

    assert bench.sequences() == [1, 2]
    assert not bench.trail.is_failing


def test_on_failure_forward_lets_it_through_and_its_row_follows_when_there_is_room(tmp_path: Path) -> None:
    policy = build_audit_policy(AuditSettings(on_failure="forward"))
    bench = Bench(tmp_path, policy)
    with full_disk():
        record = bench.open()
        assert not is_refused(begin_record(record))
        record.end()
        assert (bench.events(), bench.trail.is_failing) == ([], True)
    assert not is_refused(begin_record(bench.open()))

    assert (bench.trail.events_lost, bench.trail.is_failing) == (0, False)
    assert bench.sequences() == [1, 2]
    assert [type(event) for event in bench.events()] == [Begin, End, Begin]


def test_that_there_is_no_room_is_said_once_and_so_is_that_there_is_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        caplog.clear()
        with full_disk():
            for _ in range(20):
                assert is_refused(begin_record(bench.open()))
        bench.trail.retry()
        assert not is_refused(begin_record(bench.open()))
        first, second = [record.getMessage() for record in caplog.records]
        assert first.startswith("new requests are refused: the journal cannot be written")
        assert second == "requests are recorded again"


def test_the_end_of_a_stream_on_a_full_disk_is_written_later_without_its_bodies(bench: Bench) -> None:
    record = bench.open()
    assert not is_refused(begin_record(record))
    with full_disk():
        record.take_response_head(200, STREAM)
        record.take_response_bytes(b"data: x")
        record.end()
    assert [type(event) for event in bench.events()] == [Begin]

    bench.trail.retry()

    end = bench.events()[-1]
    assert isinstance(end, End)
    assert (end.status, end.response_size, end.response_body) == (200, 7, None)
    assert (bench.trail.events_lost, bench.trail.is_failing) == (0, False)


def test_a_trail_that_failed_finds_out_by_itself_that_there_is_room_again(bench: Bench) -> None:
    with full_disk():
        assert is_refused(begin_record(bench.open()))
        bench.trail.retry()
        assert bench.trail.is_failing

    bench.trail.retry()

    assert not bench.trail.is_failing


def test_what_is_kept_for_later_has_a_bound_and_what_is_beyond_it_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_module, "WAITING_EVENTS_MAX", 2)
    with full_disk():
        for _ in range(4):
            refuse(bench)

    assert not is_refused(begin_record(bench.open()))

    assert bench.trail.events_lost == 4  # two of each refusal beyond the second
    assert bench.sequences() == [1, 2, 5]


def test_more_of_a_stream_is_kept_than_of_other_bodies_if_it_is_to_be_merged() -> None:
    merged = build_audit_policy(AuditSettings(include_body=True, body_max_size=1000))
    raw = build_audit_policy(AuditSettings(include_body=True, body_max_size=1000, stream_bodies="raw"))
    none = build_audit_policy(AuditSettings(include_body=False))
    assert (merged.body_bytes_max, merged.stream_bytes_max) == (1000, 32_000)
    assert (raw.body_bytes_max, raw.stream_bytes_max) == (1000, 1000)
    assert (none.body_bytes_max, none.stream_bytes_max) == (0, 0)


def test_however_large_a_body_may_be_a_record_has_a_bound() -> None:
    policy = build_audit_policy(AuditSettings(include_body=True, body_max_size=1 << 40))

    assert policy.body_bytes_max <= policy.stream_bytes_max <= 16 * 1024 * 1024


def test_bodies_in_memory_are_counted_and_given_back(bench: Bench) -> None:
    records = [bench.open() for _ in range(3)]
    for record in records:
        assert not is_refused(begin_record(record))
        record.take_request_bytes(b"12345")
    assert bench.trail.tapped_bytes == 15
    for record in records:
        record.end()
    assert bench.trail.tapped_bytes == 0
    for number, record in enumerate([bench.open() for _ in range(3)]):
        record.take_request_bytes(b"12345")
        assert not is_refused(begin_record(record))
        record.take_response_head(200, [])
        record.take_response_bytes(b"67")
        record.forget_response()
        assert bench.trail.tapped_bytes == 5
        record.abandon() if number else record.end()
        assert bench.trail.tapped_bytes == 0


def test_without_headers_a_policy_keeps_none() -> None:
    policy = build_audit_policy(AuditSettings(include_headers=False))
    assert not policy.include_headers


# What comes in one turn is written together.


def count_records(bench: Bench) -> int:
    """Return how many times something was appended."""
    count = 0
    for segment in list_segments(bench.directory):
        data, start = segment.path.read_bytes(), 0
        while start < len(data):
            start += 8 + int.from_bytes(data[start : start + 4], "little")
            count += 1
    return count


def test_what_comes_in_one_turn_is_written_together_before_anybody_goes_on(deferred: Bench) -> None:
    records = [deferred.open() for _ in range(3)]
    waiters = [begin_record(record) for record in records]
    assert [waiter.told for waiter in waiters] == [[]] * 3
    deferred.run_turn()
    assert [waiter.told for waiter in waiters] == [[None]] * 3
    assert deferred.kinds() == [Begin] * 3
    for record in records:
        record.end()
    deferred.run_turn()
    assert deferred.kinds() == [Begin] * 3 + [End] * 3
    assert deferred.sequences() == [1, 2, 3]
    assert count_records(deferred) == 2


def test_what_those_who_are_told_write_goes_with_the_next_turn(deferred: Bench) -> None:
    record = deferred.open()

    class Ending(Waiter):
        def recorded(self, error: JournalError | None) -> None:
            assert [begin.ulid for begin in deferred.begins()] == [record.ulid]
            super().recorded(error)
            record.end()

    waiter = Ending()
    record.begin("rt_1", record.encode_head(None, "rt_1"), waiter)
    deferred.run_turn()
    assert (waiter.told, deferred.kinds()) == ([None], [Begin])
    deferred.run_turn()
    assert deferred.kinds() == [Begin, End]


def test_what_waits_to_be_written_is_bounded(deferred: Bench) -> None:
    for _ in range(200):
        refuse(deferred)
    assert 200 - len(deferred.sequences()) <= trail_module.PENDING_EVENTS_MAX
    deferred.trail.flush()
    assert deferred.sequences() == [*range(1, 201)]


def test_an_end_with_bodies_does_not_wait_for_others(deferred: Bench) -> None:
    record = deferred.open()
    record.take_request_bytes(b"hello")
    begin_record(record)
    record.end()
    assert deferred.kinds() == [Begin, End]


def test_requests_that_are_refused_together_lose_nothing_of_others_and_leave_no_gap(deferred: Bench) -> None:
    record = deferred.open()
    begin_record(record)
    deferred.run_turn()
    with full_disk():
        waiters = [begin_record(deferred.open()) for _ in range(2)]
        refuse(deferred)
        record.end()
        waiters.append(begin_record(deferred.open()))
        deferred.run_turn()
    assert all(map(is_refused, waiters))
    assert deferred.kinds() == [Begin]
    deferred.trail.retry()
    last = begin_record(deferred.open())
    deferred.run_turn()
    assert not is_refused(last)
    assert deferred.kinds() == [Begin, Begin, End, End, Begin]
    assert deferred.sequences() == [1, 2, 3]
    assert (deferred.trail.is_failing, deferred.trail.events_lost) == (False, 0)


def test_in_a_full_journal_what_ends_beside_a_refused_request_keeps_its_bodies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, defers=True, total_bytes_max=1)
    record = bench.open()
    record.take_request_bytes(b"hello")
    begin_record(record)
    bench.run_turn()
    bench.journal.close()  # the next record needs a new segment, and there is a bound on all of them
    waiter = begin_record(bench.open())
    record.end()
    bench.run_turn()
    assert is_refused(waiter)
    (end,) = bench.ends()
    assert end.request_body == b"hello"
    assert bench.sequences() == [1]


@pytest.mark.parametrize("is_full", [False, True])
def test_a_request_that_ends_while_it_waits_leaves_all_or_nothing(deferred: Bench, *, is_full: bool) -> None:
    ending = deferred.open()
    begin_record(ending)
    beside = begin_record(deferred.open())
    ending.end("interrupted")
    if is_full:
        with full_disk():
            deferred.run_turn()
    else:
        deferred.run_turn()
    assert is_refused(beside) is is_full
    deferred.trail.retry()
    begin_record(deferred.open())
    deferred.run_turn()
    begun = {begin.ulid for begin in deferred.begins()}
    ended = [end.ulid for end in deferred.ends() if end.ulid in begun]
    assert ended == ([] if is_full else [ending.ulid])
    assert deferred.sequences() == ([1] if is_full else [1, 2, 3])


def test_a_bug_in_the_journal_leaves_nobody_waiting(deferred: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: AuditEvent, **__: bool) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(deferred.journal, "append", fail)
    waiters = [begin_record(deferred.open()) for _ in range(2)]
    with pytest.raises(ValueError, match="a bug"):
        deferred.run_turn()
    assert all(map(is_refused, waiters))


def test_without_a_journal_everybody_goes_on_at_once() -> None:
    trail = AuditTrail(None, POLICY)
    record: Record = trail.open(RequestHead("GET", b"/", b"", ()), BEGAN_US)
    assert not is_refused(begin_record(record))
