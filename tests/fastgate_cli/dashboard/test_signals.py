"""Signals end the loop or wake it, and handlers are put back as they were."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from fastgate_cli.dashboard.signals import EndedError, Wake, holding_back, listening

WAIT_SECONDS = 10
HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


@pytest.fixture
def wake() -> Wake:
    return Wake()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Check that every handler is as it was before."""
    before = [signal.getsignal(number) for number in HEEDED]
    yield
    assert [signal.getsignal(number) for number in HEEDED] == before


def is_awake(wake: Wake, seconds: float = WAIT_SECONDS) -> bool:
    return bool(select.select([wake.file], [], [], seconds)[0])


def test_a_ring_ends_the_wait_until_it_is_cleared(wake: Wake) -> None:
    assert not is_awake(wake, 0)
    for _ in range(100_000):  # more than the pipe holds: nobody waits
        wake.ring()
    assert is_awake(wake, 0)
    wake.clear()
    assert not is_awake(wake, 0)


def test_another_thread_can_ring(wake: Wake) -> None:
    threading.Thread(target=wake.ring).start()
    assert is_awake(wake)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_is_to_end_it_comes_as_an_exception_that_nothing_holds_up(wake: Wake, number: int) -> None:
    assert not issubclass(EndedError, Exception)
    with pytest.raises(EndedError) as caught, listening(wake):
        signal.raise_signal(number)
    assert caught.value.number == number


def test_an_interrupt_stays_what_it_is(wake: Wake) -> None:
    with pytest.raises(KeyboardInterrupt), listening(wake):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT])
def test_what_it_goes_on_after_is_noted_and_wakes_it(wake: Wake, number: int) -> None:
    with listening(wake) as noted:
        signal.raise_signal(number)
        assert is_awake(wake)
        assert noted == {number}


def test_a_hang_up_that_was_ignored_before_is_ignored(wake: Wake) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening(wake):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, EndedError)]
)
def test_what_is_held_back_comes_right_after(wake: Wake, number: int, error: type[BaseException]) -> None:
    done = []

    def do_to_its_end() -> None:
        with holding_back():
            signal.raise_signal(number)
            done.append("to its end")
        done.append("never")

    with listening(wake), pytest.raises(error):
        do_to_its_end()
    assert done == ["to its end"]


def test_nothing_is_heard_after_it(wake: Wake) -> None:
    with listening(wake):
        pass
    signal.raise_signal(signal.SIGWINCH)
    assert not is_awake(wake, 0)
    assert os.get_blocking(wake.file) is False
