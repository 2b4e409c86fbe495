"""Options and arguments that several commands share, so that each is spelled and explained once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fastgate_cli.columns import escape_controls
from fastgate_cli.context import invocation_of
from fastgate_cli.output import Format, print_note
from proxy.errors import FastGateError, InvalidInputError

_COMPLETIONS_MAX = 200


def complete_key_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of keys that begin as typed; none where the database cannot be read."""
    from proxy.store.keys import list_keys

    invocation = invocation_of(ctx)
    try:
        with invocation.reading() as database:
            ids = [str(row["key_id"]) for row in list_keys(database, now=invocation.now)]
    except FastGateError:
        return []
    return [key_id for key_id in ids if key_id.startswith(incomplete)][:_COMPLETIONS_MAX]


def complete_route_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the ids and names of routes that begin as typed; none where the database cannot be read."""
    from proxy.store.routes import list_routes

    try:
        with invocation_of(ctx).reading() as database:
            rows = list_routes(database)
    except FastGateError:
        return []
    words = {str(row[column]) for row in rows for column in ("route_id", "route_name")}
    return sorted(word for word in words if word.startswith(incomplete))[:_COMPLETIONS_MAX]


OutputOption = Annotated[
    Format | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, wide, json, jsonl, csv, tsv or id; by default a table on a terminal and TSV in a pipe.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
FieldsOption = Annotated[
    str | None, typer.Option("--fields", metavar="A,B", help="Print these fields only, in this order.")
]
DryRunOption = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Show what would be written, write nothing.")
]
YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
LimitOption = Annotated[
    int, typer.Option("-n", "--limit", min=0, max=1_000_000_000, metavar="N", help="At most N; 0 is all.")
]
KeyIds = Annotated[list[str], typer.Argument(metavar="ID...", autocompletion=complete_key_ids)]
OptionalKeyIds = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", autocompletion=complete_key_ids)
]
RouteIds = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Ids or names.", autocompletion=complete_route_ids),
]


def confirm_or_exit(question: str, *, yes: bool) -> None:
    """Return if the answer is yes; on no the command ends. Without a terminal, `-y` is the only yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question}: nobody is there to confirm", hint="-y says yes beforehand")
    sys.stderr.write(escape_controls(question) + "? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise typer.Abort
    if answer.strip().lower() not in ("y", "yes"):
        print_note("nothing was changed")
        raise typer.Exit(1)


def note_dry_run(dry_run: bool) -> None:
    """Say, after a dry run, that it was one."""
    if dry_run:
        print_note("dry run: nothing was written")
