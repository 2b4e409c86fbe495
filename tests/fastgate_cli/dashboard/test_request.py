"""A request on the whole screen: everything that `logs show` shows, a part of it at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgate_cli.dashboard.board import Opened
from fastgate_cli.dashboard.request import BODY_LINES_MAX, SheetPrinter, build_lines, build_request
from fastgate_cli.dashboard.state import State
from proxy.store.database import Database
from proxy.store.logs import get_log
from tests.fastgate_cli.dashboard.boards import NOW, paper, request, running, whole
from tests.proxy.store.rows import record

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROW = whole(request("a"))


def show(state: State, opened: Opened | None, height: int = 10) -> list[str]:
    lines = build_lines(opened.row, paper()) if opened and opened.row else []
    return [line.plain.rstrip() for line in build_request(state, opened, lines, paper(80, height))]


def state(scroll: int = 0) -> State:
    return State(mode="request", opened="log_a", scroll=scroll)


def test_it_is_what_logs_show_shows(database: Database, tmp_path: Path, cli: Cli) -> None:
    record(
        database,
        "a",
        request_time=NOW,
        request_headers=[["accept", "*/*"], ["x-tag", "a long value " * 12]],
        response_body='{"a":\n1}',
    )
    lines = [line.plain.rstrip() for line in build_lines(get_log(database, "log_a"), paper())]
    shown = cli("logs", "show", "log_a", "-o", "table", env={"COLUMNS": "80"})
    assert shown.returncode == 0, shown.stderr
    assert lines == [line.rstrip() for line in shown.stdout.splitlines()]


def test_the_heading_names_the_request_and_the_part_that_is_seen() -> None:
    heading, *lines = show(state(), Opened("log_a", ROW))
    assert heading.startswith("200  POST  82ms  log_a")
    assert heading.endswith(f"1-9 of {len(build_lines(ROW, paper()))}")
    assert len(lines) == 9
    assert lines[0].startswith("POST /v1/chat/completions  200")


def test_scrolling_ends_with_the_last_line() -> None:
    last = build_lines(ROW, paper())[-1].plain.rstrip()
    assert show(state(5), Opened("log_a", ROW))[1].startswith("route   rt_1")
    assert show(state(10_000), Opened("log_a", ROW))[-1] == last


def test_one_that_is_seen_whole_has_no_part() -> None:
    assert " of " not in show(state(), Opened("log_a", ROW), height=80)[0]


def test_one_in_flight_has_not_taken_any_time_yet() -> None:
    assert show(state(), Opened("log_a", whole(running("a"))))[0].startswith("…  POST  -  log_a")


@pytest.mark.parametrize("opened", [None, Opened("log_b", ROW)])
def test_until_it_is_read_nothing_else_is_shown(opened: Opened | None) -> None:
    assert show(state(), opened) == ["log_a", "reading"]


def test_one_that_was_deleted_meanwhile_says_so() -> None:
    assert show(state(), Opened("log_a", None)) == ["log_a", "this request is not there any more"]


def test_a_long_body_is_cut_and_says_where_the_rest_is() -> None:
    row = whole(request("a"), response_body="x\n" * (BODY_LINES_MAX + 7))
    lines = [line.plain.strip() for line in build_lines(row, paper())]
    assert lines.count("x") == BODY_LINES_MAX
    assert lines[-1].startswith("… 8 more lines: logs show log_a")


def test_nothing_in_a_body_acts_on_the_terminal() -> None:
    row = whole(request("a"), response_body="\x1b]0;title\x07\x1b[2J")
    assert not any("\x1b" in line.plain for line in build_lines(row, paper()))


def test_lines_are_made_once_for_a_request_and_a_width() -> None:
    printer = SheetPrinter()
    lines = printer.list_lines(ROW, paper(80))
    assert printer.list_lines(whole(request("a")), paper(80, 40)) is lines
    narrow = printer.list_lines(ROW, paper(60))
    assert narrow is not lines
    assert all(line.cell_len <= 60 for line in narrow)
    assert printer.list_lines(whole(request("a"), status_code=500), paper(60)) is not narrow
