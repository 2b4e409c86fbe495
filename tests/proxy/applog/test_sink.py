"""The one who writes: lines of several processes in one file, whole, and no one waits for it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.applog.sink import PIPE_BYTES, LogSink
from proxy.errors import InvalidInputError
from proxy.settings import LoggingSettings, Settings
from tests.proxy.gateways import await_that

ROOT = Path(__file__).parents[3]
# No more than fits the pipe, lest any be dropped; some are longer than what is written at once.
LINES = 100
LONG_EVERY, LONG = 10, 10_000
TALKER = f"""
import logging
from proxy.applog.handover import configure_logging
configure_logging("INFO")
for number in range({LINES}):
    logging.info("%d %s", number, "x" * {LONG} * (number % {LONG_EVERY} == 0))
    if number % 10 == 5:
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("failed")
os.write(2, b"no end")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "gate.log"


def configuration(path: Path | None, **more: Any) -> Settings:
    return Settings(logging=replace(LoggingSettings(), file=path, **{"format": "json", **more}))


def start(sink: LogSink, process: str, source: str) -> subprocess.Popen[bytes]:
    with sink.open_pipe(process) as pipe:
        return subprocess.Popen([sys.executable, "-c", f"import os\n{source}"], cwd=ROOT, stderr=pipe)


def read_all(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the file and of those before it, the oldest first; each has to be JSON."""
    files = sorted(path.parent.iterdir(), key=lambda file: -int(file.suffix[1:].removeprefix("log") or 0))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_lines_of_all_processes_are_in_one_file_each_of_them_whole(path: Path) -> None:
    with LogSink(configuration(path, max_size=100_000, backup_count=1000), "supervisor") as sink:
        talkers = [start(sink, f"worker-{number}", TALKER) for number in (1, 2)]
        logging.getLogger("proxy.x").warning("mine")
        assert [talker.wait() for talker in talkers] == [0, 0]
    lines = read_all(path)
    assert all(file.stat().st_size <= 100_000 for file in path.parent.iterdir())
    assert Counter(line["process"] for line in lines) == {
        "supervisor": 1,
        "worker-1": LINES + LINES // 10 + 1,
        "worker-2": LINES + LINES // 10 + 1,
    }
    for process in ("worker-1", "worker-2"):
        told = [line["message"].partition(" ")[0] for line in lines if line["process"] == process]
        assert [word for word in told if word != "failed"] == [*map(str, range(LINES)), "no"]
    assert lines[-1]["message"] == "no end"


def test_tracebacks_of_two_processes_are_not_mixed_as_text(path: Path) -> None:
    with LogSink(configuration(path, format="text"), "supervisor") as sink:
        talkers = [start(sink, f"worker-{number}", TALKER) for number in (1, 2)]
        assert [talker.wait() for talker in talkers] == [0, 0]
    lines = path.read_text().splitlines()
    heads = [number for number, line in enumerate(lines) if line.endswith(" failed")]
    assert len(heads) == 2 * (LINES // 10)
    for head in heads:
        assert lines[head + 1].startswith("Traceback ")
        assert lines[head + 3] == "ZeroDivisionError: division by zero"


def test_what_a_process_that_is_killed_wrote_last_is_there(path: Path) -> None:
    with LogSink(configuration(path), "supervisor") as sink:
        source = "os.write(2, b'Fatal\\n'); os.write(2, b'  File x'); os.kill(os.getpid(), 9)"
        assert start(sink, "worker-1", source).wait() == -9
    assert [(line["process"], line["logger"], line["message"]) for line in read_all(path)] == [
        ("worker-1", "stderr", "Fatal"),
        ("worker-1", "stderr", "  File x"),
    ]


def test_from_another_configuration_on_lines_go_where_that_says(path: Path) -> None:
    other = path.with_name("other.log")
    with LogSink(configuration(path), "supervisor") as sink:
        ours, theirs = os.pipe()
        source = "import logging; from proxy.applog.handover import configure_logging\n"
        source += "configure_logging('DEBUG'); logging.debug('one'); logging.info('two'); input()\n"
        source += "logging.debug('three')"
        with sink.open_pipe("recorder") as pipe:
            talker = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, stdin=ours, stderr=pipe)
        await_that(lambda: bool(path.read_text()))
        sink.configure(configuration(other, level="DEBUG"))
        logging.getLogger("proxy.x").debug("mine")
        os.write(theirs, b"\n")
        assert talker.wait() == 0
        os.close(ours)
        os.close(theirs)
    assert [json.loads(line)["message"] for line in path.read_text().splitlines()] == ["two"]
    assert {json.loads(line)["message"] for line in other.read_text().splitlines()} == {"mine", "three"}


def test_logging_is_left_as_it_was_found(path: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    descriptors = len(os.listdir("/proc/self/fd"))
    with LogSink(configuration(path)):
        assert root.handlers != before[0]
    assert (root.handlers, root.level) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written"):
        LogSink(configuration(tmp_path))


def test_who_logs_never_waits_for_a_standard_error_that_nobody_reads() -> None:
    count = PIPE_BYTES // 10
    source = f"""
import logging
from dataclasses import replace
from proxy.applog.sink import LogSink
from proxy.settings import Settings
with LogSink(Settings(), "supervisor"):
    for number in range({count}):
        logging.info("%d", number)
    print("done", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        told = process.communicate("\n")[1].splitlines()
    notices = [line for line in told if "dropped" in line]
    dropped = sum(int(notice.partition(" line")[0].rpartition(" ")[2]) for notice in notices)
    assert dropped > 0
    assert len(told) - len(notices) + dropped == count
