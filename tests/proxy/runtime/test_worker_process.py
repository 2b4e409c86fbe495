"""A worker as its supervisor sees it: its orders, its report, and an end for every kind of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.errors import (
    ConfigurationError,
    DatabaseError,
    FastGateError,
    InvalidInputError,
    JournalError,
    Problem,
)
from proxy.listening import bind_listener
from proxy.runtime import worker_process as module
from proxy.runtime.worker_process import (
    Orders,
    WorkerProcess,
    build_report,
    read_report,
    receive_orders,
    send_orders,
)
from proxy.settings import ProxySettings, SecuritySettings, Settings

Play = Callable[[str], None]
IMPORTS = "import os, signal, socket, time; wire = socket.socket(fileno=0);"
READY = "wire.sendall(b'{}\\n'); time.sleep(60)"
STUBBORN = f"{IMPORTS} [signal.signal(number, signal.SIG_IGN) for number in (2, 15)]; {READY}"
DRAINING = f"{IMPORTS} signal.signal(15, lambda *_: None); signal.signal(2, signal.SIG_DFL); {READY}"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind_listener("127.0.0.1", 0) as made:
        yield made


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """`play(source)`: what the process of a worker runs from now on."""

    def set_source(source: str) -> None:
        (tmp_path / "played_worker.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(module, "MODULE", "played_worker")

    return set_source


def test_orders_arrive_as_they_were_given() -> None:
    security = SecuritySettings(admin_token="secret", trusted_proxies=(ip_network("10.0.0.0/8"),))
    orders = Orders(Settings(security=security, source=Path("/x.yaml"), origins={"a.b": "default"}), 3, 7)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_orders(ours, orders)
        assert receive_orders(theirs) == orders


@pytest.mark.parametrize("part", [b"", b"\x01", b"\x10\x00\x00\x00abc"])
def test_orders_that_break_off_are_an_end(part: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(part)
        ours.close()
        with pytest.raises(EOFError):
            receive_orders(theirs)


@pytest.mark.parametrize("kind", [DatabaseError, JournalError, InvalidInputError, FastGateError])
def test_an_error_is_told_as_what_it_is(kind: type[FastGateError]) -> None:
    with pytest.raises(kind) as caught:
        read_report(build_report(kind("what\nhappened", hint="what to do")))
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("what\nhappened", "what to do")


def test_one_line_a_report_and_none_is_good_news() -> None:
    assert build_report(FastGateError("a\nb")).count(b"\n") == 1
    read_report(build_report(None))


def test_problems_of_a_configuration_arrive_as_their_text() -> None:
    with pytest.raises(InvalidInputError, match=r"a\.yaml:1:2: bad"):
        read_report(build_report(ConfigurationError([Problem("bad", "a.yaml", 1, 2)])))


def test_one_that_dies_without_a_word_is_told_with_its_exit_code(listener: socket.socket, play: Play) -> None:
    play("raise SystemExit(7)")

    async def run() -> None:
        process = await WorkerProcess.spawn(Settings(), listener, 4)
        with pytest.raises(FastGateError, match="worker 4 ended with 7 before it was ready"):
            await process.ready()

    asyncio.run(run())


def test_so_is_one_that_has_died_before_it_was_given_its_orders(
    listener: socket.socket, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play("raise SystemExit(7)")

    def send_late(wire: socket.socket, orders: Orders) -> None:
        assert wire.recv(1) == b""  # its end is closed
        send_orders(wire, orders)

    monkeypatch.setattr(module, "send_orders", send_late)

    async def run() -> None:
        process = await WorkerProcess.spawn(Settings(), listener, 4)
        with pytest.raises(FastGateError, match="worker 4 ended with 7 before it was ready"):
            await process.ready()

    asyncio.run(run())


def test_one_that_never_gets_ready_is_given_up(
    listener: socket.socket, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play("import time; time.sleep(60)")
    monkeypatch.setattr(module, "START_SECONDS_MAX", 0.1)

    async def run() -> None:
        process = await WorkerProcess.spawn(Settings(), listener, 1)
        with pytest.raises(FastGateError, match="ended with -9"):
            await process.ready()

    asyncio.run(run())


async def end_after(settings: Settings, listener: socket.socket, *, hurry: bool) -> int:
    process = await WorkerProcess.spawn(settings, listener, 1)
    await process.ready()
    hurried = asyncio.Event()
    ending = asyncio.create_task(process.end(hurried))
    if hurry:
        hurried.set()
    await ending
    return await process.wait()


def test_one_that_ignores_every_signal_is_killed(
    listener: socket.socket, play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    play(STUBBORN)
    monkeypatch.setattr(module, "END_SECONDS_MAX", 0.1)
    settings = Settings(proxy=replace(ProxySettings(), shutdown_grace=0.0))
    assert asyncio.run(end_after(settings, listener, hurry=False)) == -signal.SIGKILL
    assert "it is killed" in caplog.text


def test_hurry_ends_the_grace_with_another_signal(listener: socket.socket, play: Play) -> None:
    play(DRAINING)
    assert asyncio.run(end_after(Settings(), listener, hurry=True)) == -signal.SIGINT


def test_ending_one_that_is_dead_is_nothing(listener: socket.socket, play: Play) -> None:
    play(f"{IMPORTS} {READY}")

    async def run() -> int:
        process = await WorkerProcess.spawn(Settings(), listener, 1)
        await process.ready()
        os.kill(process.pid, signal.SIGKILL)
        code = await process.wait()
        await process.end(asyncio.Event())
        return code

    assert asyncio.run(run()) == -signal.SIGKILL


def test_it_has_a_session_of_its_own(listener: socket.socket, play: Play) -> None:
    play(f"{IMPORTS} {READY}")

    async def run() -> None:
        process = await WorkerProcess.spawn(Settings(), listener, 1)
        await process.ready()
        assert os.getsid(process.pid) == process.pid
        await process.end(asyncio.Event())

    asyncio.run(run())
