"""The side that writes: one thread reads what all processes of a gateway hand over, and its own too.

Each process has a pipe of its own, so that lines of two are never mixed, and what a dying one wrote last is
still read. Nothing that logs ever waits for the disk or the terminal that is logged to: only the thread does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from proxy.applog.file import check_log_file
from proxy.applog.handover import HandOver, install_handler
from proxy.applog.lines import LineReader
from proxy.applog.output import Output
from proxy.settings import Settings

# What a process may log while nobody reads.
PIPE_BYTES = 256 * 1024
# Each for what is owed and for what is read, should standard error not be taken, or a process not end.
CLOSE_SECONDS_MAX = 2.0
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Source:
    """A pipe's reading end; lines from it are of one process."""

    process: str
    reader: LineReader = field(default_factory=LineReader)


class LogSink:
    """Writes the log of this process and of those that `open_pipe` is for, as a configuration says.

    `process` is what lines call this one. Raises `InvalidInputError` if the log file cannot be opened.
    """

    def __init__(self, settings: Settings, process: str = "") -> None:
        if settings.logging.file is not None:
            check_log_file(settings.logging.file)
        self._settings = self._applied = settings
        self._output = Output(settings, process, sys.stderr.fileno())
        # It has to take another pipe while its thread waits: epoll and kqueue do.
        self._selector = selectors.DefaultSelector()
        self._own = self._connect(process)
        self._handler = HandOver(self._own)
        self._handlers, self._level = logging.getLogger().handlers[:], logging.getLogger().level
        self._thread = threading.Thread(target=self._run, name="applog", daemon=True)
        self._thread.start()
        install_handler(self._handler, settings.logging.level)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def configure(self, settings: Settings) -> None:
        """Log as another configuration says from now on; see to its file with `check_log_file` first."""
        self._settings = settings
        install_handler(self._handler, settings.logging.level)

    @contextmanager
    def open_pipe(self, process: str) -> Iterator[int]:
        """Give a file to be the standard error of a process that is started meanwhile; raises `OSError`."""
        pipe = self._connect(process)
        try:
            yield pipe
        finally:
            os.close(pipe)

    def close(self) -> None:
        """Write what is left, and leave logging as it was found. The processes have to have ended."""
        logging.getLogger().handlers[:] = self._handlers
        logging.getLogger().setLevel(self._level)
        logging.captureWarnings(False)
        self._handler.settle(CLOSE_SECONDS_MAX)
        self._handler.close()
        os.close(self._own)
        self._thread.join(CLOSE_SECONDS_MAX)

    def _connect(self, process: str) -> int:
        ours, theirs = os.pipe()
        try:
            os.set_blocking(theirs, False)
            with suppress(OSError, AttributeError):  # Linux, and as much as this user may
                fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._selector.register(ours, selectors.EVENT_READ, _Source(process))
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
        return theirs

    def _run(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select():
                self._read(key.fd, key.data)
        self._selector.close()
        self._output.close()

    def _read(self, pipe: int, source: _Source) -> None:
        piece = os.read(pipe, _READ_BYTES)
        settings = self._settings
        if settings is not self._applied:
            self._output.configure(settings)
            self._applied = settings
        for line in source.reader.feed(piece) if piece else source.reader.finish():
            self._output.write(line, source.process)
        if not piece:
            self._selector.unregister(pipe)
            os.close(pipe)
