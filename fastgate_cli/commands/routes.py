"""`fastgate routes`: which requests go to which backend."""

from __future__ import annotations

import typer

from fastgate_cli.columns import Column, Row
from fastgate_cli.commands.route_changes import (
    disable_routes,
    enable_routes,
    toggle_routes,
    update_routes,
)
from fastgate_cli.commands.route_creation import COLUMNS, add_route, describe_target, mask_route
from fastgate_cli.commands.route_explain import explain_request
from fastgate_cli.commands.route_lint import lint_routes
from fastgate_cli.commands.route_move import move_route
from fastgate_cli.commands.route_trial import try_route
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    RouteIds,
    YesOption,
    confirm_or_exit,
    describe_deletion,
    note_dry_run,
)
from fastgate_cli.output import print_each, print_rows, print_written

app = typer.Typer(
    help="""
    Routes: which requests go to which backend, and what is changed on the way.

    Examples:
      fastgate routes add --match '/v1/*' --to http://127.0.0.1:8000
      fastgate routes list
      fastgate routes delete rt_01jd2m5n8r9xq4t7w0z3v6b1ca
    """
)
app.command("add")(add_route)
app.command("update")(update_routes)
app.command("enable")(enable_routes)
app.command("disable")(disable_routes)
app.command("toggle")(toggle_routes)
app.command("move")(move_route)
app.command("explain")(explain_request)
app.command("test")(try_route)
app.command("lint")(lint_routes)
_EMPTY = "no routes; fastgate routes add --match '/v1/*' --to http://127.0.0.1:8000"


@app.command("list")
def list_routes(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List the routes, in the order in which they are tried: priority, specificity, age.

    Examples:
      fastgate routes list
      fastgate routes list -o wide
      fastgate routes list --json
    """
    from proxy.store.route_order import order_rows
    from proxy.store.routes import list_routes

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        print_rows(map(mask_route, order_rows(list_routes(database))), COLUMNS, options, empty=_EMPTY)


@app.command("show")
def show_routes(
    ctx: typer.Context,
    refs: RouteIds,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show everything about routes. Secrets in headers are masked; references are shown as written.

    Examples:
      fastgate routes show ollama
      fastgate routes show rt_01jd2m5n8r9xq4t7w0z3v6b1ca --json
    """
    from proxy.store.routes import get_route

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        rows = [mask_route(get_route(database, ref)) for ref in refs]
    is_sheet = options.is_drawn and not options.fields and len(rows) == 1
    print_each(rows, choose_fields(rows[0]) if is_sheet else COLUMNS, options, single=len(refs) == 1)


def choose_fields(row: Row) -> list[Column]:
    """Return the fields of a route that hold something, and one that names the others, to fit a screen."""
    used = [column for column in COLUMNS if column.shown != "display"]
    empty = [column.name for column in used if column.value_of(row) in (None, "", [], {})]
    columns = [column for column in used if column.name not in empty]
    return [*columns, Column("not set", shown="data", value=lambda _: ", ".join(empty))]


@app.command("delete")
def delete_routes(
    ctx: typer.Context,
    refs: RouteIds,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Delete routes for good. Requests that are under way on them finish.

    Examples:
      fastgate routes delete ollama
      fastgate routes delete rt_01jd2m5n8r9xq4t7w0z3v6b1ca -y
    """
    from proxy.store.routes import delete_routes, get_route

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        known = [get_route(database, ref) for ref in refs]
    named = ", ".join(f"{row['route_name']} ({row['match_path']} to {describe_target(row)})" for row in known)
    confirm_or_exit(f"delete {named}", yes=yes or dry_run)
    with invocation.writing(dry_run=dry_run) as database:
        rows = delete_routes(database, refs)
    print_written([mask_route(row) for row in rows], COLUMNS, options, single=len(refs) == 1)
    note_dry_run(dry_run, done=describe_deletion(len(rows), "route", options))
