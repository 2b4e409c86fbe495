"""A worker's end of the journal: what if that cannot be written, and what is kept of bodies."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.audit import trail as trail_module
from proxy.audit.events import AuditEvent, Begin, End
from proxy.audit.exchange import Exchange
from proxy.audit.journal import TOTAL_BYTES_MAX, JournalWriter
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
REFUSAL = Refuse(401, "invalid_api_key", "no", "unknown_api_key")
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
    asyncio.run(bench.open().begin(FORWARD))
    with full_disk(), pytest.raises(JournalError):
        asyncio.run(bench.open().begin(FORWARD))
    assert (bench.trail.is_failing, bench.trail.events_lost) == (True, 0)

    asyncio.run(bench.open().begin(FORWARD))

    assert bench.sequences() == [1, 2]
    assert not bench.trail.is_failing


def test_on_failure_forward_lets_it_through_and_its_row_follows_when_there_is_room(tmp_path: Path) -> None:
    policy = build_audit_policy(AuditSettings(on_failure="forward"))
    bench = Bench(tmp_path, policy)
    with full_disk():
        exchange = bench.open()
        asyncio.run(exchange.begin(FORWARD))
        exchange.end()
        assert (bench.events(), bench.trail.is_failing) == ([], True)
    asyncio.run(bench.open().begin(FORWARD))

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
                    asyncio.run(bench.open().begin(FORWARD))
        bench.trail.retry()
        asyncio.run(bench.open().begin(FORWARD))
        first, second = [record.getMessage() for record in caplog.records]
        assert first.startswith("new requests are refused: the journal cannot be written")
        assert second == "requests are recorded again"


def test_the_end_of_a_stream_on_a_full_disk_is_written_later_without_its_bodies(bench: Bench) -> None:
    exchange = bench.open()
    asyncio.run(exchange.begin(FORWARD))
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
            asyncio.run(bench.open().begin(FORWARD))
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
            bench.open().refuse(REFUSAL, 401, "unknown_api_key", 1)

    asyncio.run(bench.open().begin(FORWARD))

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
        asyncio.run(exchange.begin(FORWARD))
        exchange.take_request_bytes(b"12345")
    assert bench.trail.tapped_bytes == 15
    for exchange in exchanges:
        exchange.end()
    assert bench.trail.tapped_bytes == 0
    for number, exchange in enumerate([bench.open() for _ in range(3)]):
        exchange.take_request_bytes(b"12345")
        asyncio.run(exchange.begin(FORWARD))
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
    """A trail that writes what comes in one turn of the event loop together."""

    def __init__(self, directory: Path, *, total_bytes_max: int = TOTAL_BYTES_MAX) -> None:
        super().__init__(directory)
        self.journal = JournalWriter(directory, "v", total_bytes_max=total_bytes_max)
        policy = build_audit_policy(AuditSettings(include_body=True))
        self.trail = AuditTrail(self.journal, policy, defer=self.defer)

    def defer(self, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(call)

    def kinds(self) -> list[type[AuditEvent]]:
        return [type(event) for event in self.events()]

    def records(self) -> int:
        return sum(count_records(each.path.read_bytes()) for each in list_segments(self.directory))

    async def serve(self) -> JournalError | None:
        """Begin a request, see that the journal has it if it may go on, and end it."""
        exchange = self.open()
        try:
            await exchange.begin(FORWARD)
        except JournalError as error:
            exchange.abandon()
            return error
        assert exchange.ulid in [event.ulid for event in self.events()]
        exchange.end()
        return None

    async def serve_all(self, count: int) -> list[JournalError | None]:
        return await asyncio.gather(*(self.serve() for _ in range(count)))


def count_records(data: bytes) -> int:
    count = start = 0
    while start < len(data):
        start += 8 + int.from_bytes(data[start : start + 4], "little")
        count += 1
    return count


def test_what_comes_in_one_turn_is_written_together_before_anybody_goes_on(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)

    assert asyncio.run(bench.serve_all(3)) == [None] * 3
    bench.trail.flush()

    assert bench.kinds() == [Begin] * 3 + [End] * 3
    assert bench.sequences() == [1, 2, 3]
    assert bench.records() == 2


def test_what_waits_to_be_written_is_bounded(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)

    async def refuse_many() -> None:
        for _ in range(200):
            bench.open().refuse(REFUSAL, 401, "unknown_api_key", 1)
        assert 200 - len(bench.sequences()) <= trail_module.PENDING_EVENTS_MAX

    asyncio.run(refuse_many())
    bench.trail.flush()
    assert bench.sequences() == [*range(1, 201)]


def test_requests_that_are_refused_together_lose_nothing_of_others_and_leave_no_gap(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path)

    async def refuse_together() -> None:
        exchange = bench.open()
        await exchange.begin(FORWARD)
        with full_disk():
            serving = [asyncio.create_task(bench.serve()) for _ in range(2)]
            await asyncio.sleep(0)
            bench.open().refuse(REFUSAL, 401, "unknown_api_key", 1)
            exchange.end()
            serving.append(asyncio.create_task(bench.serve()))
            assert all(await asyncio.gather(*serving))
        assert bench.kinds() == [Begin]
        bench.trail.retry()
        assert await bench.serve() is None

    asyncio.run(refuse_together())
    bench.trail.flush()

    assert bench.kinds() == [Begin, Begin, End, End, Begin, End]
    assert bench.sequences() == [1, 2, 3]
    assert (bench.trail.is_failing, bench.trail.events_lost) == (False, 0)


def test_in_a_full_journal_what_ends_beside_a_refused_request_keeps_its_bodies(tmp_path: Path) -> None:
    bench = DeferredBench(tmp_path, total_bytes_max=1)

    async def end_beside() -> None:
        exchange = bench.open()
        exchange.take_request_bytes(b"hello")
        await exchange.begin(FORWARD)
        bench.journal.close()  # the next record needs a new segment, and there is a bound on all of them
        serving = asyncio.create_task(bench.serve())
        await asyncio.sleep(0)
        exchange.end()
        assert await serving is not None

    asyncio.run(end_beside())

    end = bench.events()[-1]
    assert isinstance(end, End)
    assert end.request_body == b"hello"
    assert bench.sequences() == [1]


@pytest.mark.parametrize("is_full", [False, True])
def test_a_request_that_is_cancelled_while_it_waits_leaves_all_or_nothing(
    tmp_path: Path, *, is_full: bool
) -> None:
    bench = DeferredBench(tmp_path)

    async def cancel() -> None:
        exchange = bench.open()
        waiting = asyncio.create_task(exchange.begin(FORWARD))
        beside = asyncio.create_task(bench.serve())
        await asyncio.sleep(0)
        waiting.cancel()
        with full_disk() if is_full else nullcontext():
            with pytest.raises(asyncio.CancelledError):
                await waiting
            exchange.end("interrupted")
            assert (await beside is not None) == is_full
        bench.trail.retry()
        assert await bench.serve() is None

    asyncio.run(cancel())
    bench.trail.flush()

    begun = {event.ulid for event in bench.events() if isinstance(event, Begin)}
    ended = [event.ulid for event in bench.events() if isinstance(event, End) and event.ulid in begun]
    assert sorted(ended) == sorted(begun)
    assert bench.sequences() == ([1] if is_full else [1, 2, 3])


def test_a_bug_in_the_journal_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = DeferredBench(tmp_path)

    def fail(*_: AuditEvent, **__: bool) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(bench.journal, "append", fail)

    async def serve() -> list[JournalError | None]:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        return await bench.serve_all(2)

    assert all(isinstance(error, JournalError) for error in asyncio.run(serve()))
