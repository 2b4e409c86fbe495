"""`fastgate keys show`: the key, who still uses its old secret, and what it was used for over time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fastgate_cli.columns import Row
from fastgate_cli.commands.key_show import DAYS, HOURS, build_charts
from proxy.clock import list_days, list_hours
from proxy.store.database import open_database
from tests.proxy.store.rows import insert_rows

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
Create = Callable[..., dict[str, Any]]
Execute = Callable[..., None]
PLAIN = {"NO_COLOR": "1"}
NOW = datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC)


@pytest.fixture
def use(cli: Cli) -> Callable[..., None]:
    """Write a request of a key into the audit trail: so many minutes ago, with a status."""

    def run(key_id: str, minutes_ago: int, status: int = 200) -> None:
        name = os.urandom(8).hex()
        row = {
            "id": name,
            "request_id": name,
            "api_key": key_id,
            "method": "GET",
            "path": "/",
            "request_time": datetime.now(UTC) - timedelta(minutes=minutes_ago),
            "status_code": status,
        }
        with open_database(Path(cli("db", "path").stdout.strip()), create=False) as database:
            insert_rows(database, [row])

    return run


def test_one_key_is_an_object_and_several_are_a_list(cli: Cli, create: Create) -> None:
    one, two = create()["key_id"], create()["key_id"]
    assert json.loads(cli("keys", "show", one, "--json").stdout)["key_id"] == one
    assert [row["key_id"] for row in json.loads(cli("keys", "show", two, one, "--json").stdout)] == [two, one]
    assert cli("keys", "show", one, "nosuch").returncode == 3


def test_requests_are_data_only_if_they_are_asked_for(
    cli: Cli, create: Create, use: Callable[..., None]
) -> None:
    key_id = create()["key_id"]
    use(key_id, 0)
    use(key_id, 0, 502)
    use(key_id, 60 * 24 * 3)
    use(key_id, 60 * 24 * 40)
    use("key_other", 0)
    assert "usage" not in json.loads(cli("keys", "show", key_id, "--json").stdout)
    usage = json.loads(cli("keys", "show", key_id, "--usage", "--json").stdout)["usage"]
    assert json.loads(cli("keys", "show", key_id, "--fields", "usage", "--json").stdout)["usage"] == usage
    assert [len(usage["hourly"]), len(usage["daily"])] == [HOURS, DAYS]
    assert sum(bucket["requests"] for bucket in usage["hourly"]) == 2
    assert sum(bucket["errors"] for bucket in usage["hourly"]) == 1
    assert sum(bucket["requests"] for bucket in usage["daily"]) == 3
    assert datetime.fromisoformat(usage["daily"][-1]["start"]).hour == 0
    assert usage["hourly"][0].keys() == {"start", "requests", "errors"}


def test_a_pipe_is_not_counted_and_has_no_chart(cli: Cli, create: Create, use: Callable[..., None]) -> None:
    key_id = create()["key_id"]
    use(key_id, 0)
    header, line = cli("keys", "show", key_id).stdout.splitlines()
    assert "usage" not in header.split("\t")
    assert key_id in line
    assert "24 hours" not in cli("keys", "show", key_id, "-o", "table").stdout
    assert "24 hours: 1 request " in cli("keys", "show", key_id, "-o", "table", "--usage").stdout


def test_a_terminal_draws_a_chart_within_80_columns(
    terminal_cli: TerminalCli, create: Create, use: Callable[..., None]
) -> None:
    key_id = create()["key_id"]
    for _ in range(3):
        use(key_id, 0, 500)
    code, screen = terminal_cli("keys", "show", key_id, env=PLAIN)
    assert code == 0
    assert "24 hours: 3 requests, 3 errors    30 days: 3 requests, 3 errors" in screen
    assert "█" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert len(screen.splitlines()) < 24
    assert "hours" not in terminal_cli("keys", "show", key_id, "--no-usage", env=PLAIN)[1]
    assert "hours" not in terminal_cli("keys", "show", key_id, "--fields", "key_id,status", env=PLAIN)[1]


def test_a_terminal_without_blocks_gets_letters(
    terminal_cli: TerminalCli, create: Create, use: Callable[..., None]
) -> None:
    key_id = create()["key_id"]
    use(key_id, 0)
    screen = terminal_cli("keys", "show", key_id, env={**PLAIN, "PYTHONIOENCODING": "ascii"})[1]
    assert "#" in screen
    assert screen.isascii() or "\\u" not in screen


def test_a_key_that_was_never_used_says_so_in_a_line(terminal_cli: TerminalCli, create: Create) -> None:
    screen = terminal_cli("keys", "show", create()["key_id"], env=PLAIN)[1]
    assert screen.splitlines()[-1] == "30 days: no requests"


def test_several_keys_are_a_table_and_with_usage_a_sheet_each(
    terminal_cli: TerminalCli, create: Create
) -> None:
    one, two = create()["key_id"], create()["key_id"]
    assert len(terminal_cli("keys", "show", one, two, env=PLAIN)[1].splitlines()) == 3
    screen = terminal_cli("keys", "show", one, two, "--usage", env=PLAIN)[1]
    assert screen.count("30 days: no requests") == 2
    assert [screen.count(key_id) for key_id in (one, two)] == [1, 1]


def test_of_a_rotated_key_is_told_whether_the_old_secret_is_still_used(
    cli: Cli, terminal_cli: TerminalCli, create: Create, execute: Execute
) -> None:
    created = create()
    key_id = created["key_id"]
    assert "previous" not in terminal_cli("keys", "show", key_id, env=PLAIN)[1]
    cli("keys", "rotate", key_id)
    assert "not used since the rotation" in terminal_cli("keys", "show", key_id, env=PLAIN)[1]
    execute("UPDATE api_keys SET previous_last_used_at = rotated_at, previous_last_used_ip = '192.0.2.7'")
    screen = terminal_cli("keys", "show", key_id, env=PLAIN)[1]
    assert f"old secret {created['key_hint']} works until" in screen
    assert "ago from" in screen
    row = json.loads(cli("keys", "show", key_id, "--json").stdout)
    assert row["previous_key_hint"] == created["key_hint"]
    assert row["previous_last_used_at"] == row["rotated_at"] < row["previous_expires_at"]
    assert row["previous_last_used_ip"] == "192.0.2.7"


def test_charts_name_their_span_their_sums_and_their_ends() -> None:
    def buckets(starts: list[datetime], last: int) -> list[Row]:
        rows: list[dict[str, Any]] = [{"start": start, "requests": 0, "errors": 0} for start in starts]
        rows[-1] |= {"requests": last, "errors": 1}
        return [*rows]

    usage = {
        "hourly": buckets(list_hours(NOW, UTC, HOURS), 1),
        "daily": buckets(list_days(NOW, UTC, DAYS), 12_345),
    }
    hours, days = build_charts(usage, UTC)
    assert (hours.title, hours.first_label, hours.last_label) == (
        "24 hours: 1 request, 1 error",
        "13:00",
        "12:00",
    )
    assert (days.title, days.first_label, days.last_label) == (
        "30 days: 12.3k requests, 1 error",
        "01-02",
        "01-31",
    )
    assert (hours.counts[-1], days.counts[-1], sum(days.counts[:-1])) == (1, 12_345, 0)
