"""`fastgate logs`: the audit trail, every request that came, past and present."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Row
from fastgate_cli.commands.log_columns import COLUMNS, date_columns
from fastgate_cli.commands.log_du import measure_usage
from fastgate_cli.commands.log_export import export_requests
from fastgate_cli.commands.log_filters import CountOption, find_midnight, takes_filters
from fastgate_cli.commands.log_prune import prune_requests
from fastgate_cli.commands.log_show import show_requests
from fastgate_cli.commands.log_sources import list_sources
from fastgate_cli.commands.log_verify import verify_requests
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_note, print_rows, print_stream
from fastgate_cli.reader import wait_while_read

if TYPE_CHECKING:
    from proxy.errors import DatabaseError
    from proxy.store.log_filter import LogFilter
    from proxy.store.log_tail import LogTail

POLL_SECONDS = 0.2
LIST_ROWS = 50
TAIL_ROWS = 10
_EMPTY = "no requests yet; 'fastgate serve' runs the gateway"
_NONE_WANTED = "no such requests"

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
@takes_filters
def list_requests(
    ctx: typer.Context,
    wanted: LogFilter,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only requests older than this one.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="ID", help="Only newer ones; of these, the N that came next."),
    ] = None,
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
      fastgate logs list --errors --before log_01jd2m5n8r9xq4t7w0z3v6b1ca
    """
    from proxy.store.log_filter import LogFilter
    from proxy.store.logs import list_logs

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    columns = date_columns(COLUMNS, (), find_midnight(invocation))
    is_everything = wanted == LogFilter() and before is None and after is None
    empty = _EMPTY if is_everything else _NONE_WANTED
    is_page = options.is_drawn and limit > 0
    with invocation.reading() as database:
        # One more than is shown tells whether there are more.
        rows = list_logs(database, wanted, limit=limit + is_page, before=before, after=after)
        if not is_page:
            return print_rows(rows, columns, options, empty=empty)
        found: list[Row] = [*rows]
    goes_back = after is None or before is not None
    page = found[:limit] if goes_back else found[-limit:]
    print_rows(page, columns, options, empty=empty)
    if len(found) > limit:
        way = f"--before {page[-1]['id']} for older" if goes_back else f"--after {page[0]['id']} for newer"
        print_note(f"there are more: add {way} ones")
    return None


app.command("show")(show_requests)


@app.command("tail")
@takes_filters
def tail_requests(
    ctx: typer.Context,
    wanted: LogFilter,
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
    from proxy.settings import database_path
    from proxy.store.log_tail import LogTail

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with LogTail(database_path(invocation.settings), wanted, on_trouble=_tell_trouble) as tail:
        # All that can be wrong is found before anything is printed, a header included.
        recent: list[Row] = [*tail.start(limit)]
        columns = date_columns(COLUMNS, recent, find_midnight(invocation))
        print_stream(chain(recent, _follow(tail) if follow else ()), columns, options)


app.command("export")(export_requests)
app.command("sources")(list_sources)
app.command("prune")(prune_requests)
app.command("verify")(verify_requests)
app.command("du")(measure_usage)


def _follow(tail: LogTail) -> Iterator[Row]:
    while True:
        wait_while_read(POLL_SECONDS)
        yield from tail.poll()


def _tell_trouble(error: DatabaseError | None) -> None:
    print_note(f"{error.message}; waiting" if error else "following again")
