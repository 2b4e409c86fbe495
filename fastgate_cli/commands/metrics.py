"""`fastgate metrics`: what the gateway did, as figures: now, by the hour, by the day, and what was most."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.metric_columns import (
    DAY_COLUMNS,
    HOUR_COLUMNS,
    PICTURE_COLUMNS,
    bucket_row,
    picture_row,
    top_columns,
)
from fastgate_cli.commands.metric_filters import find_times, takes_filters
from fastgate_cli.commands.metric_tables import print_figures
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, LimitOption, OutputOption
from fastgate_cli.output import OutputOptions, print_note, print_object
from proxy.clock import list_days, list_hours

if TYPE_CHECKING:
    from proxy.store.log_filter import LogFilter

TopKind = Literal["paths", "sources", "keys", "routes", "errors", "methods", "ips", "statuses"]
HOURS_MAX, DAYS_MAX = 24 * 366, 10 * 366
_NONE = "no such requests in this time"

app = typer.Typer(
    help="""
    Figures of the audit trail: requests, errors, latency, and what there was most of.

    A success rate is in percent, of the requests that have ended. An error is a request that was refused,
    failed, or was answered with a status of 400 and above. Requests in flight are among the requests, and
    are neither; they have no duration yet. Percentiles are of all durations, by nearest rank. All filters of
    'fastgate logs' can be used.

    Examples:
      fastgate metrics now
      fastgate metrics hourly --source ci
      fastgate metrics top errors --since 7d
    """
)


@app.command("now")
@takes_filters(since="1h")
def show_now(
    ctx: typer.Context,
    wanted: LogFilter,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show what the last hour came to, or any other time.

    Examples:
      fastgate metrics now
      fastgate metrics now --since 15m --route ollama
      fastgate metrics now --since today --json | jq .p95_ms
    """
    from proxy.store.metrics import read_now

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=PICTURE_COLUMNS)
    since, until = find_times(wanted, invocation)
    is_page = options.chosen == "table" and not options.fields
    starts = _find_intervals(since, until, options) if is_page else []
    with invocation.reading() as database:
        picture = read_now(database, since, until, starts=starts, wanted=wanted)
    if not is_page:
        return print_object(picture_row(picture), PICTURE_COLUMNS, options)
    if not picture.figures.requests:
        return print_note(_NONE)
    from fastgate_cli.commands.metric_page import draw_picture

    return draw_picture(picture, options.zone)


@app.command("hourly")
@takes_filters(since=None)
def list_hourly(
    ctx: typer.Context,
    wanted: LogFilter,
    hours: Annotated[
        int, typer.Option("--hours", min=1, max=HOURS_MAX, metavar="N", help="The last N, this one too.")
    ] = 24,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List what each hour came to, the oldest first.

    Hours are those of app.timezone. One without requests is listed, too.

    Examples:
      fastgate metrics hourly
      fastgate metrics hourly --hours 48 --key key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate metrics hourly --json
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=HOUR_COLUMNS)
    starts = list_hours(invocation.now, options.zone, hours)
    _print_buckets(invocation, starts, timedelta(hours=1), wanted, HOUR_COLUMNS, options)


@app.command("daily")
@takes_filters(since=None)
def list_daily(
    ctx: typer.Context,
    wanted: LogFilter,
    days: Annotated[
        int, typer.Option("--days", min=1, max=DAYS_MAX, metavar="N", help="The last N, today too.")
    ] = 30,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List what each day came to, the oldest first.

    Days are those of app.timezone. One without requests is listed, too.

    Examples:
      fastgate metrics daily
      fastgate metrics daily --days 7 --source ci
      fastgate metrics daily -o csv > month.csv
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=DAY_COLUMNS)
    starts = list_days(invocation.now, options.zone, days)
    _print_buckets(invocation, starts, timedelta(days=1), wanted, DAY_COLUMNS, options)


@app.command("top")
@takes_filters(since="24h")
def list_top(
    ctx: typer.Context,
    kind: Annotated[
        TopKind,
        typer.Argument(
            metavar="KIND", help="paths, sources, keys, routes, errors, methods, ips or statuses."
        ),
    ],
    wanted: LogFilter,
    limit: LimitOption = 10,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List what there was most of: paths, sources, keys, routes, errors and more.

    A share is in percent of all requests, or of all errors. A request that has no such thing, as a refused
    one has no key, is not listed.

    Examples:
      fastgate metrics top paths
      fastgate metrics top keys --since 7d -n 3 --json
      fastgate metrics top sources --errors
    """
    from proxy.store.rankings import read_top

    invocation = invocation_of(ctx)
    columns = top_columns(kind)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=columns)
    since, until = find_times(wanted, invocation)
    with invocation.reading() as database:
        rows = read_top(database, kind, since, until, wanted=wanted, limit=limit)
    print_figures(rows, columns, options, empty=_NONE)


def _print_buckets(
    invocation: Invocation,
    starts: list[datetime],
    length: timedelta,
    wanted: LogFilter,
    columns: Sequence[Column],
    options: OutputOptions,
) -> None:
    from proxy.store.metrics import read_buckets

    with invocation.reading() as database:
        buckets = read_buckets(database, starts, starts[-1] + length, wanted=wanted)
    print_figures([bucket_row(bucket) for bucket in buckets], columns, options)


def _find_intervals(since: datetime, until: datetime, options: OutputOptions) -> list[datetime]:
    from fastgate_cli.commands.metric_page import count_bars
    from fastgate_cli.time_axis import choose_step, list_starts

    step = choose_step(until - since, count_bars())
    return list_starts(since, until, step, options.zone)
