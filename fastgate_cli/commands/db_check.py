"""`fastgate db check`: what is wrong with the database, a line for each fault."""

from __future__ import annotations

from dataclasses import asdict

import typer

from fastgate_cli.columns import Column
from fastgate_cli.context import invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_rows
from fastgate_cli.progress import show_progress

COLUMNS = (
    Column("check", style=lambda _: "red"),
    Column("place", elastic=True, wraps=True),
    Column("message", elastic=True, wraps=True),
    Column("hint", "what to do", elastic=True, wraps=True),
)


def check_database(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Look for faults: damage, a schema that is not as migrated, rows that cannot be read. Changes nothing.

    The exit code is 1 if there is a fault. The gateway may run meanwhile.

    Examples:
      fastgate db check
      fastgate db check --json
    """
    from proxy.settings import database_path
    from proxy.store.checking import check_database

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with show_progress("checking"):
        faults = check_database(database_path(invocation.settings))
    print_rows([asdict(fault) for fault in faults], COLUMNS, options, empty="no faults found")
    if faults:
        raise typer.Exit(FAILED)
