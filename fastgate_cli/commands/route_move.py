"""`fastgate routes move`: which routes are tried before which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.commands.route_creation import COLUMNS, mask_route
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    complete_route_ids,
    note_dry_run,
)
from fastgate_cli.output import print_written
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.store.route_order import Side


def move_route(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="ID", help="Id or name.", autocompletion=complete_route_ids)],
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="OTHER", help="Just before it.", autocompletion=complete_route_ids),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="OTHER", help="Just after it.", autocompletion=complete_route_ids),
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Before all others.")] = False,
    last: Annotated[bool, typer.Option("--last", help="After all others.")] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Have a route tried before or after others. As few priorities as can be change; those are printed.

    Routes are tried in the order of 'routes list': the smaller priority, then the more specific pattern, then
    the older route. A running gateway knows within a second.

    Examples:
      fastgate routes move gpu2 --before ollama
      fastgate routes move catch-all --last
    """
    from proxy.store.route_order import move_route

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    side, other = _read_place(before, after, first=first, last=last)
    with invocation.reading():
        pass  # it must be there already: there is nothing to move in a new one
    with invocation.writing(dry_run=dry_run) as database:
        changed, moved = move_route(database, ref, side, other, invocation.now)
    empty = f"{moved['route_name']} is there already"
    print_written([mask_route(row) for row in changed], COLUMNS, printing, single=False, empty=empty)
    note_dry_run(dry_run)


def _read_place(before: str | None, after: str | None, *, first: bool, last: bool) -> tuple[Side, str | None]:
    places: list[tuple[Side, str | None]] = []
    places += [("before", before)] if before is not None else []
    places += [("after", after)] if after is not None else []
    places += [("before", None)] if first else []
    places += [("after", None)] if last else []
    if len(places) != 1:
        hint = "give one of --before OTHER, --after OTHER, --first and --last"
        raise InvalidInputError("where the route is to be moved is not clear", hint=hint)
    return places[0]
