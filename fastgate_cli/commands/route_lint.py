"""`fastgate routes lint`: routes that are shadowed, doubled, unreachable, insecure or unusable."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.route_table import read_table
from fastgate_cli.context import invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_rows

if TYPE_CHECKING:
    from fastgate_cli.commands.route_findings import Finding
    from proxy.store.database import Database

COLUMNS = (
    Column("route_id", "id", shown="wide"),
    Column("route_name", "route"),
    Column("level", style=lambda level: "red" if level == "error" else "yellow"),
    Column("rule"),
    Column("message", elastic=True, wraps=True),
)


def lint_routes(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Find routes that no request reaches, that are insecure or lack what they refer to; 1 if any.

    Routes that are switched off are not looked at, unless they cannot be used at all. Variables are those of
    this shell: the gateway may have others.

    Examples:
      fastgate routes lint
      fastgate routes lint --json
    """
    from fastgate_cli.commands.route_findings import find_missing

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        findings, table = find_all(database, invocation.settings.app.system_prefix), read_table(database)
    findings += find_missing(table.compiled, invocation.environ, invocation.reference_folder)
    names = {compiled.route.route_id: compiled.route.route_name for compiled in table.compiled}
    rows = [{**asdict(one), "route_name": names.get(one.route_id, one.route_id)} for one in findings]
    print_rows(rows, COLUMNS, printing, empty="no faults found")
    if findings:
        raise typer.Exit(1)


def find_all(database: Database, system_prefix: str) -> list[Finding]:
    """Return everything there is to find about the routes of a database."""
    from fastgate_cli.commands.route_findings import Finding, find_faults
    from proxy.policy.own_pages import own_paths

    table = read_table(database)
    findings = [Finding(route_id, "error", "unusable", problem) for route_id, problem in table.problems]
    return [*findings, *find_faults(table.compiled, own_paths(system_prefix))]
