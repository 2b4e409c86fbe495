"""Names and addresses: look-ups that are held by a test, and a clock that it sets. Nothing waits for time."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from proxy.upstream import resolve as module
from proxy.upstream.faults import LookUpsStuckError
from proxy.upstream.resolve import (
    ADDRESSES_MAX,
    FAILED_SECONDS,
    FRESH_SECONDS,
    KEPT_SECONDS,
    NAMES_MAX,
    PATIENCE_SECONDS,
    SLOW_SECONDS,
    STALE_SECONDS,
    Address,
    Resolver,
    look_up,
    read_literal,
)

ONE: list[Address] = [("192.0.2.1", 0)]
TWO: list[Address] = [("192.0.2.2", 0)]
NO_HOST = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
SILENT = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
Outcome = Sequence[Address] | Exception


class Names:
    """A name service: answers from `outcomes`, and for names in `held` once they are released."""

    def __init__(self, **outcomes: Outcome) -> None:
        self.outcomes: dict[str, Outcome] = dict(outcomes)
        self.asked: list[str] = []
        self.under_way: dict[str, int] = {}
        self.most_under_way = 0
        self.held: dict[str, threading.Event] = {}
        self.now = 1000.0
        self._lock = threading.Lock()

    def hold(self, *names: str) -> None:
        self.held |= {name: threading.Event() for name in names}

    def release(self) -> None:
        for event in self.held.values():
            event.set()
        self.held = {}

    def clock(self) -> float:
        return self.now

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        with self._lock:
            self.asked.append(host)
            self.under_way[host] = self.under_way.get(host, 0) + 1
            self.most_under_way = max(self.most_under_way, sum(self.under_way.values()))
            assert self.under_way[host] == 1, "two look-ups for one name"
        event = self.held.get(host)
        if event is not None:
            event.wait()
        outcome = self.outcomes.get(host, ONE)
        with self._lock:
            self.under_way[host] -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def run(names: Names, work: Callable[[Resolver], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        await work(Resolver(names, clock=names.clock, **options))

    try:
        asyncio.run(main())
    finally:
        names.release()


async def settle(resolver: Resolver) -> None:
    """Return when no look-up is under way: what was begun behind the scenes has been noted."""
    while pending := [entry.pending for entry in resolver._entries.values() if entry.pending]:
        await asyncio.wait([each.done for each in pending])


async def start(resolver: Resolver, *names: str) -> list[asyncio.Task[list[Address]]]:
    """Begin to resolve, as far as it goes before anything is waited for."""
    tasks = [asyncio.create_task(resolver.resolve(name, 80)) for name in names]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", ("127.0.0.1", 80)),
        ("::1", ("::1", 80, 0, 0)),
        ("2001:DB8:0:0::1", ("2001:db8::1", 80, 0, 0)),
        ("localhost", None),
        ("127.1", None),
        ("fe80::1%lo", None),
        ("", None),
        ("1.2.3.4.example", None),
    ],
)
def test_an_address_is_told_from_a_name(host: str, address: Address | None) -> None:
    assert read_literal(host, 80) == address


def test_an_address_needs_no_look_up() -> None:
    async def work(resolver: Resolver) -> None:
        assert await resolver.resolve("::1", 80) == [("::1", 80, 0, 0)]
        assert resolver.is_current("::1", 80, ("::1", 80, 0, 0))

    names = Names()
    run(names, work)
    assert names.asked == []


def test_a_name_is_asked_for_once_whatever_its_port_and_case() -> None:
    async def work(resolver: Resolver) -> None:
        names.hold("a.example")
        tasks = await start(resolver, "a.example", "A.Example", "a.example")
        names.release()
        assert await asyncio.gather(*tasks) == [[("192.0.2.1", 80)]] * 3
        assert await resolver.resolve("a.example", 443) == [("192.0.2.1", 443)]

    names = Names()
    run(names, work)
    assert names.asked == ["a.example"]


def test_a_silent_name_delays_no_other() -> None:
    """Row 2 of the report: four requests for it, then one for a name of the hosts file."""

    async def work(resolver: Resolver) -> None:
        names.hold("silent.example")
        waiting = await start(resolver, *["silent.example"] * 4)
        assert await resolver.resolve("localhost", 80) == [("192.0.2.1", 80)]
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()

    names = Names()
    run(names, work)


def test_who_gives_up_does_not_take_the_answer_from_others() -> None:
    async def work(resolver: Resolver) -> None:
        names.hold("a")
        first, second = await start(resolver, "a", "a")
        first.cancel()
        await asyncio.wait([first])
        names.release()
        assert await second == [("192.0.2.1", 80)]

    run(names := Names(), work)
    assert names.asked == ["a"]


def test_names_wait_in_line_for_a_thread_and_fail_at_once_when_all_threads_are_stuck() -> None:
    async def work(resolver: Resolver) -> None:
        assert await resolver.resolve("known", 80)
        names.hold("s1", "s2")
        stuck = await start(resolver, "s1", "s2")
        (patient,) = await start(resolver, "patient")
        names.now += SLOW_SECONDS
        with pytest.raises(LookUpsStuckError):
            await resolver.resolve("new", 80)
        assert await resolver.resolve("known", 80) == [("192.0.2.1", 80)]
        assert await resolver.resolve("127.0.0.1", 80)
        assert resolver.is_current("new", 80, ("192.0.2.9", 80))
        names.release()
        assert await asyncio.gather(*stuck, patient) == [[("192.0.2.1", 80)]] * 3
        names.now += FAILED_SECONDS
        assert await resolver.resolve("new", 80) == [("192.0.2.1", 80)]

    run(names := Names(), work, threads_max=2)
    assert names.most_under_way == 2


def test_a_stuck_resolver_still_serves_what_it_knows_for_a_while() -> None:
    async def work(resolver: Resolver) -> None:
        assert await resolver.resolve("known", 80)
        names.hold("silent")
        (stuck,) = await start(resolver, "silent")
        names.now += STALE_SECONDS
        assert await resolver.resolve("known", 80) == [("192.0.2.1", 80)]
        stuck.cancel()

    run(names := Names(), work, threads_max=1)
    assert names.asked == ["known", "silent"]


def test_a_name_that_moves_is_followed_while_it_is_used() -> None:
    """Row 4 of the report: one request a second, over a connection that is kept."""

    async def work(resolver: Resolver) -> None:
        old: Address = ("192.0.2.1", 80)
        assert await resolver.resolve("a", 80) == [old]
        names.outcomes["a"] = TWO
        seconds = 0
        while resolver.is_current("a", 80, old):
            await settle(resolver)
            names.now += 1
            seconds += 1
            assert seconds <= 60
        assert FRESH_SECONDS <= seconds <= FRESH_SECONDS + 1
        assert await resolver.resolve("a", 80) == [("192.0.2.2", 80)]
        assert resolver.is_current("a", 80, ("192.0.2.2", 80))

    run(names := Names(a=ONE), work)
    assert names.asked == ["a", "a"]


def test_the_zone_of_a_peer_makes_no_difference() -> None:
    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        assert resolver.is_current("a", 80, ("fe80::1%eth0", 80, 0, 2))

    run(Names(a=[("fe80::1", 0, 0, 2)]), work)


def test_an_old_answer_is_used_while_it_is_asked_for_anew() -> None:
    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.outcomes["a"] = TWO
        names.hold("a")
        names.now += FRESH_SECONDS
        assert await resolver.resolve("a", 80) == [("192.0.2.1", 80)]
        names.release()
        await settle(resolver)
        assert await resolver.resolve("a", 80) == [("192.0.2.2", 80)]

    run(names := Names(a=ONE), work)
    assert names.asked == ["a", "a"]


def test_an_answer_that_nobody_used_for_long_is_asked_for_first() -> None:
    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.outcomes["a"] = TWO
        names.now += STALE_SECONDS
        assert await resolver.resolve("a", 80) == [("192.0.2.2", 80)]

    run(names := Names(a=ONE), work)


def test_a_name_server_that_has_gone_silent_takes_no_known_backend_away() -> None:
    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.outcomes["a"] = SILENT
        for _ in range(3):
            names.now += STALE_SECONDS
            assert await resolver.resolve("a", 80) == [("192.0.2.1", 80)]
            assert resolver.is_current("a", 80, ("192.0.2.1", 80))
        # It has not failed yet, and is waited for once, not by everybody.
        names.hold("a")
        names.now += STALE_SECONDS
        assert resolver.is_current("a", 80, ("192.0.2.1", 80))
        names.now += PATIENCE_SECONDS
        assert await resolver.resolve("a", 80) == [("192.0.2.1", 80)]
        names.release()
        await settle(resolver)
        names.now += KEPT_SECONDS
        with pytest.raises(socket.gaierror) as caught:
            await resolver.resolve("a", 80)
        assert caught.value.errno == socket.EAI_AGAIN

    run(names := Names(a=ONE), work)


def test_who_asks_after_long_waits_a_little_for_a_slow_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.001)

    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.hold("a")
        names.now += STALE_SECONDS
        assert await resolver.resolve("a", 80) == [("192.0.2.1", 80)]

    run(names := Names(a=ONE), work)


def test_an_answer_of_long_ago_is_no_reason_not_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)

    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.outcomes["a"] = TWO
        names.hold("a")
        names.now += KEPT_SECONDS
        (asking,) = await start(resolver, "a")
        names.release()
        assert await asking == [("192.0.2.2", 80)]

    run(names := Names(a=ONE), work)


def test_a_host_that_is_gone_is_gone() -> None:
    async def work(resolver: Resolver) -> None:
        await resolver.resolve("a", 80)
        names.outcomes["a"] = NO_HOST
        names.now += FRESH_SECONDS
        assert await resolver.resolve("a", 80)
        await settle(resolver)
        with pytest.raises(socket.gaierror):
            await resolver.resolve("a", 80)
        assert not resolver.is_current("a", 80, ("192.0.2.1", 80))

    run(names := Names(a=ONE), work)


@pytest.mark.parametrize("outcome", [NO_HOST, SILENT, UnicodeError("label too long"), [], OSError(5, "x")])
def test_a_failure_is_kept_for_a_moment_and_is_a_new_error_each_time(outcome: Outcome) -> None:
    async def work(resolver: Resolver) -> None:
        errors = []
        for seconds in (0, FAILED_SECONDS / 2, FAILED_SECONDS):
            names.now += seconds
            with pytest.raises(OSError) as caught:  # noqa: PT011 - of several kinds
                await resolver.resolve("a", 80)
            errors.append(caught.value)
        assert len({id(error) for error in errors}) == 3
        assert len({(type(error), error.args) for error in errors}) == 1

    run(names := Names(a=outcome), work)
    assert names.asked == ["a", "a"]


def test_a_bug_in_the_look_up_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def work(resolver: Resolver) -> None:
        with pytest.raises(socket.gaierror):
            await resolver.resolve("a", 80)

    run(Names(a=ZeroDivisionError("x")), work)
    assert "ZeroDivisionError" in caplog.text


def test_a_system_that_gives_no_threads_fails_all_who_are_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def work(resolver: Resolver) -> None:
        names.hold("busy")
        (busy,) = await start(resolver, "busy")
        waiting = await start(resolver, *(f"n{number}" for number in range(NAMES_MAX - 1)))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        names.release()
        assert await busy
        done, _ = await asyncio.wait(waiting)
        assert all(isinstance(task.exception(), LookUpsStuckError) for task in done)

    run(names := Names(), work, threads_max=1)


def test_names_and_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_MAX", 4)

    async def work(resolver: Resolver) -> None:
        many = [(f"192.0.2.{number}", 80) for number in range(1, 100)]
        names.outcomes["many"] = many
        assert await resolver.resolve("many", 80) == many[:ADDRESSES_MAX]
        for number in range(10):
            await resolver.resolve(f"n{number}", 80)
        assert len(resolver._entries) == 4
        names.hold("s0", "s1", "s2", "s3")
        stuck = await start(resolver, "s0", "s1", "s2", "s3")
        with pytest.raises(LookUpsStuckError):
            await resolver.resolve("one more", 80)
        assert resolver.is_current("one more", 80, ("192.0.2.1", 80))
        assert len(resolver._entries) == 4
        names.release()
        await asyncio.gather(*stuck)

    run(names := Names(), work)


def test_the_system_is_asked_for_what_the_hosts_file_has() -> None:
    addresses = look_up("localhost", 80)
    assert addresses
    assert {address[0] for address in addresses} <= {"127.0.0.1", "::1"}
    assert {address[1] for address in addresses} == {80}


def test_what_the_system_says_is_taken_once_each_without_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6, 1, 6, "", ("fe80::1%eth0", 80, 0, 2)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", 80)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", 80)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert look_up("a", 80) == [("fe80::1", 80, 0, 2), ("192.0.2.1", 80)]


def test_a_look_up_under_way_keeps_no_process_from_ending() -> None:
    script = """
import asyncio, threading
from proxy.upstream.resolve import Resolver

async def main():
    resolver = Resolver(lambda host, port: threading.Event().wait())
    try:
        async with asyncio.timeout(0):
            await resolver.resolve("silent.example", 80)
    except TimeoutError:
        print("late")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "late\n", "")
