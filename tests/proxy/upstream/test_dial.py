"""Sockets to backends: which address is taken, and that none is left open. On both event loops.

An address that swallows packets is a connect that never ends, or a socket whose backlog is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.dial import Connect, interleave, open_socket
from proxy.upstream.faults import explain_connect_error
from proxy.upstream.resolve import Address, Resolver

FIRST: Address = ("192.0.2.1", 0)
SECOND: Address = ("192.0.2.2", 0)
THIRD: Address = ("2001:db8::1", 0, 0, 0)
PORT = 8080
Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Runs a coroutine in an event loop, and sees that as many sockets are open after it as before."""

    def run_in_loop(work: Coroutine[Any, Any, None]) -> None:
        async def counted() -> None:
            before = count_sockets()
            await work
            for _ in range(5):  # what was cancelled comes to its end
                await asyncio.sleep(0)
            assert count_sockets() == before

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(counted())

    return run_in_loop


def count_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # of the listing itself
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def resolver_of(*addresses: Address) -> Resolver:
    return Resolver(lambda host, port: addresses)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a socket of 127.0.0.1 that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Backends:
    """Connects as it is told for each address: an error to raise, or an event to wait for."""

    def __init__(self, outcomes: dict[str, OSError | asyncio.Event | None]) -> None:
        self.outcomes = outcomes
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []
        self.all_tried = asyncio.Event()

    async def __call__(self, sock: socket.socket, address: Address) -> None:
        self.tried.append(address[0])
        self.sockets.append(sock)
        if len(self.tried) == len(self.outcomes):
            self.all_tried.set()
        outcome = self.outcomes[address[0]]
        if isinstance(outcome, OSError):
            raise outcome
        if outcome is not None:
            await outcome.wait()

    def open_sockets(self) -> int:
        return sum(sock.fileno() >= 0 for sock in self.sockets)


def refused() -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def never() -> asyncio.Event:
    return asyncio.Event()


class Closing(asyncio.Protocol):
    """Tells when its connection is closed."""

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed.set()


async def dial(connect: Connect | None, *addresses: Address, seconds: float = 3600.0) -> socket.socket:
    return await open_socket(
        resolver_of(*addresses), "backend.example", PORT, connect=connect, attempt_seconds=seconds
    )


def test_a_socket_is_ready_for_a_transport(run: Runner, listening: int) -> None:
    async def work() -> None:
        sock = await open_socket(Resolver(), "127.0.0.1", listening)
        assert sock.getpeername() == ("127.0.0.1", listening)
        assert sock.gettimeout() == 0
        assert not sock.get_inheritable()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        transport, protocol = await asyncio.get_running_loop().create_connection(Closing, sock=sock)
        transport.abort()
        await protocol.is_closed.wait()

    run(work())


def test_a_name_and_a_peer_fit_together(run: Runner, listening: int) -> None:
    async def work() -> None:
        resolver = Resolver()
        with await open_socket(resolver, "localhost", listening) as sock:
            assert resolver.is_current("localhost", listening, sock.getpeername())
            assert not resolver.is_current("localhost", listening, ("192.0.2.1", listening))

    run(work())


def test_ipv6_is_dialled(run: Runner) -> None:
    async def work() -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            port = server.getsockname()[1]
            with await open_socket(Resolver(), "::1", port) as sock:
                assert sock.getpeername()[:2] == ("::1", port)

    run(work())


def test_one_address_costs_no_task(run: Runner, listening: int) -> None:
    async def connect(sock: socket.socket, address: Address) -> None:
        assert len(asyncio.all_tasks()) == 1
        await asyncio.get_running_loop().sock_connect(sock, address)

    async def work() -> None:
        (await open_socket(Resolver(), "127.0.0.1", listening, connect=connect)).close()

    run(work())


def test_a_refused_connection_is_told(run: Runner, refusing: str) -> None:
    async def work() -> None:
        with pytest.raises(OSError, match=r"refused|Connect call failed") as caught:
            await open_socket(Resolver(), "127.0.0.1", int(refusing.rpartition(":")[2]))
        assert explain_connect_error(caught.value).detail == "refused"

    run(work())


def test_an_address_that_swallows_packets_is_passed_over(run: Runner) -> None:
    """Row 3 of the report, with the delay made short."""

    async def work() -> None:
        backends = Backends({"192.0.2.1": never(), "192.0.2.2": None})
        with await dial(backends, FIRST, SECOND, seconds=0.001) as sock:
            assert sock is backends.sockets[1]
            await asyncio.sleep(0)
            assert backends.open_sockets() == 1
        assert backends.tried == ["192.0.2.1", "192.0.2.2"]

    run(work())


def test_a_socket_whose_backlog_is_full_is_passed_over(run: Runner, listening: int) -> None:
    async def work() -> None:
        full = socket.socket()
        full.bind(("127.0.0.2", listening))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.2", listening))
        try:
            resolver = resolver_of(("127.0.0.2", 0), ("127.0.0.1", 0))
            with await open_socket(resolver, "backend.example", listening, attempt_seconds=0.01) as sock:
                assert sock.getpeername() == ("127.0.0.1", listening)
        finally:
            for sock in (full, *waiting):
                sock.close()

    run(work())


def test_the_next_address_is_tried_at_once_when_one_has_failed(run: Runner) -> None:
    async def work() -> None:
        backends = Backends({"192.0.2.1": refused(), "2001:db8::1": refused(), "192.0.2.2": None})
        with await dial(backends, FIRST, SECOND, THIRD):
            assert backends.tried == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
            assert backends.open_sockets() == 1

    run(work())


def test_an_earlier_address_may_still_win(run: Runner) -> None:
    async def work() -> None:
        slow = asyncio.Event()
        backends = Backends({"192.0.2.1": slow, "192.0.2.2": never()})
        dialling = asyncio.create_task(dial(backends, FIRST, SECOND, seconds=0.001))
        await backends.all_tried.wait()
        slow.set()
        with await dialling as sock:
            assert sock is backends.sockets[0]

    run(work())


def test_when_two_connect_at_once_one_is_closed(run: Runner) -> None:
    async def work() -> None:
        both = asyncio.Event()
        backends = Backends({"192.0.2.1": both, "192.0.2.2": both})
        dialling = asyncio.create_task(dial(backends, FIRST, SECOND, seconds=0.001))
        await backends.all_tried.wait()
        both.set()
        with await dialling:
            for _ in range(3):
                await asyncio.sleep(0)
            assert backends.open_sockets() == 1

    run(work())


NO_NETWORK = OSError(errno.ENETUNREACH, "Network is unreachable")
NO_FILES = OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("failures", "detail"),
    [
        ((NO_NETWORK, refused()), "refused"),
        ((refused(), NO_NETWORK), "refused"),
        ((refused(), OSError(errno.EHOSTUNREACH, "x")), "refused"),
        ((refused(), NO_FILES), "no files"),
        ((NO_NETWORK, OSError(errno.EADDRNOTAVAIL, "x")), "no route"),
    ],
)
def test_the_failure_that_tells_most_is_told(run: Runner, failures: Sequence[OSError], detail: str) -> None:
    async def work() -> None:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - of several kinds
            await dial(Backends({"192.0.2.1": failures[0], "192.0.2.2": failures[1]}), FIRST, SECOND)
        assert explain_connect_error(caught.value).detail == detail

    run(work())


@pytest.mark.parametrize("addresses", [(FIRST,), (FIRST, SECOND, THIRD)])
def test_a_time_out_leaves_nothing_open(run: Runner, addresses: Sequence[Address]) -> None:
    async def work() -> None:
        backends = Backends({address[0]: never() for address in addresses})

        async def expire(bound: asyncio.Timeout) -> None:
            await backends.all_tried.wait()
            bound.reschedule(asyncio.get_running_loop().time())

        async def be_late() -> None:
            async with asyncio.timeout(None) as bound:
                expiring = asyncio.create_task(expire(bound))
                await dial(backends, *addresses, seconds=0)
            await expiring

        with pytest.raises(TimeoutError) as caught:
            await be_late()
        assert explain_connect_error(caught.value).detail == "no connection"

    run(work())


def test_real_attempts_that_are_cancelled_disturb_no_later_one(run: Runner, listening: int) -> None:
    """The numbers of sockets are used again: what the loop still watches must not be a closed one's."""

    async def work() -> None:
        full = socket.socket()
        full.bind(("127.0.0.2", listening))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.2", listening))
        try:
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await open_socket(Resolver(), "127.0.0.2", listening)
                (await open_socket(Resolver(), "127.0.0.1", listening)).close()
        finally:
            for sock in (full, *waiting):
                sock.close()

    run(work())


def test_a_time_out_of_a_look_up_is_told_from_one_of_connecting() -> None:
    release = asyncio.Event()

    class Silent(Resolver):
        async def resolve(self, host: str, port: int) -> list[Address]:
            await release.wait()
            return []

    async def work() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0):
                await open_socket(Silent(), "silent.example", PORT)
        assert explain_connect_error(caught.value).detail == "name look-up"

    asyncio.run(work())


def test_a_name_without_addresses_is_told(run: Runner) -> None:
    async def work() -> None:
        with pytest.raises(OSError, match="no address") as caught:
            await dial(None)
        assert explain_connect_error(caught.value).detail == "no such host"

    run(work())


@pytest.mark.parametrize(
    ("families", "expected"),
    [("446", "464"), ("6644", "6464"), ("4", "4"), ("444", "444"), ("466", "466"), ("64446", "64644")],
)
def test_families_take_turns(families: str, expected: str) -> None:
    addresses = make_addresses(families)
    assert "".join("6" if ":" in host else "4" for host, *_ in interleave(addresses)) == expected


@given(st.text("46", max_size=16))
def test_every_address_is_tried_once_and_in_its_order(families: str) -> None:
    addresses = make_addresses(families)
    found = interleave(addresses)
    assert found[:1] == addresses[:1]
    for family in (4, 2):
        assert [a for a in found if len(a) == family] == [a for a in addresses if len(a) == family]


def make_addresses(families: str) -> list[Address]:
    return [
        (f"192.0.2.{number}", 80) if family == "4" else (f"2001:db8::{number}", 80, 0, 0)
        for number, family in enumerate(families)
    ]
