"""The signals that a dashboard listens to, and how they reach its loop.

What ends it is raised as an exception wherever the program is, so that every `with` block is left; what it
goes on after is noted, and wakes the loop. Handlers are put back as they were.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_NOTED = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class EndedError(BaseException):
    """A signal has asked this process to end. No `except Exception` holds it up, as with Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Wake:
    """A way to end the wait of a loop, from another thread or from a signal."""

    def __init__(self) -> None:
        self.file, self._other_end = os.pipe()
        for end in (self.file, self._other_end):
            os.set_blocking(end, False)

    @property
    def writing_end(self) -> int:
        """The file that a byte is written to."""
        return self._other_end

    def ring(self) -> None:
        """End the wait, or the next one."""
        with suppress(BlockingIOError):  # it has been rung often enough
            os.write(self._other_end, b"\0")

    def clear(self) -> None:
        """Have the next wait last."""
        with suppress(BlockingIOError):
            while os.read(self.file, 4096):
                pass


@contextmanager
def listening(wake: Wake) -> Iterator[set[int]]:
    """Listen to signals; yields the set that those noted are put into, for the loop to take out again."""
    noted: set[int] = set()
    before = {number: signal.getsignal(number) for number in (*_ENDING, *_NOTED)}

    def end(number: int, _: FrameType | None) -> None:
        raise EndedError(number)

    for number in _ENDING:
        # A process that was started with hang-ups ignored, as by nohup, goes on ignoring them.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, end)
    for number in _NOTED:
        signal.signal(number, lambda number, _: noted.add(number))
    woken_before = signal.set_wakeup_fd(wake.writing_end, warn_on_full_buffer=False)
    try:
        yield noted
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def holding_back() -> Iterator[None]:
    """Let no signal interrupt what must be done to its end: one that comes meanwhile is heeded right after.

    Blocking signals would not do: another thread would take them, and hand them to this one.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, *_ENDING)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for ending in came:
            signal.raise_signal(ending)


def stop_here() -> None:
    """Stop this process as Ctrl-Z does; returns when it is told to go on."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)


def end_by(number: int) -> None:
    """End this process by a signal, as one does that never listened to it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
