"""`fastgate logs sources`: who asked, in a table and as data."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from fastgate_cli.commands.log_sources import find_error_share
from tests.fastgate_cli.commands.trails import Record

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_each_source_is_a_row(cli: Cli, trail: list[str]) -> None:
    rows = json.loads(cli("logs", "sources", "--json").stdout)
    assert [(row["source_path"], row["requests"], row["errors"]) for row in rows] == [
        ("app", 2, 0),
        ("ci", 2, 1),
        (None, 1, 1),
    ]
    newest = json.loads(cli("logs", "list", "--source", "app", "--json", "-n", "1").stdout)[0]
    assert rows[0]["last_request"] == newest["request_time"]
    assert list(rows[0]) == ["source_path", "requests", "errors", "last_request"]


def test_a_span_of_time_and_a_number_can_be_asked_for(cli: Cli, trail: list[str]) -> None:
    assert cli("logs", "sources", "--since", "7m30s", "-o", "id").stdout.split() == ["app", "ci"]
    assert cli("logs", "sources", "--until", "9m30s", "-o", "id").stdout.split() == ["ci"]
    assert cli("logs", "sources", "-n", "1", "-o", "id").stdout.split() == ["app"]
    assert cli("logs", "sources", "--since", "yesterdayish").returncode == 2


def test_a_person_sees_the_share_of_errors(cli: Cli, trail: list[str]) -> None:
    lines = cli("logs", "sources", "-o", "table", env={"COLUMNS": "80"}).stdout.splitlines()
    assert lines[0].split() == ["SOURCE", "REQUESTS", "ERRORS", "OF", "THEM", "LAST"]
    assert lines[2].split()[:4] == ["ci", "2", "1", "50.0%"]
    assert lines[3].split()[:2] == ["-", "1"]
    assert find_error_share({"errors": 1, "requests": 4}) == 0.25


def test_without_requests_there_is_nothing_to_see(cli: Cli, record: Record) -> None:
    empty = cli("logs", "sources", "-o", "table")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "no requests\n")
    assert json.loads(cli("logs", "sources", "--json").stdout) == []
