"""`fastgate routes add`, and how a route is printed: with the secrets in its headers masked."""

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
from fastgate_cli.context import invocation_of
from fastgate_cli.headers import (
    check_name,
    find_bare_credentials,
    mask_headers,
    parse_header_match,
    parse_set_headers,
)
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import print_note, print_written
from proxy.errors import InvalidInputError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ANY_METHOD = "ANY"
_TIMEOUT_SECONDS_MAX = 86_400
_PRIORITY_MAX = 10_000


def describe_target(row: Row) -> str:
    """Return where a route sends its requests, as one URL."""
    return f"{row['target_protocol']}://{row['target_host']}{row['target_path'] or ''}"


COLUMNS = (
    Column("route_id", "route"),
    Column("route_name", "name", shown="wide"),
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
    Column("is_active", "on", text=format_flag, style=style_flag),
    Column("priority", "prio", justify="right", style=style_quiet),
    Column("created_at", "created", shown="wide", text=format_minute, style=style_quiet),
    Column("updated_at", shown="data"),
)


def mask_route(row: Row) -> dict[str, Any]:
    """Return a route's row as it may be printed."""
    return {**row, "add_headers": mask_headers(row["add_headers"] or {})}


def add_route(
    ctx: typer.Context,
    match: Annotated[
        str,
        typer.Option("--match", metavar="PATTERN", help="Paths to serve: '/v1/*', '/user/{id}', '/exact'."),
    ],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The backend; alone it keeps the path.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="A name for people; default is the id.")
    ] = None,
    route_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The id; default is a new one.")
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="M", help="Only this method. Repeatable; none is any."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", metavar="K=V", help="Only with this header; V may hold *, K alone is any value."
        ),
    ] = None,
    target_path: Annotated[
        str | None,
        typer.Option("--target-path", metavar="PATH", help="The path to ask for; may hold {id}, {rest}."),
    ] = None,
    strip_prefix: Annotated[
        bool,
        typer.Option("--strip-prefix", help="Append what follows the pattern's prefix to the target path."),
    ] = False,
    set_header: Annotated[
        list[str] | None,
        typer.Option(
            "--set-header",
            metavar="'K: V'",
            help="Send this header; ${env:NAME} and ${file:PATH} are filled in.",
        ),
    ] = None,
    remove_header: Annotated[
        list[str] | None, typer.Option("--remove-header", metavar="K", help="Do not send this header on.")
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            "--timeout", metavar="S", min=1, max=_TIMEOUT_SECONDS_MAX, help="Seconds of silence to bear."
        ),
    ] = None,
    priority: Annotated[
        int,
        typer.Option("--priority", metavar="N", min=0, max=_PRIORITY_MAX, help="Smaller is tried first."),
    ] = 100,
    disabled: Annotated[bool, typer.Option("--disabled", help="Add it switched off.")] = False,
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
    """
    from proxy.policy.patterns import compile_pattern
    from proxy.policy.targets import parse_target
    from proxy.store.routes import NewRoute
    from proxy.store.routes import add_route as store_route

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    pattern = compile_pattern(match)
    target = parse_target(to, target_path=target_path, strip_prefix=strip_prefix, pattern=pattern)
    set_headers = parse_set_headers(set_header or ())
    for option, text in (("--id", route_id), ("--name", name)):
        if text == "":
            raise InvalidInputError(f"{option} is empty", hint="leave it out, or give it a value")
    route = NewRoute(
        match_path=match,
        match_method=read_methods(method or []),
        match_headers=parse_header_match(header or ()),
        target_host=target.host,
        target_path=target.path,
        target_protocol=target.protocol,
        strip_path_prefix=strip_prefix,
        add_headers=set_headers,
        remove_headers=tuple(check_name(removed.strip(), removed) for removed in remove_header or ()),
        description=description,
        is_active=not disabled,
        priority=priority,
        route_id=route_id,
        route_name=name,
        timeout=timeout,
    )
    with invocation.writing(dry_run=dry_run) as database:
        row = store_route(database, route, invocation.now)
    print_written([mask_route(row)], COLUMNS, options, single=True)
    for bare in find_bare_credentials(set_headers):
        print_note(f"note: the value of {bare!r} is stored as written; ${{env:NAME}} would keep it out")
    note_dry_run(dry_run)


def read_methods(texts: list[str]) -> str:
    """Return the methods of `--method` as the table has them: ANY, or names joined by commas."""
    names = [name.strip().upper() for text in texts for name in text.split(",")]
    if not names or ANY_METHOD in names:
        return ANY_METHOD
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InvalidInputError(
            f"{unknown[0]!r} is not a method that the gateway forwards", hint="methods: " + ", ".join(METHODS)
        )
    return ",".join(dict.fromkeys(names))
