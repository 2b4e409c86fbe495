"""`fastgate logs`: the audit trail, every request that came, past and present."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Row
from fastgate_cli.commands.log_columns import COLUMNS, DETAIL_COLUMNS, date_columns, spell_details
from fastgate_cli.commands.log_filters import (
    ErrorsOption,
    GrepOption,
    IpOption,
    KeyOption,
    MethodOption,
    MinOption,
    PathOption,
    RouteOption,
    SinceOption,
    SourceOption,
    StatusOption,
    StreamOption,
    UntilOption,
    build_filter,
    find_midnight,
)
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, LogIds, OutputOption
from fastgate_cli.output import print_each, print_rows, print_stream

if TYPE_CHECKING:
    from proxy.store.log_follower import LogFollower

POLL_SECONDS = 0.2
LIST_ROWS = 50
TAIL_ROWS = 10
_EMPTY = "no requests yet; 'fastgate serve' runs the gateway"
_NONE_WANTED = "no such requests"
CountOption = Annotated[
    int, typer.Option("-n", "--limit", min=0, metavar="N", help="The newest N; 0 is all.")
]

app = typer.Typer(
    help="""
    The audit trail: every request that came, past and present.

    Examples:
      fastgate logs tail
      fastgate logs list --since 1h --errors
      fastgate logs show log_01jd2m5n8r9xq4t7w0z3v6b1ca
    """
)


@app.command("list")
def list_requests(
    ctx: typer.Context,
    since: SinceOption = None,
    until: UntilOption = None,
    key: KeyOption = None,
    source: SourceOption = None,
    route: RouteOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    status: StatusOption = None,
    stream: StreamOption = None,
    min_ms: MinOption = None,
    errors: ErrorsOption = False,
    ip: IpOption = None,
    grep: GrepOption = None,
    limit: CountOption = LIST_ROWS,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List requests, the newest first. Filters add up; several values of one are alternatives.

    Examples:
      fastgate logs list
      fastgate logs list --since 1h --status 4xx --status 500-599
      fastgate logs list --key key_01jd2m5n8r9xq4t7w0z3v6b1ca -n 0 -o csv
    """
    from proxy.store.log_filter import LogFilter
    from proxy.store.logs import list_logs

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    wanted = build_filter(
        invocation,
        since=since,
        until=until,
        key=key,
        source=source,
        route=route,
        method=method,
        path=path,
        status=status,
        stream=stream,
        min_ms=min_ms,
        errors=errors,
        ip=ip,
        grep=grep,
    )
    columns = date_columns(COLUMNS, (), find_midnight(invocation))
    empty = _EMPTY if wanted == LogFilter() else _NONE_WANTED
    with invocation.reading() as database:
        print_rows(list_logs(database, wanted, limit=limit), columns, options, empty=empty)


@app.command("show")
def show_requests(
    ctx: typer.Context,
    refs: LogIds,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show everything about requests, by the id of the row or the x-request-id that the client saw.

    Examples:
      fastgate logs show log_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate logs show req_01jd2m5n8r9xq4t7w0z3v6b1ca --json
    """
    from proxy.store.logs import get_log

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=DETAIL_COLUMNS)
    with invocation.reading() as database:
        rows: list[Row] = [get_log(database, ref) for ref in refs]
    if options.is_drawn:
        rows = [spell_details(row) for row in rows]
    columns = date_columns(DETAIL_COLUMNS, (), find_midnight(invocation))
    print_each(rows, columns, options, single=len(refs) == 1)


@app.command("tail")
def tail_requests(
    ctx: typer.Context,
    since: SinceOption = None,
    until: UntilOption = None,
    key: KeyOption = None,
    source: SourceOption = None,
    route: RouteOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    status: StatusOption = None,
    stream: StreamOption = None,
    min_ms: MinOption = None,
    errors: ErrorsOption = False,
    ip: IpOption = None,
    grep: GrepOption = None,
    limit: CountOption = TAIL_ROWS,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on, or stop after the last ten.")
    ] = True,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Print the last ten requests, then each new one as it comes; a long one when it begins and when it ends.

    Examples:
      fastgate logs tail
      fastgate logs tail --errors --source ci
      fastgate logs tail --json | jq .path
    """
    from proxy.store.log_follower import LogFollower

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    wanted = build_filter(
        invocation,
        since=since,
        until=until,
        key=key,
        source=source,
        route=route,
        method=method,
        path=path,
        status=status,
        stream=stream,
        min_ms=min_ms,
        errors=errors,
        ip=ip,
        grep=grep,
    )
    with invocation.reading() as database:
        # All that can be wrong is found before anything is printed, a header included.
        follower = LogFollower(database, wanted)
        recent: list[Row] = [*follower.start(limit)]
        columns = date_columns(COLUMNS, recent, find_midnight(invocation))
        print_stream(chain(recent, _follow(follower) if follow else ()), columns, options)


def _follow(follower: LogFollower) -> Iterator[Row]:
    while True:
        time.sleep(POLL_SECONDS)
        yield from follower.poll()
