"""Idle connections: which one is used again, how many there are, and when they are closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from proxy.relay import pool as module
from proxy.relay.connection import BackendConnection
from proxy.relay.pool import IDLE_CONNECTIONS_MAX, IdlePool

ORIGIN = ("http", "backend", 80)
Pool = IdlePool[BackendConnection]


@asynccontextmanager
async def connect() -> AsyncIterator[tuple[BackendConnection, socket.socket]]:
    ours, theirs = socket.socketpair()
    _, connection = await asyncio.get_running_loop().create_connection(BackendConnection, sock=ours)
    try:
        yield connection, theirs
    finally:
        connection.close()
        theirs.close()


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
