"""The application log: lines for people, objects for programs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta, timezone

import pytest

from proxy.applog import JsonFormatter, TextFormatter, configure_logging

ZONE = timezone(timedelta(hours=8))


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("hypercorn", "httpx", "httpcore", "asyncio"))]
    levels, handlers = [logger.level for logger in loggers], root.handlers[:]
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def record(message: str, *arguments: object) -> logging.LogRecord:
    made = logging.LogRecord("proxy.x", logging.WARNING, "x.py", 1, message, arguments, None)
    made.created = 0.5
    return made


def test_a_text_line_has_time_level_and_message() -> None:
    line = TextFormatter(ZONE).format(record("%d keys", 3))
    assert line == "1970-01-01T08:00:00.500+08:00 WARNING 3 keys"


def test_a_line_names_its_process_if_there_are_several() -> None:
    made = record("x")
    assert TextFormatter(ZONE, "worker-2").format(made).endswith(" WARNING worker-2 x")
    assert json.loads(JsonFormatter(ZONE, "recorder").format(made))["process"] == "recorder"
    assert "process" not in json.loads(JsonFormatter(ZONE).format(made))


def test_a_json_line_is_one_object_with_its_traceback_inside() -> None:
    made = record("bad\n%s", "thing")
    try:
        raise ValueError("why")
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter(ZONE).format(made)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["time"] == "1970-01-01T08:00:00.500+08:00"
    assert (parsed["level"], parsed["logger"], parsed["message"]) == ("WARNING", "proxy.x", "bad\nthing")
    assert "ValueError: why" in parsed["traceback"]


def test_a_traceback_shows_no_local(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "text", ZONE)
    try:
        password = "hunter2-in-a-local"
        raise ValueError(len(password))
    except ValueError:
        logging.getLogger("proxy.x").exception("failed")
    printed = capsys.readouterr().err
    assert "ValueError: 18" in printed
    assert "hunter2-in-a-local" not in printed.replace('password = "hunter2-in-a-local"', "")


@pytest.mark.parametrize("style", ["text", "json"])
def test_lines_go_to_standard_error_from_the_level_on(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", style, ZONE)
    logging.getLogger("proxy.x").debug("too much")
    logging.getLogger("proxy.x").info("enough")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "enough" in printed.err
    assert "too much" not in printed.err
    assert printed.err.startswith("{") == (style == "json")


@pytest.mark.parametrize("name", ["hypercorn.error", "httpx", "httpcore.connection", "asyncio"])
def test_libraries_tell_their_warnings_only(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG", "text", ZONE)
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("worth telling")
    configure_logging("ERROR", "text", ZONE)
    logging.getLogger(name).warning("not asked for")
    printed = capsys.readouterr().err
    assert "worth telling" in printed
    assert "chatter" not in printed
    assert "not asked for" not in printed


def test_configuring_twice_writes_a_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        configure_logging("INFO", "text", ZONE)
    logging.getLogger("proxy.x").info("once")
    assert capsys.readouterr().err.count("once") == 1
