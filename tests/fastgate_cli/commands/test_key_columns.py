"""The columns of a key: the contract's fields, an id that comes first, and what is said of a rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fastgate_cli.commands.key_columns import (
    COLUMNS,
    SECRET_COLUMNS,
    SOURCE_COLUMNS,
    USAGE_COLUMNS,
    describe_keys,
    describe_obstacle,
    describe_previous,
    focus_columns,
    is_in_use,
    sheet_columns,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(**fields: Any) -> dict[str, Any]:
    plain = {
        "key_id": "key_1",
        "source_path": "ci",
        "status": "active",
        "expires_at": None,
        "last_used_at": None,
        "rotated_at": NOW - HOUR,
        "previous_key_hint": "fg_a…wxyz",
        "previous_expires_at": NOW + 23 * HOUR,
        "previous_last_used_at": None,
        "previous_last_used_ip": None,
    }
    return {**plain, **fields}


def test_the_digest_is_no_column_and_the_id_is_the_first() -> None:
    for columns in (COLUMNS, USAGE_COLUMNS, SECRET_COLUMNS):
        names = [column.name for column in columns]
        assert names[0] == "key_id"
        assert {"key_value", "previous_key_value"}.isdisjoint(names)
    assert "key" not in [column.name for column in COLUMNS]
    assert SOURCE_COLUMNS[0].name == "source_path"


def test_a_table_of_keys_fits_80_columns_with_its_ids_whole() -> None:
    ids = [column for column in COLUMNS if column.name in ("key_id", "key_hint")]
    assert not any(column.elastic for column in ids)


def test_a_focused_table_shows_ids_and_what_it_is_about_and_keeps_the_rest() -> None:
    columns = focus_columns("rate_limit", "previous_expires_at")
    shown = [column.name for column in columns if column.shown == "always"]
    assert shown == ["key_id", "rate_limit", "previous_expires_at"]
    assert [column.name for column in columns] == [column.name for column in COLUMNS]


def test_the_view_of_a_key_that_was_never_rotated_has_nothing_of_rotations() -> None:
    assert sheet_columns(row()) == list(COLUMNS)
    names = [column.name for column in sheet_columns(row(rotated_at=None))]
    assert "last_used_at" in names
    assert not [name for name in names if "previous" in name or "rotated" in name]


@pytest.mark.parametrize(("hours", "is_it"), [(None, False), (25, False), (23, True), (0, True)])
def test_a_key_is_in_use_for_a_day_after_its_last_request(hours: int | None, is_it: bool) -> None:
    used = None if hours is None else NOW - hours * HOUR
    assert is_in_use(row(last_used_at=used), NOW) is is_it


def test_few_keys_are_named_and_many_are_counted() -> None:
    used, idle = row(last_used_at=NOW - 2 * HOUR), row(key_id="key_2", last_used_at=NOW - 48 * HOUR)
    assert describe_keys([used, idle], NOW) == "key_1 (ci, used 2h0m ago), key_2 (ci)"
    assert describe_keys([used, *[idle] * 3], NOW) == "4 keys, 1 of them used within the last day"
    assert describe_keys([idle] * 12, NOW) == "12 keys"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "old secret fg_a…wxyz works until 2026-02-01 11:00; not used since the rotation"),
        (
            {"expires_at": NOW + HOUR, "previous_key_hint": None},
            "old secret works until 2026-01-31 13:00; not used since the rotation",
        ),
        (
            {"previous_last_used_at": NOW - timedelta(seconds=65), "previous_last_used_ip": "::1"},
            "old secret fg_a…wxyz works until 2026-02-01 11:00; last used 1m5s ago from ::1",
        ),
        ({"status": "disabled"}, "old secret fg_a…wxyz is off like the key; not used since the rotation"),
        (
            {
                "previous_expires_at": NOW - 2 * HOUR,
                "previous_last_used_at": NOW - 3 * HOUR,
                "previous_last_used_ip": "::1",
            },
            "old secret fg_a…wxyz ended 2026-01-31 10:00; last used 3h0m ago from ::1",
        ),
        (
            {
                "previous_expires_at": NOW - 2 * HOUR,
                "previous_last_used_at": NOW - HOUR,
                "previous_last_used_ip": "::1",
            },
            "old secret fg_a…wxyz ended 2026-01-31 10:00; still tried, and refused, 1h0m ago from ::1",
        ),
    ],
)
def test_of_an_old_secret_is_told_whether_it_works_and_who_uses_it(fields: dict[str, Any], text: str) -> None:
    assert describe_previous(row(**fields), NOW, UTC) == text


def test_of_a_key_that_was_never_rotated_nothing_is_told() -> None:
    assert describe_previous(row(previous_expires_at=None), NOW, UTC) is None


def test_an_obstacle_comes_with_the_command_that_takes_it_away() -> None:
    assert describe_obstacle(row()) is None
    assert "keys enable key_1" in (describe_obstacle(row(status="disabled")) or "")
    assert "keys update key_1 --expires" in (describe_obstacle(row(status="expired")) or "")
