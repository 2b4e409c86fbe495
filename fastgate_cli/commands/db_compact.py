"""`fastgate db compact`: give the room that deleted rows have left back to the disk."""

from __future__ import annotations

import sys

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.log_columns import format_size
from fastgate_cli.commands.running import find_note
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import print_note, print_written
from fastgate_cli.progress import show_progress

COLUMNS = (
    Column("path", elastic=True),
    Column("before", justify="right", text=format_size),
    Column("after", justify="right", text=format_size),
)


def compact_database(
    ctx: typer.Context,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Shrink the database to what is in it, after much was deleted. It may take a while.

    Deleted rows leave room that new ones use, so this is for when the disk needs it. It takes as much room
    again, twice, until it is done. While a gateway runs you are asked first: its rows wait in the journal, no
    request does. Ctrl-C leaves the database as it was.

    Examples:
      fastgate db compact --dry-run
      fastgate db compact
    """
    from proxy.settings import database_path
    from proxy.store.compact import check_space, compact, measure_room
    from proxy.store.database import open_database

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    path = database_path(invocation.settings)
    with open_database(path, create=False, allow_pending=True) as database:
        room = measure_room(database)
        after = room.size - room.free
        if not dry_run:
            check_space(database, invocation.environ)
            if find_note(invocation):
                question = (
                    "a gateway is running, and its rows wait in the journal until this is done; compact"
                )
                confirm_or_exit(question, yes=yes)
            if sys.stderr.isatty():
                print_note("this may take a while; Ctrl-C leaves the database as it was")
            with show_progress("compacting"):
                after = compact(database)
    row = {"path": str(path), "before": room.size, "after": after}
    print_written([row], COLUMNS, options, single=True)
    note_dry_run(dry_run)
