"""`fastgate logs verify`: the figures, the sentence that they mean, and the exit code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.commands.log_verify import judge
from proxy.audit.journal import JournalWriter
from proxy.clock import now_us
from proxy.store.database import open_database
from tests.fastgate_cli.commands.trails import FAILED, PLAIN, REFUSED, Record, begin

Cli = Callable[..., subprocess.CompletedProcess[str]]


def verdict(**counts: int) -> dict[str, int]:
    names = ("accepted", "stored", "spooled", "lost", "interrupted", "duplicates")
    return dict.fromkeys(names, 0) | counts


@pytest.fixture
def rows(record: Record, tmp_path: Path) -> Path:
    """Three requests with rows; the journal's folder."""
    import msgspec

    at_us = now_us()
    begun = [begin(ulid, at_us + number) for number, ulid in enumerate((PLAIN, REFUSED, FAILED))]
    record([msgspec.structs.replace(event, sequence=number) for number, event in enumerate(begun, 1)])
    return tmp_path / "journal"


def test_with_everything_there_the_figures_are_printed_and_nothing_else(cli: Cli, rows: Path) -> None:
    done = cli("logs", "verify", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == verdict(accepted=3, stored=3)
    assert list(json.loads(done.stdout)) == list(verdict())
    assert not rows.exists()  # nor is it made


def test_a_lost_request_is_exit_1(cli: Cli, rows: Path, tmp_path: Path) -> None:
    with open_database(tmp_path / "fastgate.db", create=False) as database:
        database.connection().execute("DELETE FROM audit_logs WHERE sequence = 2")
    done = cli("logs", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == verdict(accepted=3, stored=2, lost=1)
    told = cli("logs", "verify", "-o", "table", env={"COLUMNS": "80"})
    assert told.returncode == 1
    assert told.stderr.startswith("1 requests are lost: ")
    lines = [line.split() for line in told.stdout.splitlines()]
    assert [line[:2] for line in lines[1:]] == [
        *(["accepted", "3"], ["stored", "2"], ["spooled", "0"], ["lost", "1"]),
        *(["interrupted", "0"], ["duplicates", "0"]),
    ]


def test_what_waits_in_the_journal_is_not_lost(cli: Cli, rows: Path) -> None:
    writer = JournalWriter(rows, "other")
    writer.append(begin(PLAIN, now_us()))
    assert json.loads(cli("logs", "verify", "--json").stdout) == verdict(accepted=4, stored=3, spooled=1)
    told = cli("logs", "verify", "-o", "table")
    assert told.returncode == 0
    assert told.stderr.endswith("waits in the journal, which 'fastgate serve' records\n")
    writer.close()


def test_a_journal_that_cannot_be_read_is_no_answer(cli: Cli, rows: Path) -> None:
    (rows / "odd.000001.log").mkdir(parents=True)
    refused = cli("logs", "verify", "--json")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "cannot be read" in json.loads(refused.stderr)["error"]["message"]


@pytest.mark.parametrize(
    ("counts", "is_running", "said"),
    [
        ({}, False, "no gateway has accepted"),
        ({"accepted": 9, "stored": 9}, True, "every request that was accepted has its row"),
        ({"accepted": 9, "spooled": 9}, True, "waits in the journal"),
        ({"accepted": 9, "lost": 1, "duplicates": 1}, True, "1 requests are lost"),
        ({"accepted": 9, "duplicates": 2}, True, "2 rows are there twice"),
    ],
)
def test_the_judgement_is_one_sentence(counts: dict[str, Any], is_running: bool, said: str) -> None:
    assert said in judge(verdict(**counts), is_running=is_running)
    assert "serve" not in judge(verdict(**counts), is_running=True)
