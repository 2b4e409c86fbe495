"""The application log: what the gateway says of itself, as text for people or JSON for programs.

It goes to standard error. Requests are not logged here: they are rows. No message holds a secret.
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime, tzinfo

import msgspec

from proxy.clock import format_time


class TextFormatter(logging.Formatter):
    """One line: time, level, process, message; a traceback follows on lines of its own."""

    def __init__(self, zone: tzinfo, process: str = "") -> None:
        super().__init__(" ".join(filter(None, ("%(asctime)s %(levelname)-7s", process, "%(message)s"))))
        self._zone = zone
        self._process = process

    def formatTime(self, record: logging.LogRecord, _datefmt: str | None = None) -> str:  # noqa: N802
        return format_time(datetime.fromtimestamp(record.created, self._zone), self._zone)


class JsonFormatter(TextFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        if self._process:
            line["process"] = self._process
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure_logging(level: str, style: str, zone: tzinfo, *, process: str = "") -> None:
    """Send every log line of this process to standard error; `style` is text or json.

    `process` tells the processes of one gateway apart, which share that stream: "worker-1", "recorder".
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if style == "json" else TextFormatter
    handler.setFormatter(formatter(zone, process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # They tell of every address, request and read; what they find wrong is worth telling.
    quiet = max(logging.WARNING, logging.getLogger().level)
    for chatty in ("hypercorn", "httpx", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(quiet)
