"""A line of the log: as a process hands it over through its pipe, and as it is written in the end.

Handed over, it is a JSON object between RS and LF (RFC 7464) that holds a traceback too, so that a line is
known to be whole whatever came before it. Everything else in the pipe is raw: what the interpreter writes to
standard error when it crashes, above all. Raw lines are lines of the log as well, made here.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo

import msgspec

from proxy.clock import format_time

RAW_LOGGER = "stderr"
# Of a message, of a traceback and of a raw line: what is longer is cut in its middle.
TEXT_CHARACTERS_MAX = 16 * 1024
# A line with two such texts, each character of them escaped, is still shorter.
LINE_BYTES_MAX = 256 * 1024
_MARK = b"\x1e"
# A mark begins a line even where a raw one has not been ended.
_END = re.compile(rb"\n|(?=\x1e)")
_CUT = " [... cut ...] "


class Line(msgspec.Struct, frozen=True):
    """One line. `created` is in seconds since the epoch; `traceback` holds several lines of text, or none."""

    created: float
    level: str
    logger: str
    message: str
    traceback: str = ""


_DECODER = msgspec.json.Decoder(Line)


def read_record(record: logging.LogRecord) -> Line:
    """Return the line of a record; one whose message and arguments do not fit says so, and raises nothing."""
    try:
        message = record.getMessage()
    except Exception as error:  # noqa: BLE001
        # Whatever an argument's own `__str__` raises. To log is never what makes a request fail.
        message = f"{record.pathname}:{record.lineno}: cannot be told: {type(error).__name__}: {error}"
    traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return Line(
        record.created,
        record.levelname,
        record.name,
        _bound(message),
        _bound("\n".join(filter(None, (traceback, record.stack_info)))),
    )


def pack_line(line: Line) -> bytes:
    """Return a line as it is handed over."""
    return _MARK + msgspec.json.encode(line) + b"\n"


class LineReader:
    """Puts the lines of one process together from the pieces that come out of its pipe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._begun = b""
        self._is_cut = False

    def feed(self, piece: bytes) -> Iterator[Line]:
        """Yield the lines that a piece ends; what it begins is kept."""
        *ended, begun = _END.split(piece)
        for rest in ended:
            self._keep(rest)
            yield from self.finish()
        self._keep(begun)

    def finish(self) -> Iterator[Line]:
        """Yield what was begun, if anything was: there is no more of it."""
        data, is_cut = self._begun, self._is_cut
        self._begun, self._is_cut = b"", False
        packed, data = data.startswith(_MARK), data.removeprefix(_MARK)
        line = _unpack(data) if packed else None
        text = data.decode(errors="backslashreplace").rstrip()
        if line is None and text:
            mark = _CUT.rstrip() if is_cut else ""
            line = Line(self._clock(), "ERROR", RAW_LOGGER, _bound(text) + mark)
        if line is not None:
            yield line

    def _keep(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._begun)
        self._begun += piece[:room]
        self._is_cut = self._is_cut or len(piece) > room


def _unpack(data: bytes) -> Line | None:
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError:  # its process died while it wrote
        return None


def _bound(text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        half = (TEXT_CHARACTERS_MAX - len(_CUT)) // 2
        text = text[:half] + _CUT + text[-half:]
    # A lone surrogate, as in the name of a file that is not UTF-8, could not be encoded.
    return text.encode(errors="backslashreplace").decode()


def format_text(line: Line, process: str, zone: tzinfo) -> str:
    """Return time, level, process and message on one line; a traceback follows on lines of its own."""
    head = " ".join(filter(None, (_format_time(line, zone), f"{line.level:<7}", process, line.message)))
    return f"{head}\n{line.traceback}\n" if line.traceback else f"{head}\n"


def format_json(line: Line, process: str, zone: tzinfo) -> str:
    """Return one JSON object on one line."""
    shown = {"time": _format_time(line, zone), "level": line.level, "logger": line.logger}
    if process:
        shown["process"] = process
    shown["message"] = line.message
    if line.traceback:
        shown["traceback"] = line.traceback
    return msgspec.json.encode(shown).decode() + "\n"


def _format_time(line: Line, zone: tzinfo) -> str:
    return format_time(datetime.fromtimestamp(line.created, zone), zone)
