"""`fastgate routes update`, `enable`, `disable` and `toggle`: routes that are there, changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fastgate_cli.columns import Row
from fastgate_cli.commands.route_columns import check_columns, complete_unset, read_columns, read_unset
from fastgate_cli.commands.route_creation import COLUMNS, mask_route, note_literals
from fastgate_cli.commands.route_options import RouteOptions, with_route_options
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    RouteIds,
    note_dry_run,
)
from fastgate_cli.output import OutputOptions, print_written
from proxy.errors import InvalidInputError


@with_route_options()
def update_routes(
    ctx: typer.Context,
    refs: RouteIds,
    options: RouteOptions,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            "--unset",
            metavar="OPTION",
            help="Take back what this option has set. Repeatable.",
            autocompletion=complete_unset,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Change routes. Only what is given changes; a repeatable option replaces its whole list.

    --to names protocol, host and path together, as in `routes add`. A running gateway knows within a second.

    Examples:
      fastgate routes update ollama --timeout 600 --retries 2 --retry-on 429
      fastgate routes update ollama --to http://gpu2:11434
      fastgate routes update ollama --unset header --unset timeout
    """
    from proxy.store.route_changes import update_routes

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    given: dict[str, Any] = {}

    def change(row: Row) -> Mapping[str, Any]:
        given.update(read_unset(unset or ()), **read_columns(options, row))
        if not given:
            raise InvalidInputError("nothing is to be changed", hint="name what changes, as --timeout 60")
        check_columns({**row, **given}, retries_max=invocation.settings.proxy.max_retries)
        return given

    _check_database(invocation)
    with invocation.writing(dry_run=dry_run) as database:
        rows = update_routes(database, refs, change, invocation.now)
    print_written([mask_route(row) for row in rows], COLUMNS, printing, single=len(refs) == 1)
    note_literals(given)
    note_dry_run(dry_run)


def enable_routes(
    ctx: typer.Context,
    refs: RouteIds,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch routes on. A running gateway uses them within a second.

    Examples:
      fastgate routes enable ollama
    """
    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    _set_active(True, refs, dry_run, invocation, printing)


def disable_routes(
    ctx: typer.Context,
    refs: RouteIds,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch routes off, to be switched on again. Requests that are under way on them finish.

    Examples:
      fastgate routes disable ollama
    """
    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    _set_active(False, refs, dry_run, invocation, printing)


def toggle_routes(
    ctx: typer.Context,
    refs: RouteIds,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch routes on that are off, and off that are on.

    Examples:
      fastgate routes toggle blue green
    """
    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    _set_active(None, refs, dry_run, invocation, printing)


def _set_active(
    active: bool | None, refs: list[str], dry_run: bool, invocation: Invocation, printing: OutputOptions
) -> None:
    from proxy.store.route_changes import set_routes_active

    _check_database(invocation)
    with invocation.writing(dry_run=dry_run) as database:
        rows = set_routes_active(database, refs, active, invocation.now)
    print_written([mask_route(row) for row in rows], COLUMNS, printing, single=len(refs) == 1)
    note_dry_run(dry_run)


def _check_database(invocation: Invocation) -> None:
    # The database must be there already: there is nothing to change in a new one.
    with invocation.reading():
        pass
