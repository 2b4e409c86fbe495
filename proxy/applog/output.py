"""Where the lines of all processes end: in the log file, or on standard error.

A log that cannot be written is told of and gone around; it is no reason to stop, to wait or to fail.
"""

from __future__ import annotations

import logging
import os
import select
import time

from proxy.applog.file import LogFile
from proxy.applog.lines import RAW_LOGGER, Line, format_json, format_text
from proxy.settings import Settings


class StandardError:
    """The standard error of this process; whoever reads it may keep the log waiting."""

    def __init__(self, file: int) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        """Write a line; raises `OSError`."""
        while line:
            try:
                line = line[os.write(self._file, line) :]
            except BlockingIOError:  # it is shared with a program that wants it so
                room = select.poll()
                room.register(self._file, select.POLLOUT)
                room.poll()


class Output:
    """Writes lines in the form and to the place that a configuration says. Owned by one thread.

    Lines that the log file does not take go to standard error, where there is one. Those that no place takes
    are counted, and what came of them is told once the log can be written again. `process` is who tells.
    """

    def __init__(self, settings: Settings, process: str, standard_error: int) -> None:
        self._process = process
        self._standard_error = StandardError(standard_error)
        self._file: LogFile | None = None
        self._diverted = self._lost = 0
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Write by another configuration from now on."""
        self.close()
        log = settings.logging
        self._file = LogFile(log.file, log.max_size, log.backup_count) if log.file else None
        self._levels = logging.getLevelNamesMapping()
        self._level = self._levels[log.level]
        self._format = format_json if log.format == "json" else format_text
        self._zone = settings.app.timezone

    def close(self) -> None:
        """Close the file; to write again opens it."""
        if self._file is not None:
            self._file.close()

    def write(self, line: Line, process: str) -> None:
        """Write a line of a process if its level says so; one that is raw always."""
        if line.logger != RAW_LOGGER and self._levels.get(line.level, self._level) < self._level:
            return
        data = self._render(line, process)
        target = self._file or self._standard_error
        try:
            if self._diverted or self._lost:
                target.write(self._render_notice(self._describe_missing()))
                self._diverted = self._lost = 0
            target.write(data)
        except OSError as error:
            self._divert(data, error)

    def _divert(self, data: bytes, error: OSError) -> None:
        try:
            if self._file is None:
                raise error
            if not self._diverted:
                trouble = f"the log file cannot be written, lines go here: {error.strerror or error}"
                self._standard_error.write(self._render_notice(trouble))
            self._standard_error.write(data)
            self._diverted += 1
        except OSError:
            self._lost += 1

    def _describe_missing(self) -> str:
        fates = []
        if self._diverted:
            fates.append(f"{self._diverted} lines went to standard error")
        if self._lost:
            fates.append(f"{self._lost} lines were lost")
        return f"while the log could not be written, {' and '.join(fates)}"

    def _render_notice(self, message: str) -> bytes:
        return self._render(Line(time.time(), "ERROR", __name__, message), self._process)

    def _render(self, line: Line, process: str) -> bytes:
        return self._format(line, process, self._zone).encode(errors="backslashreplace")
