"""`fastgate logs prune`: what is old goes and is told, nothing else does, and it can be stopped anywhere."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.clock import now_us
from proxy.ids import encode_ulid
from tests.fastgate_cli.commands.trails import SECOND_US, Record, begin, end

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
DAY_US = 86_400 * SECOND_US


@pytest.fixture
def old(record: Record) -> None:
    """Three requests of ten days ago, one of them in flight, and one of today, all with bodies."""
    ten_days = now_us() - 10 * DAY_US
    for number in range(4):
        ulid, at_us = encode_ulid(number, bytes(10)), ten_days + number if number < 3 else now_us()
        record([begin(ulid, at_us, path=f"/{number}"), *([] if number == 1 else [end(ulid, at_us, 5)])])


def paths(cli: Cli) -> list[str]:
    return [row["path"] for row in json.loads(cli("logs", "export", "--format", "json").stdout)]


def prune(cli: Cli, *arguments: str) -> dict[str, Any]:
    done = cli("logs", "prune", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def test_old_requests_go_and_those_in_flight_stay(cli: Cli, old: None) -> None:
    row = prune(cli, "--older-than", "9d", "-y")
    assert (row["requests"], row["bodies"]) == (2, 0)
    assert row["before"].endswith("+08:00")
    assert paths(cli) == ["/1", "/3"]
    assert prune(cli, "--older-than", "9d")["requests"] == 0  # nothing to ask about


def test_words_go_with_the_last_request_that_had_them(cli: Cli, record: Record, tmp_path: Path) -> None:
    for number, days in enumerate((10, 0)):
        ulid, at_us = encode_ulid(number, bytes(10)), now_us() - days * DAY_US
        record([begin(ulid, at_us, path=f"/{number}"), end(ulid, at_us, 5)])
    assert prune(cli, "--older-than", "9d", "-y")["words"] == 2  # the path, and what is searched
    with closing(sqlite3.connect(tmp_path / "fastgate.db")) as connection:
        assert connection.execute("SELECT word FROM log_words WHERE kind = 'path'").fetchall() == [("/1",)]


def test_words_of_a_request_in_flight_stay(cli: Cli, old: None) -> None:
    assert prune(cli, "--older-than", "9d", "-y")["words"] == 0
    assert len(json.loads(cli("logs", "list", "--path", "/1", "--json").stdout)) == 1


def test_bodies_alone_go_and_the_requests_stay(cli: Cli, old: None) -> None:
    row = prune(cli, "--older-than", "9d", "--bodies-only", "-y")
    assert (row["requests"], row["bodies"], row["words"]) == (0, 2, 0)
    bodies = [
        json.loads(line)["request_body"] for line in cli("logs", "export", "--bodies").stdout.splitlines()
    ]
    assert [body is not None for body in bodies] == [False, False, False, True]


@pytest.mark.parametrize("more", [[], ["--bodies-only"]])
def test_a_dry_run_counts_and_deletes_nothing(cli: Cli, old: None, more: list[str]) -> None:
    done = cli("logs", "prune", "--older-than", "9d", "-n", "--json", *more)
    row = json.loads(done.stdout)
    assert row["bodies" if more else "requests"] == 2
    assert done.stderr == "dry run: nothing was written\n"
    assert prune(cli, "--older-than", "9d", "-y", *more)["bodies" if more else "requests"] == 2


def test_nobody_is_asked_where_nobody_is(cli: Cli, old: None) -> None:
    refused = cli("logs", "prune", "--older-than", "9d")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "delete 2 requests from before 2" in refused.stderr
    assert len(paths(cli)) == 4


def test_a_person_is_asked_and_told(terminal_cli: TerminalCli, cli: Cli, old: None) -> None:
    code, screen = terminal_cli("logs", "prune", "--older-than", "9d", typed="n\n")
    assert (code, len(paths(cli))) == (1, 4)
    assert "nothing was changed" in screen
    code, screen = terminal_cli("logs", "prune", "--older-than", "9d", typed="y\n")
    assert (code, len(paths(cli))) == (0, 2)
    assert "for good? [y/N]" in screen
    assert "deleting requests" in screen
    assert "'fastgate db compact' shrinks it" in screen


@pytest.mark.parametrize("arguments", [[], ["--older-than", "whenever"]])
def test_what_is_old_has_to_be_said(cli: Cli, old: None, arguments: list[str]) -> None:
    assert cli("logs", "prune", *arguments, "-y").returncode == 2


def test_without_a_database_nothing_is_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fastgate.yaml").write_text("database: {url: 'sqlite:///none.db'}\n")
    assert cli("logs", "prune", "--older-than", "9d", "-y").returncode == 4
    assert not (tmp_path / "none.db").exists()


def test_stopped_half_way_it_says_how_far_it_came(
    environment: dict[str, str], tmp_path: Path, record: Record
) -> None:
    many, ten_days = 8_000, now_us() - 10 * DAY_US
    record(
        [
            event
            for number in range(many)
            for ulid in [encode_ulid(number, bytes(10))]
            for event in (begin(ulid, ten_days + number), end(ulid, ten_days + number, 5))
        ]
    )

    def count(table: str) -> int:
        with closing(sqlite3.connect(tmp_path / "fastgate.db")) as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    with subprocess.Popen(
        [sys.executable, "-m", "fastgate_cli", "logs", "prune", "--older-than", "9d", "-y"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while count("audit_logs") == many:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate()
    assert process.returncode == 130
    assert printed == ""
    left = count("audit_logs")
    assert 0 < left < many
    assert count("log_facts") == left
    # It may have been stopped between the last step and counting it.
    assert told.startswith("stopped: ")
    assert int(told.split()[1].replace(",", "")) <= many - left
    with closing(sqlite3.connect(tmp_path / "fastgate.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT SUM(pruned) FROM journal_writers").fetchone() == (many - left,)
