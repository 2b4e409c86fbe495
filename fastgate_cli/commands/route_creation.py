"""`fastgate routes add`, and how a route is printed: with the secrets in its headers and fields masked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fastgate_cli.columns import (
    Column,
    Row,
    format_flag,
    format_minute,
    style_flag,
    style_method,
    style_quiet,
)
from fastgate_cli.commands.route_columns import check_columns, read_columns
from fastgate_cli.commands.route_options import RouteOptions, with_route_options
from fastgate_cli.context import invocation_of
from fastgate_cli.headers import find_bare_credentials, mask_body_fields, mask_headers
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import print_note, print_written
from proxy.errors import InvalidInputError


def describe_target(row: Row) -> str:
    """Return where a route sends its requests, as one URL, and how many further backends it has."""
    others = f" +{len(row['targets'])}" if row.get("targets") else ""
    return f"{row['target_protocol']}://{row['target_host']}{row['target_path'] or ''}{others}"


COLUMNS = (
    Column("route_id", "id", shown="wide"),
    Column("route_name", "route"),  # the id, where it has no other name
    Column("description", shown="data"),
    Column("match_path", "match", elastic=True),
    Column("match_method", "method", style=style_method, elastic=True),
    Column("match_headers", shown="data"),
    Column("match_body_schema", shown="data"),
    Column("target", shown="display", value=describe_target, elastic=True),
    Column("target_host", shown="data"),
    Column("target_path", shown="data"),
    Column("target_protocol", shown="data"),
    Column("strip_path_prefix", "strip", shown="wide", text=format_flag),
    Column("add_headers", shown="data"),
    Column("add_body_fields", shown="data"),
    Column("remove_headers", shown="data"),
    Column("timeout", shown="wide", justify="right"),
    Column("retry_count", shown="data"),
    Column("targets", shown="data"),
    Column("balance", shown="data"),
    Column("retry_statuses", shown="data"),
    Column("total_timeout", shown="data"),
    Column("http_version", shown="data"),
    Column("tls_ca", shown="data"),
    Column("tls_verify", shown="data"),
    Column("on_client_abort", shown="data"),
    Column("pass_credential", shown="data"),
    Column("encoded_slash", shown="data"),
    Column("keep_redirects", shown="data"),
    Column("is_active", "on", text=format_flag, style=style_flag),
    Column("priority", "prio", justify="right", style=style_quiet),
    Column("created_at", "created", shown="wide", text=format_minute, style=style_quiet),
    Column("updated_at", shown="data"),
)


def mask_route(row: Row) -> dict[str, Any]:
    """Return a route's row as it may be printed."""
    return {
        **row,
        "add_headers": mask_headers(row["add_headers"] or {}),
        "add_body_fields": mask_body_fields(row["add_body_fields"] or {}),
    }


@with_route_options("match", "to")
def add_route(
    ctx: typer.Context,
    options: RouteOptions,
    route_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The id; default is a new one.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Add a route. A running gateway uses it within a second.

    Examples:
      fastgate routes add --match '/v1/*' --to http://127.0.0.1:11434
      fastgate routes add --match '/v1/*' --to https://api.openai.com \\
          --set-header 'Authorization: Bearer ${env:OPENAI_API_KEY}'
      fastgate routes add --match '/llm/*' --to http://gpu:8000/v1 --strip-prefix
      fastgate routes add --match '/v1/*' --to http://gpu:8000 --body model=qwen3
    """
    from proxy.store.routes import NewRoute
    from proxy.store.routes import add_route as store_route

    invocation = invocation_of(ctx)
    printing = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    if route_id == "":
        raise InvalidInputError("--id is empty", hint="leave it out, or give it a value")
    columns = read_columns(options, {"strip_path_prefix": False})
    with invocation.writing(dry_run=dry_run) as database, database.transaction():
        row = store_route(database, NewRoute(**columns, route_id=route_id), invocation.now)
        check_columns(row, retries_max=invocation.settings.proxy.max_retries)
    print_written([mask_route(row)], COLUMNS, printing, single=True)
    note_literals(columns)
    note_dry_run(dry_run)


def note_literals(columns: Row) -> None:
    """Say which of the headers that were just set hold a secret as it is."""
    for bare in find_bare_credentials(columns.get("add_headers", {})):
        print_note(f"note: the value of {bare!r} is stored as written; ${{env:NAME}} would keep it out")
