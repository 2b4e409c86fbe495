"""Idle connections: which one is used again, how many there are, and when they are closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from proxy.errors import UpstreamError
from proxy.upstream import pool as module
from proxy.upstream.connection import BackendConnection
from proxy.upstream.pool import IDLE_CONNECTIONS_MAX, IdlePool
from proxy.upstream.ports import AnswerExchange
from proxy.upstream.request import OutgoingRequest, build_template
from tests.proxy.upstream.asking import Asked

ORIGIN = ("http", "backend", 80)
Pool = IdlePool[BackendConnection]


class Done:
    """What is told of an exchange that is of no interest here."""

    def __init__(self) -> None:
        self.exchange: AnswerExchange = Asked()
        self.is_over = asyncio.Event()

    def take_head(self, status: int, headers: object) -> None:
        pass

    def take_whole(self, known: object, body: bytes) -> bool:
        return False

    def finish(self) -> None:
        self.is_over.set()

    def fail(self, error: UpstreamError, **_: bool) -> None:
        raise error


@asynccontextmanager
async def connect(*headers: bytes) -> AsyncIterator[tuple[BackendConnection, socket.socket]]:
    """Return a connection that has served an exchange, and the backend's end."""
    ours, theirs = socket.socketpair()
    _, connection = await asyncio.get_running_loop().create_connection(BackendConnection, sock=ours)
    done, template = Done(), build_template("GET", b"/", [])
    connection.send(done, OutgoingRequest(template, b"", None, [], is_whole=True), template, 5.0)
    theirs.recv(1000)
    theirs.sendall(b"\r\n".join((b"HTTP/1.1 204 No Content", *headers, b"", b"")))
    await done.is_over.wait()
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()


def note_end(pool: Pool, connection: BackendConnection) -> asyncio.Event:
    """Have the pool learn of the end of a connection, and return what says that it has."""
    ended = asyncio.Event()

    def note(_: BackendConnection) -> None:
        pool.note_end(ORIGIN, connection)
        ended.set()

    connection.on_end = note
    return ended


def run(test: Callable[[Pool], Awaitable[None]], pool: Pool | None = None) -> None:
    async def with_pool() -> None:
        used = pool or Pool()
        async with asyncio.timeout(5):
            await test(used)
        used.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(with_pool())


async def wait_for_end(theirs: socket.socket) -> None:
    theirs.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""


def test_the_connection_used_last_is_used_first_and_by_its_origin_only() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (first, _), connect() as (second, _):
            pool.put(ORIGIN, first)
            pool.put(ORIGIN, second)
            assert pool.take(("https", "backend", 80)) is None
            assert [pool.take(ORIGIN), pool.take(ORIGIN), pool.take(ORIGIN)] == [second, first, None]
            assert pool.size == 0

    run(test)


def test_a_connection_that_nobody_wants_is_closed_without_waiting_for_its_next_use() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (connection, theirs):
            pool.put(ORIGIN, connection)
            await wait_for_end(theirs)
            assert pool.size == 0

    run(test, Pool(seconds_max={"http": 0.01}, sweep_seconds=0.01))


@pytest.mark.parametrize(("scheme", "others_seconds"), [("http", 5.0), ("https", 60.0)])
def test_a_connection_is_used_well_before_backends_end_it_and_never_at_that_time(
    scheme: str, others_seconds: float
) -> None:
    origin = (scheme, "backend", 80)

    async def test(pool: Pool) -> None:
        async with connect() as (connection, theirs):
            pool.put(origin, connection)
            connection.idle_since -= others_seconds / 2
            assert pool.take(origin) is connection
            pool.put(origin, connection)
            connection.idle_since -= others_seconds - 0.5
            assert pool.take(origin) is None
            await wait_for_end(theirs)

    run(test)


@pytest.mark.parametrize(
    ("header", "rest", "is_used"),
    [
        (b"keep-alive: timeout=2", 1.0, True),
        (b"keep-alive: timeout=2", 1.9, False),
        (b"Keep-Alive: max=5, Timeout=2", 1.9, False),
        (b"keep-alive: timeout = 2", 1.9, False),
        (b"keep-alive: timeout=0", 0.0, False),
        (b"keep-alive: timeout=600", 3.9, True),
        (b"keep-alive: timeout=600", 4.1, False),
        (b"keep-alive: timeout=soon", 3.9, True),
        (b"keep-alive: timeout=-1", 3.9, True),
        (b"keep-alive: timeout=" + b"9" * 5000, 3.9, True),
        (b"keep-alive: max=5", 3.9, True),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_connection_rests_no_longer_than_its_backend_says(
    header: bytes, rest: float, is_used: bool
) -> None:
    async def test(pool: Pool) -> None:
        async with connect(header) as (connection, _):
            pool.put(ORIGIN, connection)
            connection.idle_since -= rest
            assert (pool.take(ORIGIN) is connection) is is_used

    run(test)


def test_from_a_connection_that_a_backend_has_closed_is_learned_how_long_others_may_rest() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (first, theirs), connect() as (second, _):
            first_ended = note_end(pool, first)
            pool.put(ORIGIN, first)
            first.idle_since -= 2.0
            theirs.close()
            await first_ended.wait()
            for rest, is_used in ((1.0, True), (1.9, False)):
                pool.put(ORIGIN, second)
                second.idle_since -= rest
                assert (pool.take(ORIGIN) is second) is is_used

    run(test)


def test_what_was_learned_counts_for_its_origin_and_for_a_while() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (first, theirs), connect() as (second, _):
            first_ended = note_end(pool, first)
            pool.put(ORIGIN, first)
            theirs.close()
            await first_ended.wait()
            other = ("http", "other", 80)
            pool.put(other, second)
            second.idle_since -= 1.0
            assert pool.take(other) is second
            pool._shown[ORIGIN] = pool._shown[ORIGIN][0], 0.0  # when that was long ago
            pool.put(ORIGIN, second)
            second.idle_since -= 1.0
            assert pool.take(ORIGIN) is second

    run(test)


def test_an_end_that_was_ours_teaches_nothing() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (first, _):
            first_ended = note_end(pool, first)
            pool.put(ORIGIN, first)
            pool.clear()
            await first_ended.wait()
        assert not pool._shown

    run(test)


def test_a_connection_that_leads_where_its_name_does_no_more_is_not_used() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (connection, theirs):
            connection.is_current = lambda: True
            pool.put(ORIGIN, connection)
            assert pool.take(ORIGIN) is connection
            connection.is_current = lambda: False
            pool.put(ORIGIN, connection)
            assert pool.take(ORIGIN) is None
            await wait_for_end(theirs)

    run(test)


def test_an_end_that_the_loop_has_not_seen_yet_is_seen_before_a_connection_is_used() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (connection, theirs):
            pool.put(ORIGIN, connection)
            assert pool.take(ORIGIN) is connection
            pool.put(ORIGIN, connection)
            theirs.close()
            assert not connection.is_closed  # the loop has had no turn
            assert pool.take(ORIGIN) is None

    run(test)


def test_there_are_never_more_than_the_bounds_allow() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (connection, _), connect() as (extra, _):
            for _ in range(IDLE_CONNECTIONS_MAX):
                pool.put(ORIGIN, connection)
            pool.put(ORIGIN, extra)
            assert extra.is_closed
            assert pool.size == IDLE_CONNECTIONS_MAX
        async with connect() as (connection, _), connect() as (extra, _):
            for number in range(module.IDLE_CONNECTIONS_TOTAL_MAX - IDLE_CONNECTIONS_MAX):
                pool.put(("http", f"host{number}", 80), connection)
            pool.put(("http", "one-more", 80), extra)
            assert extra.is_closed
            assert pool.size == module.IDLE_CONNECTIONS_TOTAL_MAX

    run(test)


def test_a_closed_pool_keeps_nothing() -> None:
    async def test(pool: Pool) -> None:
        async with connect() as (kept, _), connect() as (late, _):
            pool.put(ORIGIN, kept)
            pool.close()
            pool.put(ORIGIN, late)
            assert kept.is_closed
            assert late.is_closed
            assert pool.take(ORIGIN) is None

    run(test)
