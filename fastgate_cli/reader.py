"""Whoever reads standard output: a command that follows something ends when there is nobody any more.

A writer learns that its reader has gone when it writes, and a follower may have nothing to write for hours.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time


def wait_while_read(seconds: float) -> None:
    """Wait. Raises `BrokenPipeError` as soon as nobody can read any more what stdout would be given."""
    descriptor = _find_pipe()
    if descriptor is None:
        time.sleep(seconds)
        return
    poll = select.poll()
    poll.register(descriptor, 0)  # an error and a hang-up are told unasked, and nothing else is
    if poll.poll(seconds * 1000):
        raise BrokenPipeError


def _find_pipe() -> int | None:
    """Return the descriptor of stdout if a program reads there. The end of a terminal is told by a signal."""
    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):  # not a file of the system, or closed
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
