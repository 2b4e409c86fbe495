"""Where lines end: in the file or on standard error, in the form that is asked for, whatever fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.applog.lines import RAW_LOGGER, Line
from proxy.applog.output import Output
from proxy.settings import LoggingSettings, Settings


class Screen:
    """A standard error to look at."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "screen"
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def messages(self) -> list[str]:
        """Return what came after time, level and process, and forget it."""
        text = self.path.read_text()
        os.truncate(self.path, 0)
        return [line.split(maxsplit=3)[3] for line in text.splitlines()]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    made = Screen(tmp_path)
    yield made
    os.close(made.file)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.log"


def configuration(file: Path | None, **more: Any) -> Settings:
    return Settings(logging=replace(LoggingSettings(), file=file, **more))


def line(message: str, level: str = "INFO", logger: str = "x") -> Line:
    return Line(1.5, level, logger, message)


def messages(path: Path) -> list[str]:
    return [text.split(maxsplit=3)[3] for text in path.read_text().splitlines()]


def test_with_a_file_nothing_is_on_standard_error(screen: Screen, path: Path) -> None:
    Output(configuration(path), "p", screen.file).write(line("one"), "worker-1")
    assert path.read_text() == "1970-01-01T08:00:01.500+08:00 INFO    worker-1 one\n"
    assert screen.messages() == []


def test_without_one_all_of_it_is(screen: Screen) -> None:
    output = Output(configuration(None, format="json"), "p", screen.file)
    output.write(line("one"), "worker-1")
    assert json.loads(screen.path.read_text())["message"] == "one"


def test_lines_below_the_level_are_left_out_and_raw_ones_never(screen: Screen) -> None:
    output = Output(configuration(None, level="CRITICAL"), "p", screen.file)
    output.write(line("one", "ERROR"), "p")
    output.write(line("two", "CRITICAL"), "p")
    output.write(line("three", "ERROR", RAW_LOGGER), "p")
    output.write(line("four", "NOTICE"), "p")
    assert screen.messages() == ["two", "three", "four"]


def test_another_configuration_counts_from_the_next_line(screen: Screen, path: Path) -> None:
    output = Output(configuration(None), "p", screen.file)
    output.write(line("one"), "p")
    output.configure(configuration(path, max_size=60))
    output.write(line("two"), "p")
    output.configure(configuration(path, max_size=60, level="ERROR"))
    output.write(line("three"), "p")
    output.write(line("four", "ERROR"), "p")
    output.configure(configuration(None, format="json"))
    output.write(line("five"), "p")
    assert messages(path) == ["four"]
    assert messages(path.with_name("gate.log.1")) == ["two"]
    shown = screen.path.read_text().splitlines()
    assert shown[0].endswith(" one")
    assert json.loads(shown[1])["message"] == "five"


def test_what_the_file_does_not_take_goes_to_standard_error_until_it_does(screen: Screen, path: Path) -> None:
    path.symlink_to("/dev/full")
    output = Output(configuration(path), "supervisor", screen.file)
    for word in ("one", "two"):
        output.write(line(word), "p")
    assert screen.messages() == [
        "the log file cannot be written, lines go here: No space left on device",
        "one",
        "two",
    ]
    path.unlink()
    for word in ("three", "four"):
        output.write(line(word), "p")
    assert screen.messages() == []
    assert messages(path) == [
        "while the log could not be written, 2 lines went to standard error",
        "three",
        "four",
    ]


def test_what_no_place_takes_is_counted(path: Path) -> None:
    path.symlink_to("/dev/full")
    ours, theirs = os.pipe()
    output = Output(configuration(path), "supervisor", theirs)
    output.write(line("one"), "p")
    os.close(ours)
    for _ in range(3):
        output.write(line("two"), "p")
    path.unlink()
    output.write(line("three"), "p")
    os.close(theirs)
    assert messages(path) == [
        "while the log could not be written, 1 lines went to standard error and 3 lines were lost",
        "three",
    ]


def test_a_standard_error_that_has_gone_is_no_end(screen: Screen, path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    output = Output(configuration(None), "supervisor", full)
    output.write(line("one"), "p")
    os.dup2(screen.file, full)
    output.write(line("two"), "p")
    os.close(full)
    assert screen.messages() == ["while the log could not be written, 1 lines were lost", "two"]


def test_a_standard_error_that_does_not_block_is_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    output = Output(configuration(None), "p", theirs)
    long = "x" * 1000
    with ThreadPoolExecutor(1) as beside, open(ours, "rb") as pipe:
        reading = beside.submit(pipe.read)
        for _ in range(1000):
            output.write(line(long), "p")
        os.close(theirs)
        assert reading.result().count(long.encode()) == 1000
