"""Keys that run out, or have and are still used."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.checks.keys import LINES_MAX, check_keys
from proxy.store.database import Database, open_database
from proxy.store.health import EXPIRED_REASON
from proxy.store.keys import create_key
from proxy.store.models import AuditLogRow

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "fastgate.db", create=True) as opened:
        yield opened


def make_key(database: Database, expires: timedelta | None) -> str:
    at = None if expires is None else NOW + expires
    row, _ = create_key(database, key_prefix="fg_", source="team", expires_at=at, now=NOW - 400 * DAY)
    return str(row["key_id"])


def test_keys_that_last_are_counted(database: Database) -> None:
    make_key(database, None)
    make_key(database, 20 * DAY)
    (check,) = check_keys(database, NOW)
    assert (check.status, check.detail) == ("passed", "2 active, none about to expire")


def test_a_key_that_is_about_to_expire_has_the_command_that_prolongs_it(database: Database) -> None:
    key_id = make_key(database, 3 * DAY)
    (check,) = check_keys(database, NOW)
    assert check.status == "warning"
    assert check.detail == f"{key_id} of team expires in 3 days"
    assert check.fix == f"fastgate keys update {key_id} --expires 90d"


@pytest.mark.parametrize("entry", ["PSOT /v1/*", "/v/{a}**", "v1"])
def test_a_permission_that_allows_nothing_has_the_command_that_takes_it_away(
    database: Database, entry: str
) -> None:
    """Input is refused; what an older version or another program has stored is read all the same."""
    key_id = make_key(database, None)
    stored = json.dumps(["/v1/*", entry])
    database.connection().execute("UPDATE api_keys SET permissions = ?", (stored,))
    (check,) = check_keys(database, NOW)
    assert check.status == "warning"
    assert f"{key_id} of team has the permission {entry!r}, which allows nothing: " in check.detail
    assert check.fix == f"fastgate keys update {key_id} --remove-permission {shlex.quote(entry)}"


def test_an_expired_key_that_is_used_comes_first(database: Database) -> None:
    make_key(database, None)
    expired, expiring = make_key(database, -2 * DAY), make_key(database, DAY)
    AuditLogRow.insert(
        id="log",
        request_id="req",
        api_key=expired,
        method="GET",
        path="/",
        request_time=NOW - DAY,
        error_message=EXPIRED_REASON,
    ).execute(database.peewee)
    first, second = check_keys(database, NOW)
    assert first.detail == f"{expired} of team expired 2 days ago, and was used once in the last week"
    assert second.detail.startswith(expiring)


def test_no_active_key_is_a_warning(database: Database) -> None:
    make_key(database, -DAY)
    (check,) = check_keys(database, NOW)
    assert (check.status, check.fix) == ("warning", "fastgate keys create")


def test_many_keys_are_not_many_lines(database: Database) -> None:
    for _ in range(LINES_MAX + 3):
        make_key(database, DAY)
    *lines, last = check_keys(database, NOW)
    assert len(lines) == LINES_MAX
    assert last.detail == "there are 3 more of these"
