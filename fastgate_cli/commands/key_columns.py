"""How a key is printed: its columns, which of them a list shows, and what is said of a rotated one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

from fastgate_cli.columns import (
    Column,
    Row,
    format_age,
    format_count,
    format_day,
    format_list,
    format_minute,
    style_quiet,
    style_status,
)

COLUMNS = (
    Column("key_id", "key"),
    Column("key_hint", "hint"),
    Column("source_path", "source", elastic=True),
    Column("status", style=style_status),
    Column("permissions", shown="wide", text=format_list, elastic=True),
    Column("rate_limit", "rpm", shown="wide", justify="right"),
    Column("rate_burst", "burst", shown="wide", justify="right"),
    Column("created_at", "created", shown="wide", text=format_minute, style=style_quiet),
    Column("expires_at", "expires", text=format_day),
    Column("is_active", shown="data"),
    Column("usage_count", "used", justify="right", text=format_count),
    Column("last_used_at", "last used", shown="wide", text=format_minute),
    Column("rotated_at", "rotated", shown="data", text=format_minute),
    Column("previous_key_hint", shown="data"),
    Column("previous_expires_at", shown="data"),
    Column("previous_last_used_at", shown="data"),
    Column("previous_last_used_ip", shown="data"),
)
# With the secret, which only the command that has just made it can give.
SECRET_COLUMNS = (COLUMNS[0], Column("key"), *COLUMNS[1:])
USAGE_COLUMNS = (*COLUMNS, Column("usage", shown="data"))
SOURCE_COLUMNS = (
    Column("source_path", "source", elastic=True),
    Column("keys", justify="right"),
    Column("active", justify="right"),
    Column("disabled", justify="right"),
    Column("expired", justify="right"),
    Column("usage_count", "used", justify="right", text=format_count),
    Column("last_used_at", "last used", text=format_minute),
)
_IN_USE = timedelta(days=1)
_NAMED_MAX = 3
_REMEDIES = {"disabled": "keys enable {}", "expired": "keys update {} --expires 90d"}


def focus_columns(*names: str) -> list[Column]:
    """Return the columns for a table of ids and these fields, whatever it shows otherwise."""
    return [COLUMNS[0], *(_focus(column, column.name in names) for column in COLUMNS[1:])]


def _focus(column: Column, is_wanted: bool) -> Column:
    if is_wanted:
        # With the day alone there is room for more of them.
        is_creation = column.name == "created_at"
        return replace(column, shown="always", text=format_day if is_creation else column.text)
    return replace(column, shown="wide") if column.shown == "always" else column


def sheet_columns(row: Row) -> list[Column]:
    """Return the columns for the view of one key: nothing of a rotation that never was."""
    if row["rotated_at"] is not None:
        return list(COLUMNS)
    return [column for column in COLUMNS if not column.name.startswith(("rotated_", "previous_"))]


def is_in_use(row: Row, now: datetime) -> bool:
    """Tell whether a key has let a request through within the last day."""
    return row["last_used_at"] is not None and row["last_used_at"] > now - _IN_USE


def describe_keys(rows: Sequence[Row], now: datetime) -> str:
    """Return which keys these are, by name if they are few, and which of them are in use."""
    if len(rows) <= _NAMED_MAX:
        return ", ".join(f"{row['key_id']} ({_describe_use(row, now)})" for row in rows)
    used = sum(is_in_use(row, now) for row in rows)
    return f"{len(rows)} keys" + (f", {used} of them used within the last day" if used else "")


def describe_previous(row: Row, now: datetime, zone: tzinfo) -> str | None:
    """Return what is to be known of the secret that a key had before: does it work, and who uses it."""
    ends: datetime | None = row["previous_expires_at"]
    if ends is None:
        return None
    ends = min(ends, row["expires_at"] or ends)
    name = f"old secret {row['previous_key_hint'] or ''}".rstrip()
    if ends <= now:
        state = f"ended {format_minute(ends, zone)}"
    elif row["status"] == "active":
        state = f"works until {format_minute(ends, zone)}"
    else:
        state = "is off like the key"
    return f"{name} {state}; {_describe_previous_use(row, ends, now)}"


def describe_obstacle(row: Row) -> str | None:
    """Return what keeps a key from working, whatever its secret, and the command that changes it."""
    remedy = _REMEDIES.get(row["status"])
    return (
        f"the key is {row['status']}; 'fastgate {remedy.format(row['key_id'])}' changes that"
        if remedy
        else None
    )


def _describe_use(row: Row, now: datetime) -> str:
    source = str(row["source_path"])
    return f"{source}, used {format_age(row['last_used_at'], now)}" if is_in_use(row, now) else source


def _describe_previous_use(row: Row, ends: datetime, now: datetime) -> str:
    used: datetime | None = row["previous_last_used_at"]
    if used is None:
        return "not used since the rotation"
    verb = "last used" if used < ends else "still tried, and refused,"
    return f"{verb} {format_age(used, now)} from {row['previous_last_used_ip']}"
