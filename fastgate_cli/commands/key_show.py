"""`fastgate keys show`: everything about a key, and on a terminal a chart of what it was used for."""

from __future__ import annotations

import sys
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.charts import BarChart
from fastgate_cli.columns import Row, format_count
from fastgate_cli.commands.key_columns import COLUMNS, USAGE_COLUMNS, describe_previous, sheet_columns
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, KeyIds, OutputOption
from fastgate_cli.output import OutputOptions, print_each, print_object
from proxy.clock import list_days, list_hours

if TYPE_CHECKING:
    from proxy.store.database import Database

HOURS, DAYS = 24, 30


def show_keys(
    ctx: typer.Context,
    key_ids: KeyIds,
    usage: Annotated[
        bool | None,
        typer.Option(
            "--usage/--no-usage",
            help="Count its requests over time; without this only for one key on a terminal.",
        ),
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show everything about keys, except their secrets.

    On a terminal a chart shows the requests of the last 24 hours and 30 days; --usage adds them to data, in
    the field `usage`. Of a rotated key it tells whether, and from where, the old secret is still used.

    Examples:
      fastgate keys show key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys show key_01jd2m5n8r9xq4t7w0z3v6b1ca --json
      fastgate keys show key_01jd2m5n8r9xq4t7w0z3v6b1ca --usage --json
    """
    from proxy.store.keys import get_keys

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=USAGE_COLUMNS)
    is_sheet = options.is_drawn and not options.fields and (len(key_ids) == 1 or bool(usage))
    is_counted = "usage" in options.fields or (
        usage is True or (usage is None and is_sheet and sys.stdout.isatty())
    )
    with invocation.reading() as database:
        rows = get_keys(database, key_ids, now=invocation.now)
        if is_counted:
            rows = [
                {**row, "usage": count_usage(database, row["key_id"], invocation.now, options.zone)}
                for row in rows
            ]
    if is_sheet:
        return _draw_sheets(rows, invocation.now, options)
    columns = USAGE_COLUMNS if is_counted else COLUMNS
    return print_each(rows, columns, options, single=len(key_ids) == 1)


def count_usage(database: Database, key_id: str, now: datetime, zone: tzinfo) -> dict[str, list[Row]]:
    """Return a key's requests by hour and by day of a zone; the last bucket is the one that it is now."""
    from proxy.store.key_usage import count_requests

    return {
        "hourly": [*count_requests(database, key_id, list_hours(now, zone, HOURS))],
        "daily": [*count_requests(database, key_id, list_days(now, zone, DAYS))],
    }


def build_charts(usage: dict[str, list[Row]], zone: tzinfo) -> list[BarChart]:
    """Return the charts of a key's requests by hour and by day; one will do for a key without any."""
    spans = [("hourly", f"{HOURS} hours", "%H:%M"), ("daily", f"{DAYS} days", "%m-%d")]
    if not any(bucket["requests"] for bucket in usage["daily"]):
        del spans[0]
    return [_build_chart(usage[name], title, label, zone) for name, title, label in spans]


def _build_chart(buckets: list[Row], title: str, label: str, zone: tzinfo) -> BarChart:
    requests, errors = (sum(bucket[name] for bucket in buckets) for name in ("requests", "errors"))
    total = (
        f"{format_count(requests, zone)} request{'' if requests == 1 else 's'}" if requests else "no requests"
    )
    failed = f", {format_count(errors, zone)} error{'' if errors == 1 else 's'}" if errors else ""
    first, last = (buckets[place]["start"].astimezone(zone).strftime(label) for place in (0, -1))
    counts = tuple(bucket["requests"] for bucket in buckets)
    return BarChart(f"{title}: {total}{failed}", counts, first, last)


def _draw_sheets(rows: list[dict[str, Any]], now: datetime, options: OutputOptions) -> None:
    from fastgate_cli.drawing import draw_charts, draw_remark

    for number, row in enumerate(rows):
        if number:
            draw_remark("")
        print_object(row, sheet_columns(row), options)
        if remark := describe_previous(row, now, options.zone):
            draw_remark("")
            draw_remark(remark)
        if "usage" in row:
            draw_remark("")
            draw_charts(build_charts(row["usage"], options.zone))
