"""`fastgate logs show`: everything about a request, or the request itself as a curl command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fastgate_cli.columns import Row
from fastgate_cli.commands.log_columns import DETAIL_COLUMNS, date_columns, spell_details
from fastgate_cli.commands.log_curl import build_curl
from fastgate_cli.commands.log_filters import find_midnight
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, LogIds, OutputOption
from fastgate_cli.output import OutputOptions, print_each, print_note
from fastgate_cli.pager import find_pager, print_paged
from proxy.errors import InvalidInputError

BODY_LINES_MAX = 60  # of each body, on a terminal without a pager


def show_requests(
    ctx: typer.Context,
    refs: LogIds,
    curl: Annotated[
        bool, typer.Option("--curl", help="Print the request as a curl command instead, without its key.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the JSON of a model's reply, not what it says.")
    ] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show everything about requests, by the id of the row or the x-request-id that the client saw.

    The id that the backend was sent, the same one as a UUID, is taken, too.

    On a terminal long bodies are cut, unless PAGER or FASTGATE_PAGER names a pager; -o wide shows all.

    Examples:
      fastgate logs show log_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate logs show req_01jd2m5n8r9xq4t7w0z3v6b1ca --json
      fastgate logs show log_01jd2m5n8r9xq4t7w0z3v6b1ca --curl
    """
    from proxy.store.logs import get_log

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=DETAIL_COLUMNS)
    if curl and (options.format or options.fields or raw):
        raise InvalidInputError("--curl prints a command, and nothing else", hint="give it alone")
    with invocation.reading() as database:
        rows: list[Row] = [get_log(database, ref) for ref in refs]
    if curl:
        return _print_curl(rows, _find_address(invocation))
    if options.is_drawn and not options.fields:
        return _print_sheets(rows, invocation, options, is_raw=raw)
    if options.is_drawn:
        rows = [spell_details(row) for row in rows]
    columns = date_columns(DETAIL_COLUMNS, (), find_midnight(invocation))
    return print_each(rows, columns, options, single=len(refs) == 1)


def _print_sheets(
    rows: Sequence[Row], invocation: Invocation, options: OutputOptions, *, is_raw: bool
) -> None:
    from fastgate_cli.commands.log_sheet import draw_sheet

    is_bounded = options.chosen == "table" and sys.stdout.isatty()
    pager = find_pager() if is_bounded else []
    lines_max = BODY_LINES_MAX if is_bounded and not pager else None
    sheets = [
        draw_sheet(row, options.zone, now=invocation.now, is_raw=is_raw, lines_max=lines_max) for row in rows
    ]
    print_paged("\n\n".join(sheets), pager)


def _print_curl(rows: Sequence[Row], address: str) -> None:
    commands = [build_curl(row, address) for row in rows]
    sys.stdout.write("".join(command.text + "\n" for command in commands))
    sys.stdout.flush()
    for remark in dict.fromkeys(remark for command in commands for remark in command.remarks):
        print_note(remark)


def _find_address(invocation: Invocation) -> str:
    """Return the address of the gateway that is running, or of the one that the configuration would run."""
    from fastgate_cli.commands.running import find_note
    from fastgate_cli.commands.serve import describe_address

    note, app = find_note(invocation), invocation.settings.app
    return note.address if note else describe_address(app.host, app.port)
