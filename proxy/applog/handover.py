"""The side of a process that logs: it hands its lines over, and never waits for whoever takes them.

The pipe is the process's standard error, or the sink's own. Its writing end does not block, which is seen to
by whoever made it: where a process was started without a pipe, that end may be a terminal that others use.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import sys
import threading
import time
from contextlib import suppress

from proxy.applog.lines import Line, pack_line, read_record

# They tell of every address, request, read and statement; what they find wrong is worth telling.
_CHATTY = ("hypercorn", "httpx", "httpcore", "asyncio", "peewee")


class HandOver(logging.Handler):
    """Hands each record over in the moment that it is logged, so that a process that is killed has told all.

    What a full pipe does not take is dropped; how many lines that were is told as soon as there is room. Once
    nobody reads any more, lines vanish.
    """

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe
        self._rest = b""  # of a line that the pipe has taken a part of
        self._dropped = 0
        self._waiter: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over; `handle` holds the lock."""
        packed = pack_line(read_record(record))
        if not (self._catch_up() and self._send(packed)):
            self._dropped += 1
        if self._rest or self._dropped:
            self._await_room()

    def settle(self, seconds: float) -> None:
        """Wait until all that is owed is handed over, but no longer than that."""
        if (waiter := self._waiter) is not None:
            waiter.join(seconds)

    def close(self) -> None:
        """Hand over what there is room for, and nothing after that. The pipe stays open."""
        self.acquire()
        try:
            self._catch_up()
            self._pipe = -1
        finally:
            self.release()
        super().close()

    def _catch_up(self) -> bool:
        """Hand over what is owed; return whether there may be room for more."""
        while self._rest:
            taken = self._write(self._rest)
            if not taken:
                return False
            self._rest = self._rest[taken:]
        if self._dropped:
            message = f"{self._dropped} lines were dropped: nobody took them in time"
            if not self._send(pack_line(Line(time.time(), "ERROR", __name__, message))):
                return False
            self._dropped = 0
        return True

    def _send(self, packed: bytes) -> bool:
        """Return whether a line has been taken, be it in part: its rest is then owed."""
        taken = self._write(packed)
        if taken:
            self._rest = packed[taken:]
        return taken > 0

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._pipe, data)
        except BlockingIOError:
            return 0
        except OSError:  # nobody reads any more
            return len(data)

    def _await_room(self) -> None:
        if self._waiter is None:
            waiter = threading.Thread(target=self._catch_up_on, args=[self._pipe], name="applog", daemon=True)
            with suppress(RuntimeError):  # no more threads, or the interpreter is ending: the next line tries
                waiter.start()
                self._waiter = waiter

    def _catch_up_on(self, pipe: int) -> None:
        room = select.poll()
        room.register(pipe, select.POLLOUT)
        while True:
            room.poll()
            self.acquire()
            try:
                if self._catch_up():
                    self._waiter = None
                    return
            finally:
                self.release()


def configure_logging(level: str) -> None:
    """Have this process, whose standard error is a pipe of a sink, hand over its lines from a level on.

    What crashes the interpreter is told there too, as a raw traceback that shows no values.
    """
    install_handler(HandOver(sys.stderr.fileno()), level)
    faulthandler.enable()


def install_handler(handler: logging.Handler, level: str) -> None:
    """Send every line of this process to one handler, Python's warnings too."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    quiet = max(logging.WARNING, root.level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(quiet)
