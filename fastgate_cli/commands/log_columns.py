"""How a request of the audit trail is printed: its columns, and which of them a list shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from fastgate_cli.columns import (
    Column,
    Row,
    format_flag,
    style_method,
    style_quiet,
    style_status_code,
)
from proxy.errors import NOT_ERRORS

IN_FLIGHT = "…"
_CLOCK_WIDTH = 8  # 21:30:14
_DAY_WIDTH = 11  # 01-31 21:30
_HEADERS = ("request_headers", "response_headers")
_BODIES = ("request_body", "response_body")


def is_in_flight(row: Row) -> bool:
    """Tell whether a request has neither been answered in full nor failed."""
    return row["response_time"] is None and row["error_message"] is None


def describe_outcome(row: Row) -> str:
    """Return the status of a request in one word: its code, that it is in flight, or that it got none."""
    if is_in_flight(row):
        return IN_FLIGHT
    return "cut" if row["status_code"] is None else str(row["status_code"])


def style_outcome(outcome: str) -> str:
    """Return the style of what `describe_outcome` said."""
    return style_status_code(int(outcome)) if outcome.isdigit() else "dim" if outcome == IN_FLIGHT else "red"


def describe_remark(row: Row) -> str | None:
    """Return what went wrong, if something did, and who asked: two columns would leave no room for the path.

    The reason comes first, because it is what must not be cut off.
    """
    reason = "in flight" if is_in_flight(row) else row["error_message"]
    return ", ".join(part for part in (reason, row["source_path"]) if part) or None


def style_reason(reason: str) -> str:
    """Return the style of a reason: one that is no error is quiet."""
    return "dim" if reason in NOT_ERRORS else "yellow"


def find_ttfb_ms(row: Row) -> float | None:
    """Return the milliseconds from the request to the first body byte."""
    first: datetime | None = row["first_response_time"]
    return None if first is None else (first - row["request_time"]).total_seconds() * 1000


def format_clock(moment: datetime, zone: tzinfo) -> str:
    """Return the time of day to the second."""
    return moment.astimezone(zone).strftime("%H:%M:%S")


def format_ms(value: float, _: tzinfo) -> str:
    """Return a duration in five characters: milliseconds below a second, seconds above."""
    if value < 999.5:
        return f"{value:.0f}ms"
    return f"{value / 1000:.1f}s" if value < 99_950 else f"{value / 1000:.0f}s"


def format_size(value: int, _: tzinfo) -> str:
    """Return a size in five characters: bytes, K, M or G (1,024 each)."""
    if value < 1024:
        return f"{value}B"
    size = float(value)
    for unit in ("K", "M", "G"):
        size /= 1024
        if size < 1024 or unit == "G":
            break
    return f"{size:.1f}{unit}" if size < 10 else f"{int(size)}{unit}"


def date_columns(columns: Sequence[Column], rows: Iterable[Row], midnight: datetime) -> list[Column]:
    """Return the columns for a list that may reach back beyond `midnight`: rows from before it have a date.

    A streamed table reserves the room for dates only if one of the `rows` that it begins with needs it.
    """
    width = _DAY_WIDTH if any(row["request_time"] < midnight for row in rows) else _CLOCK_WIDTH

    def format_moment(moment: datetime, zone: tzinfo) -> str:
        if moment >= midnight:
            return format_clock(moment, zone)
        local = moment.astimezone(zone)
        return local.strftime("%m-%d %H:%M" if local.year == midnight.year else "%Y-%m-%d")

    return [
        replace(column, text=format_moment, width=width) if column.name == "request_time" else column
        for column in columns
    ]


def spell_details(row: Row) -> dict[str, Any]:
    """Return the row as a sheet shows it: headers as `name: value`, bodies as text, line by line."""
    headers = {name: [f"{key}: {value}" for key, value in row[name] or ()] for name in _HEADERS}
    bodies = {name: (row[name] or "").splitlines() for name in _BODIES}
    return {**row, **headers, **bodies}


def _data(name: str, **options: Any) -> Column:
    return Column(name, shown="data", **options)


def _wide(name: str, title: str = "", **options: Any) -> Column:
    return Column(name, title, shown="wide", **options)


# `id` comes first because it is what `-o id` prints; a table of 80 columns has no room for it.
COLUMNS = (
    _wide("id", "log"),
    _data("request_id"),
    Column("request_time", "time", text=format_clock, style=style_quiet, width=_CLOCK_WIDTH),
    Column("method", style=style_method, width=6),
    Column("path", elastic=True, width=72),
    Column(
        "outcome",
        "status",
        shown="display",
        justify="right",
        value=describe_outcome,
        style=style_outcome,
        width=6,
    ),
    _data("status_code", style=style_status_code),
    Column("ttfb", shown="display", justify="right", value=find_ttfb_ms, text=format_ms, width=5),
    Column("response_time_ms", "took", justify="right", text=format_ms, width=5),
    Column("response_size", "size", justify="right", text=format_size, width=5),
    _wide("stream_chunks", "chunks", justify="right"),
    Column(
        "remark",
        "reason, source",
        shown="display",
        elastic=True,
        value=describe_remark,
        width=40,
    ),
    _data("error_message", style=style_reason),
    _data("source_path"),
    _data("api_key"),
    _data("route_id"),
    _wide("target_url", "target", elastic=True),
    _wide("ip_address", "client"),
    _data("user_agent"),
    _wide("is_stream", "stream", text=format_flag),
    _data("first_response_time"),
    _data("response_time"),
    _data("request_size"),
    _data("gateway_ms"),
    _data("created_at"),
    _data("writer_id"),
    _data("sequence"),
)
DETAIL_COLUMNS = (
    *COLUMNS,
    _data("request_headers"),
    _data("request_body"),
    _data("response_headers"),
    _data("response_body"),
)
