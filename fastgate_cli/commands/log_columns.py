"""How a request of the audit trail is printed: its columns, and which of them a list shows."""

from __future__ import annotations

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

IN_FLIGHT = "…"


def describe_outcome(row: Row) -> str:
    """Return the status of a request in one word: its code, why there is none, or that it is in flight."""
    if row["status_code"] is not None:
        return str(row["status_code"])
    return "cut" if row["error_message"] else IN_FLIGHT


def style_outcome(outcome: str) -> str:
    """Return the style of what `describe_outcome` said."""
    return style_status_code(int(outcome)) if outcome.isdigit() else "dim" if outcome == IN_FLIGHT else "red"


def find_ttfb_ms(row: Row) -> float | None:
    """Return the milliseconds from the request to the first body byte."""
    first: datetime | None = row["first_response_time"]
    return None if first is None else (first - row["request_time"]).total_seconds() * 1000


def format_clock(moment: datetime, zone: tzinfo) -> str:
    """Return the time of day to the millisecond."""
    return moment.astimezone(zone).strftime("%H:%M:%S.%f")[:-3]


def format_ms(value: float, _: tzinfo) -> str:
    """Return milliseconds below ten seconds, seconds above."""
    return f"{value:.0f}ms" if value < 10_000 else f"{value / 1000:.1f}s"


def format_size(value: int, _: tzinfo) -> str:
    """Return a size in bytes, KB or MB (1,024 each)."""
    for unit in ("B", "K", "M"):
        if value < 1024 or unit == "M":
            break
        value //= 1024
    return f"{value}{unit}"


def _data(name: str) -> Column:
    return Column(name, shown="data")


def _wide(name: str, title: str = "", **options: Any) -> Column:
    return Column(name, title, shown="wide", **options)


# `id` comes first because it is what `-o id` prints; a table of 80 columns has no room for it.
COLUMNS = (
    _wide("id", "log"),
    Column("request_time", "time", text=format_clock, style=style_quiet, width=12),
    Column("method", style=style_method, width=6),
    Column("path", elastic=True),
    Column(
        "outcome",
        "status",
        shown="display",
        justify="right",
        value=describe_outcome,
        style=style_outcome,
        width=6,
    ),
    Column("ttfb", shown="display", justify="right", value=find_ttfb_ms, text=format_ms, width=7),
    Column("response_time_ms", "took", justify="right", text=format_ms, width=7),
    Column("response_size", "size", justify="right", text=format_size, width=6),
    Column("source_path", "source", elastic=True, width=12),
    Column("error_message", "reason", elastic=True, width=18, style=lambda _: "yellow"),
    _data("request_id"),
    _data("api_key"),
    _data("route_id"),
    _wide("target_url", "target", elastic=True),
    _data("status_code"),
    _data("first_response_time"),
    _data("response_time"),
    _data("request_size"),
    _wide("ip_address", "client"),
    _data("user_agent"),
    _wide("is_stream", "stream", text=format_flag),
    _wide("stream_chunks", "chunks", justify="right"),
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
