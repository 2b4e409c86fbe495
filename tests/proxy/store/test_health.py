"""What doctor asks a database: damage, the newest request, keys that run out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.store.database import Database, open_database, open_for_reading
from proxy.store.health import (
    EXPIRED_REASON,
    find_damage,
    find_expired_in_use,
    find_expiring_keys,
    read_newest_request,
)
from proxy.store.keys import create_key, set_keys_active
from proxy.store.models import AuditLogRow

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "fastgate.db", create=True) as opened:
        yield opened


def make_key(database: Database, expires: timedelta | None, source: str = "s") -> str:
    """Return the id of a key that expires then, seen from now."""
    at = None if expires is None else NOW + expires
    row, _ = create_key(database, key_prefix="fg_", source=source, expires_at=at, now=NOW - 400 * DAY)
    return str(row["key_id"])


def note_request(database: Database, number: int, key_id: str, at: datetime, error: str | None) -> None:
    AuditLogRow.insert(
        id=f"log_{number}",
        request_id=f"req_{number}",
        api_key=key_id,
        method="GET",
        path="/",
        request_time=at,
        response_time=at,
        error_message=error,
    ).execute(database.peewee)


def test_the_reason_is_the_one_that_the_decision_gives() -> None:
    source = (Path(__file__).parents[3] / "proxy/policy/decide.py").read_text()
    assert f'reason="{EXPIRED_REASON}"' in source


def test_a_sound_file_has_no_damage(database: Database) -> None:
    assert find_damage(database, 10) == []


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "fastgate.db"
    with open_database(path, create=True) as database:
        for number in range(2000):
            note_request(database, number, "key", NOW, None)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for place in range(size // 2, size - 4096, 4096):
            file.seek(place)
            file.write(b"\xff" * 512)
    with open_for_reading(path) as database:
        damage = find_damage(database, 10)
    assert damage
    assert 1 <= len(damage) <= 3


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with open_database(tmp_path / "fastgate.db", create=True) as database:
        with database.transaction():
            for number in range(3000):
                note_request(database, number, "key", NOW, None)
        assert find_damage(database, 0) is None
        assert find_damage(database, 60) == []


def test_the_newest_request_is_told(database: Database) -> None:
    assert read_newest_request(database) is None
    for number, days in enumerate((3, 1, 2)):
        note_request(database, number, "key", NOW - days * DAY, None)
    assert read_newest_request(database) == NOW - DAY


def test_keys_that_expire_within_the_time_are_found_the_first_one_first(database: Database) -> None:
    later, sooner = make_key(database, 13 * DAY), make_key(database, timedelta(hours=1))
    for expires in (None, 15 * DAY, -DAY):
        make_key(database, expires)
    off = make_key(database, DAY)
    set_keys_active(database, False, key_ids=[off], now=NOW)
    found = find_expiring_keys(database, NOW, 14 * DAY)
    assert [row["key_id"] for row in found] == [sooner, later]
    assert found[0]["source_path"] == "s"


def test_expired_keys_that_requests_still_come_with_are_found(database: Database) -> None:
    used, unused, valid = (make_key(database, expires) for expires in (-DAY, -DAY, DAY))
    requests = [
        (used, NOW - timedelta(hours=1), EXPIRED_REASON),
        (used, NOW - timedelta(hours=2), EXPIRED_REASON),
        (used, NOW - timedelta(hours=3), None),
        (used, NOW - 8 * DAY, EXPIRED_REASON),
        (unused, NOW - 8 * DAY, EXPIRED_REASON),
        (valid, NOW - timedelta(hours=1), EXPIRED_REASON),
    ]
    for number, (key_id, at, error) in enumerate(requests):
        note_request(database, number, key_id, at, error)
    ((row, count),) = find_expired_in_use(database, NOW, NOW - 7 * DAY)
    assert (row["key_id"], count) == (used, 2)
