"""`fastgate top`: one picture in a pipe, and the dashboard as a process on a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from fastgate_cli.dashboard.once import COLUMNS
from proxy.store.database import open_database
from tests.fastgate_cli.dashboard.terminals import WAIT_SECONDS, Terminal, own_terminal
from tests.proxy.store.rows import begin, record

Cli = Callable[..., subprocess.CompletedProcess[str]]
Open = Callable[..., Terminal]
Fill = Callable[[Path], None]
CONFIGURATION = "database: {url: 'sqlite:///fastgate.db'}\naudit: {directory: journal}\n"
CTRL_C, ESCAPE, DOWN, ENTER = "\x03", "\x1b", "\x1b[B", "\r"


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to copy, which is quicker than to migrate one for every test."""
    path = tmp_path_factory.mktemp("empty") / "fastgate.db"
    open_database(path, create=True).close()
    return path


@pytest.fixture
def fill(empty_database: Path) -> Fill:
    """Make a database with a minute of requests at a path."""

    def make(path: Path) -> None:
        copyfile(empty_database, path)
        now = datetime.now(UTC)
        failed: dict[str, Any] = {
            "path": "/failed",
            "status_code": 502,
            "error_message": "upstream_unreachable",
        }
        with open_database(path, create=False) as database:
            for turn in range(20):
                moment = now - timedelta(seconds=30 + turn)
                record(database, str(turn), request_time=moment, path=f"/path/{turn}", source_path="ci")
            record(database, "failed", request_time=now - timedelta(seconds=25), **failed)
            begin(database, "running", request_time=now - timedelta(seconds=20), is_stream=True)

    return make


@pytest.fixture
def folder(tmp_path: Path, fill: Fill) -> Path:
    """A folder with a configuration and such a database."""
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    fill(tmp_path / "fastgate.db")
    return tmp_path


@pytest.fixture
def opened(tmp_path: Path, environment: dict[str, str]) -> Iterator[Open]:
    """`opened(*arguments, env=…, width=…, height=…)`: the dashboard on a terminal."""
    terminals: list[Terminal] = []

    def run(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Terminal:
        command = (sys.executable, "-m", "fastgate_cli", "top", *arguments)
        terminals.append(Terminal(command, {**environment, **(env or {})}, tmp_path, **options))
        return terminals[-1]

    yield run
    for terminal in terminals:
        terminal.close()


def stop(terminal: Terminal) -> None:
    """Stop the dashboard as Ctrl-Z does, and return when it has."""
    terminal.process.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    while terminal.read(0.1):
        pass


def test_once_prints_a_picture_in_a_pipe_without_any_escape(cli: Cli, folder: Path) -> None:
    done = cli("top", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for text in ("no gateway runs", "LAST 5 MINUTES  22 requests", "upstream_unreachable", "/path/0"):
        assert text in done.stdout, text
    assert all(len(line) <= 100 and line == line.rstrip() for line in done.stdout.splitlines())


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_the_picture_is_as_wide_as_columns_says(cli: Cli, folder: Path, columns: str) -> None:
    done = cli("top", "--once", env={"COLUMNS": columns, "LINES": "50"})
    longest = max(map(len, done.stdout.splitlines()))
    assert int(columns) - 20 <= longest <= int(columns)


def test_on_a_terminal_it_is_coloured_and_leaves_no_screen_behind(terminal_cli: Any, folder: Path) -> None:
    code, screen = terminal_cli("top", "--once")
    assert code == 0
    assert "\x1b[" in screen
    assert "\x1b[?1049h" not in screen
    code, screen = terminal_cli("top", "--once", env={"NO_COLOR": "1"})
    assert "\x1b" not in screen


def test_without_blocks_it_is_ascii(cli: Cli, folder: Path) -> None:
    assert cli("top", "--once", env={"LANG": "C"}).stdout.isascii()


@pytest.mark.parametrize("arguments", [("--json",), ("--once", "--json"), ("-o", "json")])
def test_json_is_an_object_of_all_its_data(cli: Cli, folder: Path, arguments: tuple[str, ...]) -> None:
    data = json.loads(cli("top", *arguments).stdout)
    assert list(data) == [column.name for column in COLUMNS]
    assert (data["requests"], data["errors"], data["gateway"]) == (22, 1, "stopped")
    assert data["status_codes"] == {"200": 20, "502": 1}
    assert data["latest"][0]["path"] == "/v1/chat"
    assert "request_headers" not in data["latest"][0]
    assert datetime.fromisoformat(data["time"]).tzinfo is not None


def test_other_formats_are_one_row(cli: Cli, folder: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(cli("top", "-o", "csv").stdout))
    assert row["requests"] == "22"
    header, line = cli("top", "-o", "tsv", "--fields", "requests,errors").stdout.splitlines()
    assert (header, line) == ("requests\terrors", "22\t1")
    assert json.loads(cli("top", "-o", "jsonl", "--fields", "errors").stdout) == {"errors": 1}


def test_range_and_filter_are_as_in_the_dashboard(cli: Cli, folder: Path) -> None:
    data = json.loads(cli("top", "--json", "--range", "1h", "--filter", "--status 5xx").stdout)
    assert (data["range"], data["requests"], len(data["latest"])) == ("1h", 1, 1)
    assert "filter: --status 5xx" in cli("top", "--once", "--filter", "--status 5xx").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--filter", "--status 9xx"), "'9xx' is not a status"),
        (("--filter", "ci"), "a filter is made of options"),
        (("--range", "2h"), "'2h' is not one of"),
        (("--refresh", "0"), "0 is less than 0.1"),
        (("--fields", "nosuch"), "there is no field 'nosuch'"),
        ((), "the dashboard needs a terminal"),
    ],
)
def test_what_cannot_be_done_is_one_error_line(
    cli: Cli, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = cli("top", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize("arguments", [("--once",), ("--json",)])
def test_without_a_database_there_is_an_error(cli: Cli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = cli("top", *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no database" in done.stderr


@pytest.mark.parametrize("kind", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_show_it_is_told_what_can_be_done(
    terminal_cli: Any, folder: Path, kind: str
) -> None:
    code, screen = terminal_cli("top", env={"TERM": kind})
    assert code == 2
    assert "cannot show a dashboard" in screen
    assert "--once" in screen
    assert "\x1b[?" not in screen


def test_q_leaves_the_terminal_as_it_was(opened: Open, folder: Path) -> None:
    terminal = opened()
    terminal.wait_for("22 requests", "upstream_unreacha", "SOURCES", "no gateway runs")
    assert terminal.display.unknown == []
    assert not terminal.display.has_overflowed
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.is_restored()
    assert terminal.display.main == ""


def test_control_c_ends_with_130_and_one_new_line(opened: Open, folder: Path) -> None:
    terminal = opened(preexec_fn=own_terminal)
    terminal.wait_for("22 requests")
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert terminal.display.main.strip() == ""
    assert terminal.display.modes == {1049: False, 25: True, 7: True, 2026: False}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1)]
)
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(
    opened: Open, folder: Path, number: signal.Signals, code: int
) -> None:
    terminal = opened()
    terminal.wait_for("22 requests")
    terminal.process.send_signal(number)
    assert terminal.end() == code
    assert terminal.is_restored()


def test_a_mistake_in_the_program_is_told_on_a_terminal_that_is_as_it_was(opened: Open, folder: Path) -> None:
    """The time zone of a row is none that there is: nobody foresees everything."""
    script = (
        "import sys; from fastgate_cli.dashboard import page; from fastgate_cli.main import run_command;"
        "page.build_tops = lambda *_: 1 / 0; sys.exit(run_command(['top']))"
    )
    terminal = Terminal((sys.executable, "-c", script), opened_environ(folder), folder)
    try:
        assert terminal.end() == 1
        assert terminal.is_restored()
        assert "error: internal error: ZeroDivisionError" in terminal.display.main
    finally:
        terminal.close()


def opened_environ(folder: Path) -> dict[str, str]:
    source = str(Path(__file__).parents[3])
    return {"HOME": str(folder), "PYTHONPATH": source, "TERM": "xterm-256color", "LANG": "C.UTF-8"}


def test_stopped_it_gives_the_terminal_back_and_goes_on_afterwards(opened: Open, folder: Path) -> None:
    # A group of its own in this session: in one without a shell nothing can be stopped.
    terminal = opened(process_group=0)
    terminal.wait_for("22 requests")
    stop(terminal)
    assert terminal.is_restored()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_until(lambda screen: terminal.display.modes[1049] and "22 requests" in screen)
    terminal.press("?")
    terminal.wait_for("KEYS")
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.is_restored()


def test_it_follows_the_size_of_its_window(opened: Open, folder: Path) -> None:
    terminal = opened(width=80, height=24)
    terminal.wait_for("24 HOURS")
    terminal.resize(200, 50)
    terminal.wait_for("WHAT FAILED", "LAST 24 HOURS")
    terminal.resize(60, 15)
    terminal.wait_for("STATUS", absent=["SOURCES", "HOURS"])
    terminal.resize(40, 5)
    terminal.wait_until(lambda screen: screen.startswith("0.0 req/s"))
    terminal.resize(80, 24)
    terminal.wait_for("24 HOURS", "22 requests")


def test_keys_do_what_they_say(opened: Open, folder: Path) -> None:
    terminal = opened()
    terminal.wait_for("22 requests", "REQ   ERR  ROUTES")
    terminal.press("s", "s")
    terminal.wait_for("REQ   P95  ROUTES")
    terminal.press("4")
    terminal.wait_for("LAST 24 HOURS")
    terminal.press("f", *"--status 9xx", ENTER)
    terminal.wait_for("'9xx' is not a status")
    terminal.press("\x15", *"--status 5xx", ENTER)
    terminal.wait_for("filter: --status 5xx", "1 requests", "/failed", absent=["/path/"])
    terminal.press(DOWN)
    terminal.wait_for("let go")
    terminal.press(ENTER)
    terminal.wait_for("502  POST", "reason  upstream_unreachable")
    terminal.press(ESCAPE)
    terminal.wait_for("LATENCY", "let go")
    terminal.press(ESCAPE)
    terminal.wait_for("q quit")
    terminal.press(" ")
    terminal.wait_for("PAUSED")
    terminal.press("p")
    terminal.wait_for("LATENCY", absent=["PAUSED"])
    terminal.press("?")
    terminal.wait_for("KEYS")


def test_what_is_new_is_seen_unless_it_is_paused(opened: Open, folder: Path) -> None:
    terminal = opened("--refresh", "0.2")
    terminal.wait_for("22 requests")
    add(folder, "new-1")
    terminal.wait_for("23 requests", "/new-1")
    terminal.press("p")
    terminal.wait_for("PAUSED")
    add(folder, "new-2")
    terminal.press("f", *"--path '/new-*'", ENTER)  # what is asked for is read, pause or not
    terminal.wait_for("PAUSED", "2 requests", "/new-2")
    add(folder, "new-3")
    terminal.press("p")
    terminal.wait_for("3 requests", "/new-3", absent=["PAUSED"])


def add(folder: Path, name: str) -> None:
    with open_database(folder / "fastgate.db", create=False) as database:
        record(database, name, path=f"/{name}", request_time=datetime.now(UTC))


def test_a_database_that_is_not_there_yet_is_waited_for(opened: Open, tmp_path: Path, fill: Fill) -> None:
    (tmp_path / "fastgate.yaml").write_text(CONFIGURATION)
    terminal = opened()
    terminal.wait_for("there is no database at fastgate.db yet")
    terminal.press("?")  # and keys work
    terminal.wait_for("KEYS")
    terminal.press(ESCAPE)
    fill(tmp_path / "new.db")
    (tmp_path / "new.db").rename(tmp_path / "fastgate.db")
    terminal.wait_for("22 requests", absent=["there is no database"])


def test_another_database_in_its_place_is_shown_from_then_on(opened: Open, folder: Path) -> None:
    terminal = opened()
    terminal.wait_for("22 requests")
    with open_database(folder / "other.db", create=True) as database:
        record(database, "other", path="/other", request_time=datetime.now(UTC))
    for suffix in ("-wal", "-shm"):
        (folder / f"fastgate.db{suffix}").unlink(missing_ok=True)
    (folder / "other.db").replace(folder / "fastgate.db")
    terminal.wait_for("1 requests", "/other", absent=["/path/"])


def test_a_locked_database_is_told_while_keys_work_and_is_read_again_afterwards(
    opened: Open, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "fastgate.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        connection.execute("BEGIN EXCLUSIVE")
        terminal = opened()
        terminal.wait_for("the database has been reading for")
        terminal.press("?")
        terminal.wait_for("KEYS")
        terminal.press(ESCAPE)
        terminal.wait_for("fastgate.db is locked by another program", "LATENCY")
    terminal.wait_for("22 requests", absent=["is locked"])


def test_without_colour_there_is_none_and_without_blocks_there_is_ascii(opened: Open, folder: Path) -> None:
    terminal = opened(env={"NO_COLOR": "1", "LANG": "C"})
    terminal.wait_for("22 requests", "/path/")
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.raw.isascii()
    assert "\x1b[1m" in terminal.raw
    assert not [code for code in ("\x1b[31m", "\x1b[32m", "\x1b[36m", "1;31m") if code in terminal.raw]


def test_when_its_terminal_goes_away_it_ends(opened: Open, folder: Path) -> None:
    terminal = opened()
    terminal.wait_for("22 requests")
    os.close(terminal.theirs)
    os.close(terminal.ours)
    assert terminal.process.wait(WAIT_SECONDS) in (-signal.SIGHUP, -signal.SIGHUP.value)
    terminal.ours, terminal.theirs = os.pipe()  # to be closed in their place


def test_help_opens_with_examples(cli: Cli) -> None:
    done = cli("top", "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("Examples:\n  fastgate top\n")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
