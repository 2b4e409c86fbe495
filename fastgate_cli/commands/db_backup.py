"""`fastgate db backup`: a copy of the database, made while everything goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.log_columns import format_size
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_object
from fastgate_cli.progress import show_progress
from proxy.errors import InvalidInputError

COLUMNS = (Column("path"), Column("size", text=format_size, justify="right"))


def back_up_database(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup goes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Copy the database to FILE while the gateway runs: as it was at one moment, checked, for you alone.

    FILE is complete or not there at all. To restore it: stop the gateway, copy FILE to where
    'fastgate db path' says, delete the files beside it whose names end in -wal and -shm, and run
    'fastgate db upgrade'.

    Examples:
      fastgate db backup /var/backups/fastgate.db
      fastgate db backup "fastgate-$(date +%F).db"
      fastgate db backup latest.db --force
    """
    from proxy.settings import database_path
    from proxy.store.backup import back_up
    from proxy.store.database import open_database

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    if str(file) == "-":
        raise InvalidInputError("a backup cannot go to stdout", hint="name a file")
    path = database_path(invocation.settings)
    destination = invocation.folder / file.expanduser()
    with (
        open_database(path, create=False, allow_pending=True) as database,
        show_progress("copying") as report,
    ):
        size = back_up(database, destination, replace=force, on_progress=report)
    print_object({"path": str(destination), "size": size}, COLUMNS, options)
