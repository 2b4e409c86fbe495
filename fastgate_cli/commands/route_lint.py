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
    Column("route_id", "route"),
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
    """Find routes that no request reaches, and routes that are insecure. Ends with 1 if there are any.

    Routes that are switched off are not looked at, unless they cannot be used at all.

    Examples:
      fastgate routes lint
      fastgate routes lint --json
    """
    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        findings = find_all(database, invocation.settings.app.system_prefix)
    print_rows([asdict(finding) for finding in findings], COLUMNS, printing, empty="no faults found")
    if findings:
        raise typer.Exit(1)


def find_all(database: Database, system_prefix: str) -> list[Finding]:
    """Return everything there is to find about the routes of a database."""
    from fastgate_cli.commands.route_findings import Finding, find_faults

    table = read_table(database)
    own_paths = frozenset(system_prefix + path for path in ("/", "/health", "/metrics"))
    findings = [Finding(route_id, "error", "unusable", problem) for route_id, problem in table.problems]
    return [*findings, *find_faults(table.compiled, own_paths)]
