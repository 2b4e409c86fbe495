"""A worker's end of the journal: what if that cannot be written, and what is kept of bodies."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.audit import trail as trail_module
from proxy.audit.events import AuditEvent, Begin, End
from proxy.audit.exchange import Exchange
from proxy.audit.journal import JournalWriter
from proxy.audit.segments import list_segments
from proxy.audit.trail import AuditPolicy, AuditTrail, build_audit_policy
from proxy.errors import JournalError
from proxy.policy.decide import Forward, Refuse
from proxy.policy.model import ApiKey, RequestHead, Route
from proxy.policy.routing import compile_route
from proxy.settings import AuditSettings

BEGAN_US = 1_769_817_600_000_000
FORWARD = Forward(
    ApiKey("key_1", "sha256:0"), compile_route(Route("rt_1", "chat", "/v1/*", "b:80")), b"/v1/chat", []
)
STREAM = [(b"content-type", b"text/event-stream")]


class Bench:
    """A trail into a journal of its own."""

    def __init__(self, directory: Path, policy: AuditPolicy | None = None) -> None:
        self.directory = directory
        policy = policy or build_audit_policy(AuditSettings(include_body=True, body_max_size=8))
        self.trail = AuditTrail(JournalWriter(directory, "w"), policy)

    def open(self) -> Exchange:
        return self.trail.open(RequestHead("POST", b"/v1/chat", b"", ()), BEGAN_US)

    def events(self) -> list[AuditEvent]:
        return [event for each in list_segments(self.directory) for event in each.read(0, 1 << 24).events]

    def sequences(self) -> list[int]:
        return [event.sequence for event in self.events() if isinstance(event, Begin)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@contextmanager
def full_disk() -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_request_that_cannot_be_recorded_is_refused_and_leaves_no_gap(bench: Bench) -> None:
    bench.open().begin(FORWARD)
    with full_disk(), pytest.raises(JournalError):
        bench.open().begin(FORWARD)
    assert (bench.trail.is_failing, bench.trail.events_lost) == (True, 0)

    bench.open().begin(FORWARD)

    assert bench.sequences() == [1, 2]
    assert not bench.trail.is_failing


def test_on_failure_forward_lets_it_through_and_its_row_follows_when_there_is_room(tmp_path: Path) -> None:
    policy = build_audit_policy(AuditSettings(on_failure="forward"))
    bench = Bench(tmp_path, policy)
    with full_disk():
        exchange = bench.open()
        exchange.begin(FORWARD)
        exchange.end()
        assert (bench.events(), bench.trail.is_failing) == ([], True)
    bench.open().begin(FORWARD)

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
                with pytest.raises(JournalError):
                    bench.open().begin(FORWARD)
        bench.trail.retry()
        bench.open().begin(FORWARD)
        first, second = [record.getMessage() for record in caplog.records]
        assert first.startswith("new requests are refused: the journal cannot be written")
        assert second == "requests are recorded again"


def test_the_end_of_a_stream_on_a_full_disk_is_written_later_without_its_bodies(bench: Bench) -> None:
    exchange = bench.open()
    exchange.begin(FORWARD)
    with full_disk():
        exchange.take_response_head(200, STREAM)
        exchange.take_response_bytes(b"data: x")
        exchange.end()
    assert [type(event) for event in bench.events()] == [Begin]

    bench.trail.retry()

    end = bench.events()[-1]
    assert isinstance(end, End)
    assert (end.status, end.response_size, end.response_body) == (200, 7, None)
    assert (bench.trail.events_lost, bench.trail.is_failing) == (0, False)


def test_a_trail_that_failed_finds_out_by_itself_that_there_is_room_again(bench: Bench) -> None:
    with full_disk():
        with pytest.raises(JournalError):
            bench.open().begin(FORWARD)
        bench.trail.retry()
        assert bench.trail.is_failing

    bench.trail.retry()

    assert not bench.trail.is_failing


def test_what_is_kept_for_later_has_a_bound_and_what_is_beyond_it_is_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_module, "WAITING_EVENTS_MAX", 2)
    refusal = Refuse(401, "invalid_api_key", "no", "unknown_api_key")
    with full_disk():
        for _ in range(4):
            bench.open().refuse(refusal, 401, "unknown_api_key", 1)

    bench.open().begin(FORWARD)

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
    exchanges = [bench.open() for _ in range(3)]
    for exchange in exchanges:
        exchange.begin(FORWARD)
        exchange.take_request_bytes(b"12345")
    assert bench.trail.tapped_bytes == 15
    for exchange in exchanges:
        exchange.end()
    assert bench.trail.tapped_bytes == 0
    for number, exchange in enumerate([bench.open() for _ in range(3)]):
        exchange.take_request_bytes(b"12345")
        exchange.begin(FORWARD)
        exchange.take_response_head(200, [])
        exchange.take_response_bytes(b"67")
        exchange.forget_response()
        assert bench.trail.tapped_bytes == 5
        exchange.abandon() if number else exchange.end()
        assert bench.trail.tapped_bytes == 0


def test_without_headers_a_policy_keeps_none() -> None:
    policy = replace(build_audit_policy(AuditSettings(include_headers=False)))
    assert not policy.include_headers


class DeferredBench(Bench):
    """A trail that may write what comes before the event loop goes on together."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.calls: list[Callable[[], None]] = []
        policy = build_audit_policy(AuditSettings())
        self.trail = AuditTrail(JournalWriter(directory, "v"), policy, defer=self.calls.append)

    def records(self) -> int:
        return sum(count_records(each.path.read_bytes()) for each in list_segments(self.directory))

    def serve(self) -> None:
        exchange = self.open()
        exchange.begin(FORWARD)
        exchange.end()


def count_records(data: bytes) -> int:
    count = start = 0
    while start < len(data):
        start += 8 + int.from_bytes(data[start : start + 4], "little")
        count += 1
    return count


def test_a_beginning_is_there_at_once_and_ends_are_written_together(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)
    for number in range(1, 4):
        bench.serve()
        assert bench.sequences() == [*range(1, number + 1)]
    assert len(bench.calls) == 3  # a beginning takes along what waits
    assert [type(event) for event in bench.events()].count(End) == 2
    for call in bench.calls:
        call()
    assert [type(event) for event in bench.events()] == [Begin, End] * 3
    assert bench.records() == 4


def test_what_waits_to_be_written_is_bounded(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)
    refusal = Refuse(401, "invalid_api_key", "no", "unknown_api_key")
    for _ in range(200):
        bench.open().refuse(refusal, 401, "unknown_api_key", 1)
    assert 200 - len(bench.sequences()) <= trail_module.PENDING_EVENTS_MAX
    bench.trail.flush()
    assert bench.sequences() == [*range(1, 201)]


def test_ends_that_wait_are_not_lost_with_a_beginning_that_is_refused(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)
    bench.serve()
    with full_disk(), pytest.raises(JournalError):
        bench.open().begin(FORWARD)
    assert [type(event) for event in bench.events()] == [Begin]
    bench.trail.retry()
    assert [type(event) for event in bench.events()] == [Begin, End]
    assert not bench.trail.is_failing
