"""`fastgate logs du`: what it measures, and what it foresees."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.commands.log_du import forecast, list_findings
from tests.fastgate_cli.commands.trails import Record

Cli = Callable[..., subprocess.CompletedProcess[str]]
NOW = datetime(2026, 1, 31, tzinfo=UTC)
GIB = 1 << 30


def make_row(**fields: Any) -> dict[str, Any]:
    row = {
        "path": "/data/fastgate.db",
        "database_bytes": 10 * GIB,
        "wal_bytes": 0,
        "free_bytes": 0,
        "journal_bytes": 0,
        "journal_waiting_bytes": 0,
        "damaged_segments": 0,
        "damaged_bytes": 0,
        "requests": 1_000_000,
        "oldest": NOW - timedelta(days=10),
        "newest": NOW,
        "bytes_per_request": 1000,
        "headers_bytes_per_request": 300,
        "bodies_bytes_per_request": 500,
        "requests_per_day": 100_000.0,
        "bytes_per_day": 100_000_000,
        "retention_days": 0,
        "body_retention_days": 0,
        "disk_free_bytes": 100 * GIB,
    }
    return {**row, **fields}


def test_everything_is_measured(cli: Cli, trail: list[str], tmp_path: Path) -> None:
    done = cli("logs", "du", "--json", env={"FASTGATE_AUDIT_RETENTION_DAYS": "30"})
    assert (done.returncode, done.stderr) == (0, "")
    row = json.loads(done.stdout)
    assert row["path"] == str(tmp_path / "fastgate.db")
    assert row["requests"] == 5
    assert row["requests_per_day"] == 5
    assert row["headers_bytes_per_request"] == 50
    assert row["bodies_bytes_per_request"] == round(8 * 4 / 5)
    assert row["database_bytes"] + row["wal_bytes"] > row["bytes_per_request"] * 5 > 0
    oldest = json.loads(cli("logs", "export", "--format", "json").stdout)[0]
    assert row["oldest"] == oldest["request_time"]
    assert datetime.fromisoformat(row["holds_from"]) == datetime.fromisoformat(row["oldest"]) + timedelta(30)


def test_a_person_gets_a_line_for_each_in_80_columns(cli: Cli, trail: list[str]) -> None:
    lines = cli("logs", "du", "-o", "table", env={"COLUMNS": "80"}).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for said in ("fastgate.db", "on average of 5, from", "an estimate", "kept for ever", "free"):
        assert said in text


def test_an_empty_trail_has_no_forecast(cli: Cli, record: Record) -> None:
    row = json.loads(cli("logs", "du", "--json").stdout)
    unknown = ("oldest", "newest", "bytes_per_request", "holds_at_bytes", "holds_from", "disk_full_on")
    assert {row[name] for name in unknown} == {None}
    assert "none yet" in cli("logs", "du", "-o", "table").stdout


def test_with_retention_the_trail_holds_at_a_size_from_a_day_on() -> None:
    assert forecast(make_row(retention_days=30), NOW) == {
        "holds_at_bytes": 3_000_000_000,
        "holds_from": NOW + timedelta(days=20),
        "disk_full_on": None,
    }
    # Half of a request are its bodies, and they are kept for a third of the time.
    fewer = forecast(make_row(retention_days=30, body_retention_days=10), NOW)
    assert fewer["holds_at_bytes"] == 2_000_000_000
    # Longer than the requests themselves they cannot be.
    same = forecast(make_row(retention_days=30, body_retention_days=90), NOW)
    assert same["holds_at_bytes"] == 3_000_000_000


def test_without_retention_the_disk_is_full_one_day() -> None:
    full = NOW + timedelta(days=100 * GIB / 100_000_000)
    assert forecast(make_row(), NOW) == {"holds_at_bytes": None, "holds_from": None, "disk_full_on": full}
    assert forecast(make_row(bytes_per_day=0), NOW)["disk_full_on"] is None
    assert forecast(make_row(bytes_per_day=1), NOW)["disk_full_on"] is None  # in 300,000 years


def test_a_disk_that_is_too_small_for_the_retention_is_foreseen() -> None:
    row = make_row(retention_days=3650, disk_free_bytes=GIB)
    assert forecast(row, NOW)["disk_full_on"] == NOW + timedelta(days=GIB / 100_000_000)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"retention_days": 30}, "from 2026-02-20 on, about: requests are kept for 30 days"),
        (
            {"retention_days": 5, "body_retention_days": 2},
            "from now, about: requests are kept for 5 days, their bodies for 2",
        ),
        (
            {"retention_days": 0, "body_retention_days": 9},
            "for ever, their bodies for 9: audit.retention_days is 0",
        ),
        ({"damaged_segments": 2, "damaged_bytes": 2048}, "in 2 segments that could not be read"),
        ({"journal_bytes": 4096, "journal_waiting_bytes": 2048}, "2.0K of it waits to become rows"),
        ({"free_bytes": 2048}, "is used again; 'fastgate db compact' gives it back"),
        ({"disk_free_bytes": GIB}, "free; full about 2026-02-10"),
        ({"retention_days": 30}, "free, and enough for that"),
    ],
)
def test_what_there_is_to_say_of_it(fields: dict[str, Any], said: str) -> None:
    row = make_row(**fields)
    findings = list_findings({**row, **forecast(row, NOW)}, UTC, NOW)
    assert any(said in finding["remark"] for finding in findings)
