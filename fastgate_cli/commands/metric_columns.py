"""How figures are printed: their columns, those of rankings, and which a table shows where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from fastgate_cli.columns import (
    Column,
    Row,
    format_count,
    style_errors,
    style_quiet,
    style_success_rate,
)
from fastgate_cli.commands.log_columns import format_ms, format_size

if TYPE_CHECKING:
    from proxy.store.metrics import Bucket, Picture


def format_percent(value: float, _: tzinfo) -> str:
    """Return a share in six characters; only all of it is 100 %, and only nothing is 0 %."""
    if 0 < value < 0.05:
        return "<0.1%"
    if 99.9 < value < 100:
        return f"{min(value, 99.99):.2f}%"
    # Halves up, of two digits: a rate that comes with two and a share that comes with all look the same.
    return f"{round(value, 2) + 1e-9:.1f}%"


def format_own_ms(value: float, zone: tzinfo) -> str:
    """Return a duration that is mostly a part of a millisecond."""
    return f"{value:.2f}ms" if value < 9.995 else format_ms(value, zone)


def _format_hour(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%m-%d %H:%M")


def _format_day(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %a")


def _name_route(row: Row) -> str | None:
    # A route that was given no name has its id for one.
    return None if row["route_name"] == row["route_id"] else row["route_name"]


def _count(name: str, title: str = "", **options: Any) -> Column:
    return Column(name, title, justify="right", text=format_count, **options)


def _ms(name: str, title: str, **options: Any) -> Column:
    return Column(name, title, justify="right", text=format_ms, **options)


def _own(name: str, title: str, **options: Any) -> Column:
    return Column(name, title, justify="right", text=format_own_ms, **options)


_REQUESTS = _count("requests")
_ERRORS = _count("errors", style=style_errors)
_SUCCESS = Column("success_rate", "success", justify="right", text=format_percent, style=style_success_rate)
_DURATIONS = (
    _ms("avg_ms", "avg"),
    _ms("p50_ms", "p50"),
    _ms("p95_ms", "p95"),
    _ms("p99_ms", "p99"),
)
_TTFB = (
    _ms("ttfb_p50_ms", "ttfb p50"),
    _ms("ttfb_p95_ms", "ttfb p95"),
    _ms("ttfb_p99_ms", "ttfb p99", shown="wide"),
)
_SIZES = (
    Column("bytes_in", "in", justify="right", text=format_size),
    Column("bytes_out", "out", justify="right", text=format_size),
)
_OWN = (
    _own("gateway_p50_ms", "gateway p50", shown="wide"),
    _own("gateway_p95_ms", "gateway p95"),
    _own("gateway_p99_ms", "gateway p99", shown="wide"),
)
_STREAMS = _count("streams")
_IN_FLIGHT = _count("in_flight", shown="wide")
# In the contract's order; what it does not name comes last.
PICTURE_COLUMNS = (
    _REQUESTS,
    _ERRORS,
    _SUCCESS,
    Column("requests_per_minute"),
    *_DURATIONS,
    *_TTFB[:2],
    _STREAMS,
    *_SIZES,
    Column("status_codes", shown="data"),
    Column("top_paths", shown="data"),
    Column("top_sources", shown="data"),
    _IN_FLIGHT,
    _TTFB[2],
    *_OWN,
    Column("since", shown="data"),
    Column("until", shown="data"),
)
_FIGURE_COLUMNS = (
    _REQUESTS,
    _ERRORS,
    _SUCCESS,
    *_DURATIONS,
    *_TTFB,
    *_OWN,
    _STREAMS,
    _IN_FLIGHT,
    *_SIZES,
    Column("status_codes", shown="data"),
)
HOUR_COLUMNS = (Column("start", "hour", text=_format_hour, style=style_quiet), *_FIGURE_COLUMNS)
DAY_COLUMNS = (Column("start", "day", text=_format_day, style=style_quiet), *_FIGURE_COLUMNS)
_NAMES: Mapping[str, Sequence[Column]] = {
    "paths": (Column("path", elastic=True),),
    "sources": (Column("source_path", "source", elastic=True),),
    "keys": (
        Column("key_id", "key"),
        Column("key_hint", "hint"),
        Column("source_path", "source", elastic=True),
    ),
    "routes": (
        Column("route_id", "route"),
        Column("route_name", shown="data"),
        Column("name", shown="display", elastic=True, value=_name_route),
    ),
    "errors": (Column("error", elastic=True), Column("status_code", shown="data")),
    "methods": (Column("method"),),
    "ips": (Column("ip_address", "client"),),
    "statuses": (Column("status_code", "status"),),
}
_SHARE = Column("share", justify="right", text=format_percent)
# What a table leaves out first where a line is too short, and what next.
OPTIONAL = (
    *("gateway_p95_ms", "bytes_in", "ttfb_p50_ms", "streams", "bytes_out", "ttfb_p95_ms", "avg_ms"),
    *("p50_ms", "p99_ms", "key_hint", "share", "errors"),
)


def top_columns(kind: str) -> tuple[Column, ...]:
    """Return the columns of a ranking."""
    outcomes = () if kind == "errors" else (_ERRORS, _SUCCESS)
    streams = () if kind == "errors" else (_STREAMS,)
    return (*_NAMES[kind], _REQUESTS, _SHARE, *outcomes, *_DURATIONS, *streams)


def picture_row(picture: Picture) -> dict[str, Any]:
    """Return what a time came to as one row."""
    return {
        **_figures_row(picture.figures),
        "requests_per_minute": picture.requests_per_minute,
        "top_paths": picture.top_paths,
        "top_sources": picture.top_sources,
        "since": picture.since,
        "until": picture.until,
    }


def bucket_row(bucket: Bucket) -> Row:
    """Return what a bucket came to as one row."""
    return {"start": bucket.start, **_figures_row(bucket.figures)}


def _figures_row(figures: Any) -> dict[str, Any]:
    return asdict(figures)
