"""`fastgate logs du`: how large the audit trail is, how fast it grows, and when retention will hold it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import typer

from fastgate_cli.columns import Column, Row, format_day, format_minute
from fastgate_cli.commands.log_columns import format_size
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_object, print_rows
from fastgate_cli.progress import show_progress

if TYPE_CHECKING:
    from proxy.store.database import Database

COLUMNS = tuple(
    Column(name)
    for name in (
        "path",
        "database_bytes",
        "wal_bytes",
        "free_bytes",
        "journal_bytes",
        "journal_waiting_bytes",
        "damaged_segments",
        "damaged_bytes",
        "requests",
        "oldest",
        "newest",
        "bytes_per_request",
        "headers_bytes_per_request",
        "bodies_bytes_per_request",
        "requests_per_day",
        "bytes_per_day",
        "retention_days",
        "body_retention_days",
        "holds_at_bytes",
        "holds_from",
        "disk_free_bytes",
        "disk_full_on",
    )
)
_DRAWN_COLUMNS = (
    Column("what", ""),
    Column("size", justify="right"),
    Column("remark", "", elastic=True, wraps=True),
)
_YEARS_MAX = 100  # beyond that a forecast says nothing


def measure_usage(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show how much room the audit trail takes, how fast it grows, and when the retention settings hold it.

    What headers and bodies take is an estimate, from a few hundred requests; the rest is counted. Forecasts
    take it that requests come as they did in the last seven days.

    Examples:
      fastgate logs du
      fastgate logs du --json
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database, show_progress("measuring"):
        row = _measure(database, invocation)
    if options.is_drawn and not options.fields:
        print_rows(list(list_findings(row, options.zone, invocation.now)), _DRAWN_COLUMNS, options)
    else:
        print_object(row, COLUMNS, options)


def _measure(database: Database, invocation: Invocation) -> dict[str, Any]:
    from proxy.audit.sizes import measure_journal
    from proxy.store.compact import measure_room
    from proxy.store.recording import read_offsets
    from proxy.store.sizes import measure_trail, weigh_rows

    audit, now = invocation.settings.audit, invocation.now
    room, trail, weight = measure_room(database), measure_trail(database, now), weigh_rows(database)
    journal = measure_journal(audit.directory, read_offsets(database))
    per_request = (room.size - room.log - room.free) / trail.rows if trail.rows else None
    row: dict[str, Any] = {
        "path": str(database.path),
        "database_bytes": room.size - room.log,
        "wal_bytes": room.log,
        "free_bytes": room.free,
        "journal_bytes": journal.size,
        "journal_waiting_bytes": journal.waiting,
        "damaged_segments": journal.damaged,
        "damaged_bytes": journal.damaged_size,
        "requests": trail.rows,
        "oldest": trail.oldest,
        "newest": trail.newest,
        "bytes_per_request": per_request and round(per_request),
        "headers_bytes_per_request": round(weight.headers) if trail.rows else None,
        "bodies_bytes_per_request": round(weight.bodies) if trail.rows else None,
        "requests_per_day": round(trail.rows_per_day, 1),
        "bytes_per_day": round(trail.rows_per_day * (per_request or 0)),
        "retention_days": audit.retention_days,
        "body_retention_days": audit.body_retention_days,
        "disk_free_bytes": shutil.disk_usage(database.path.parent).free,
    }
    return row | forecast(row, now)


def forecast(row: Row, now: datetime) -> dict[str, Any]:
    """Return when the trail stops growing, and how large it is then; or when the disk is full.

    None for what never happens, or not within `_YEARS_MAX`.
    """
    days, body_days = row["retention_days"], row["body_retention_days"]
    holds_at = holds_from = full_on = None
    per_day, room = row["bytes_per_day"], row["disk_free_bytes"] + row["free_bytes"]
    if days and row["oldest"] is not None:
        bodies_per_day = row["requests_per_day"] * row["bodies_bytes_per_request"]
        bodiless_days = days - body_days if 0 < body_days < days else 0
        holds_at = max(0, round(per_day * days - bodies_per_day * bodiless_days))
        holds_from = row["oldest"] + timedelta(days=days)
    growth = (holds_at or 0) - (row["database_bytes"] - row["free_bytes"])
    is_held = holds_at is not None and growth <= room
    if per_day and not is_held and room / per_day < _YEARS_MAX * 365:
        full_on = now + timedelta(days=room / per_day)
    return {"holds_at_bytes": holds_at, "holds_from": holds_from, "disk_full_on": full_on}


def list_findings(row: Row, zone: tzinfo, now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yield what a person is told, a line each: what, how much, and what there is to say of it."""

    def line(what: str, size: int | None, remark: str = "") -> Mapping[str, Any]:
        return {"what": what, "size": None if size is None else format_size(size, zone), "remark": remark}

    yield line("database", row["database_bytes"], row["path"])
    free, log, waiting = row["free_bytes"], row["wal_bytes"], row["journal_waiting_bytes"]
    yield line("free in it", free, "is used again; 'fastgate db compact' gives it back" if free else "")
    yield line("its log", log, "moves into the database by itself" if log else "")
    yield line("journal", row["journal_bytes"], f"{format_size(waiting, zone)} of it waits to become rows")
    if row["damaged_segments"]:
        remark = f"in {row['damaged_segments']} segments that could not be read, kept beside the journal"
        yield line("damaged", row["damaged_bytes"], remark)
    if not row["requests"]:
        yield line("requests", None, "none yet")
        return
    span = f"from {format_minute(row['oldest'], zone)} to {format_minute(row['newest'], zone)}"
    yield line("a request", row["bytes_per_request"], f"on average of {row['requests']:,}, {span}")
    yield line("  headers", row["headers_bytes_per_request"], "of that, an estimate")
    yield line("  bodies", row["bodies_bytes_per_request"], "of that, an estimate")
    yield line("a day", row["bytes_per_day"], f"about {row['requests_per_day']:,.0f} requests, lately")
    yield line("will be", row["holds_at_bytes"], _tell_retention(row, zone, now))
    yield line("disk", row["disk_free_bytes"], _tell_disk(row, zone))


def _tell_retention(row: Row, zone: tzinfo, now: datetime) -> str:
    days, body_days = row["retention_days"], row["body_retention_days"]
    bodies = f", their bodies for {body_days}" if body_days and not 0 < days <= body_days else ""
    if not days:
        return f"requests are kept for ever{bodies}: audit.retention_days is 0"
    since = "now" if row["holds_from"] <= now else f"{format_day(row['holds_from'], zone)} on"
    return f"from {since}, about: requests are kept for {days} days{bodies}"


def _tell_disk(row: Row, zone: tzinfo) -> str:
    full_on = row["disk_full_on"]
    return f"free; full about {format_day(full_on, zone)}" if full_on else "free, and enough for that"
