"""What hands lines over: at once, as wholes, and without waiting for whoever takes them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.applog.handover import HandOver, install_handler
from proxy.applog.lines import TEXT_CHARACTERS_MAX, Line, LineReader

ROOT = Path(__file__).parents[3]
CHATTY = ["hypercorn", "httpx", "httpcore", "asyncio", "peewee"]


class Pipe:
    """A pipe whose writing end does not block."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.ends = {self.reading, self.writing}
        self.reader = LineReader()

    def read(self) -> list[Line]:
        """Return the lines that are there, or wait for the first."""
        return list(self.reader.feed(os.read(self.reading, 1 << 20)))

    def read_until(self, text: str) -> list[Line]:
        """Return all lines up to the one that has a text in it."""
        lines: list[Line] = []
        while not any(text in line.message for line in lines):
            lines += self.read()
        return lines

    def fill(self) -> None:
        """Leave room for nothing."""
        for size in (4096, 1):
            with suppress(BlockingIOError):
                while os.write(self.writing, b"\n" * size):
                    pass

    def close(self, *ends: int) -> None:
        """Close one end or both."""
        for end in ends:
            self.ends.remove(end)
            os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close(*list(made.ends))


@pytest.fixture
def handler(pipe: Pipe) -> Iterator[HandOver]:
    made = HandOver(pipe.writing)
    yield made
    made.close()


@pytest.fixture
def logger(handler: HandOver) -> Iterator[logging.Logger]:
    """The root logger, restored when the test is over."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, CHATTY)]
    levels, handlers = [logger.level for logger in loggers], root.handlers[:]
    install_handler(handler, "INFO")
    yield root
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def test_a_line_is_in_the_pipe_when_it_has_been_logged(pipe: Pipe, logger: logging.Logger) -> None:
    logger.debug("too much")
    logger.info("%d keys", 3)
    (line,) = pipe.read()
    assert (line.level, line.logger, line.message) == ("INFO", "root", "3 keys")


def test_what_a_full_pipe_does_not_take_is_counted_and_told_when_there_is_room(
    pipe: Pipe, logger: logging.Logger
) -> None:
    pipe.fill()
    for number in range(1000):
        logger.info("%d", number)
    # No other line has to come for that.
    (notice,) = pipe.read_until("dropped")
    assert notice.message.startswith("1000 lines were dropped")
    logger.info("after")
    assert [line.message for line in pipe.read()] == ["after"]


def test_one_that_is_longer_than_the_room_comes_out_whole(pipe: Pipe, logger: logging.Logger) -> None:
    for _ in range(2):  # twice what the pipe holds
        logger.info("%s", "\x01" * TEXT_CHARACTERS_MAX)
    lines = pipe.read_until("dropped")
    assert [line.message[:4] for line in lines] == ["\x01\x01\x01\x01", "1 li"]
    assert len(lines[0].message) == TEXT_CHARACTERS_MAX


def test_lines_vanish_once_nobody_reads(pipe: Pipe, logger: logging.Logger) -> None:
    pipe.fill()
    logger.info("dropped")
    pipe.close(pipe.reading)
    for _ in range(3):
        logger.info("nowhere")


def test_what_is_owed_is_handed_over_at_the_end_if_there_is_room(
    pipe: Pipe, handler: HandOver, logger: logging.Logger
) -> None:
    pipe.fill()
    logger.info("dropped")
    handler.acquire()  # nobody else catches up meanwhile
    try:
        assert not pipe.read()
        handler.close()
    finally:
        handler.release()
    assert pipe.read()[0].message.startswith("1 lines were dropped")
    logger.info("too late")
    pipe.close(pipe.writing)
    assert pipe.read() == []


def test_a_warning_is_a_line(pipe: Pipe, logger: logging.Logger) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
        logging.captureWarnings(False)
    (line,) = pipe.read()
    assert (line.level, line.logger) == ("WARNING", "py.warnings")
    assert "UserWarning: old" in line.message


@pytest.mark.parametrize("name", ["hypercorn.error", "httpx", "httpcore.connection", "asyncio", "peewee"])
def test_libraries_tell_their_warnings_only(
    name: str, pipe: Pipe, handler: HandOver, logger: logging.Logger
) -> None:
    install_handler(handler, "DEBUG")
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("worth telling")
    install_handler(handler, "ERROR")
    logging.getLogger(name).warning("not asked for")
    logger.error("end")
    assert [line.message for line in pipe.read()] == ["worth telling", "end"]


def run(source: str) -> tuple[int, list[Line]]:
    """Run a program whose standard error is a pipe of this kind; return its exit code and its lines."""
    pipe = Pipe()
    program = f"import logging, os, signal; from proxy.applog.handover import configure_logging\n{source}"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=pipe.writing) as process:
        pipe.close(pipe.writing)
        lines: list[Line] = []
        while piece := os.read(pipe.reading, 65536):
            lines += pipe.reader.feed(piece)
        pipe.close(pipe.reading)
        lines += pipe.reader.finish()
    return process.returncode, lines


def test_a_process_that_is_killed_has_told_all() -> None:
    code, lines = run(
        "configure_logging('DEBUG')\nlogging.debug('last words')\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert code == -9
    assert [line.message for line in lines] == ["last words"]


def test_a_crash_of_the_interpreter_is_told_raw() -> None:
    code, lines = run("configure_logging('INFO')\nlogging.info('x')\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert code == -11
    assert [line.logger for line in lines[:2]] == ["root", "stderr"]
    assert lines[1].message == "Fatal Python error: Segmentation fault"


def test_an_error_that_ends_the_process_is_told_raw() -> None:
    code, lines = run("configure_logging('INFO')\n1 / 0")
    assert code == 1
    assert {line.logger for line in lines} == {"stderr"}
    assert lines[-1].message == "ZeroDivisionError: division by zero"


def test_nobody_who_reads_is_no_end() -> None:
    pipe = Pipe()
    pipe.close(pipe.reading)
    program = """
import logging, threading
from proxy.applog.handover import configure_logging
configure_logging("INFO")
for _ in range(100):
    logging.info("x")
failing = threading.Thread(target=int, args=["x"])
failing.start()
failing.join()
print("done")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=pipe.writing, check=False)
    pipe.close(pipe.writing)
    assert done.stdout == b"done\n"
