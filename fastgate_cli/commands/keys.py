"""`fastgate keys`: API keys, who may use the gateway. Only `create` and `rotate` print a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import typer

from fastgate_cli.commands.key_changes import update_keys
from fastgate_cli.commands.key_columns import COLUMNS, SOURCE_COLUMNS, focus_columns
from fastgate_cli.commands.key_creation import create_key
from fastgate_cli.commands.key_deletion import delete_keys
from fastgate_cli.commands.key_options import SourceOption
from fastgate_cli.commands.key_rotation import rotate_key
from fastgate_cli.commands.key_show import show_keys
from fastgate_cli.commands.key_switches import disable_keys, enable_keys
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, LimitOption, OutputOption
from fastgate_cli.output import print_rows
from proxy.clock import parse_moment
from proxy.errors import InvalidInputError

app = typer.Typer(
    help="""
    API keys: who may use the gateway, for how long, and for which routes.

    Examples:
      fastgate keys create --source mobile-app --expires 90d
      fastgate keys list --active
      fastgate keys rotate key_01jd2m5n8r9xq4t7w0z3v6b1ca --grace 24h
      fastgate keys disable --source mobile-app
    """
)

_EMPTY = "no keys; 'fastgate keys create' makes one"

app.command("create")(create_key)


@app.command("list")
def list_keys(
    ctx: typer.Context,
    source: SourceOption = None,
    active: Annotated[bool, typer.Option("--active", help="Only keys that work.")] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Only keys that are switched off.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Only keys whose time is over.")] = False,
    unused: Annotated[
        str | None,
        typer.Option("--unused", metavar="30d", help="Only keys that let nothing through for that long."),
    ] = None,
    expiring: Annotated[
        str | None,
        typer.Option("--expiring", metavar="7d", help="Only keys that work now and end within that time."),
    ] = None,
    limit: LimitOption = 0,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List the keys, oldest first. Secrets are not among them: nobody has them.

    A key that was never used counts as unused from its creation on, so that new ones are not among the
    unused. Keys that are expiring come in the order of their ends.

    Examples:
      fastgate keys list
      fastgate keys list --source mobile-app --active
      fastgate keys list --unused 30d
      fastgate keys list --expiring 7d
      fastgate keys list -o id --expired
    """
    from proxy.store.keys import list_keys

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    status = _read_status(active=active, disabled=disabled, expired=expired)
    if expiring is not None and status not in (None, "active"):
        raise InvalidInputError(
            f"a key that is {status} does not end any more", hint="leave out --expiring or the other"
        )
    unused_since = _read_moment("--unused", unused, invocation, future=False)
    expiring_until = _read_moment("--expiring", expiring, invocation, future=True)
    columns = focus_columns("source_path", "status", "last_used_at", "created_at") if unused else COLUMNS
    with invocation.reading() as database:
        rows = list_keys(
            database,
            source=source,
            status=status,
            unused_since=unused_since,
            expiring_until=expiring_until,
            now=invocation.now,
            limit=limit,
        )
    is_filtered = any(value is not None for value in (source, status, unused, expiring))
    print_rows(
        rows,
        columns if options.is_drawn else COLUMNS,
        options,
        empty="no such keys" if is_filtered else _EMPTY,
    )


app.command("show")(show_keys)
app.command("update")(update_keys)
app.command("rotate")(rotate_key)
app.command("enable")(enable_keys)
app.command("disable")(disable_keys)
app.command("delete")(delete_keys)


@app.command("sources")
def list_sources(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List the sources of keys, by name: how many keys each has, and how much they were used.

    Examples:
      fastgate keys sources
      fastgate keys sources --json
    """
    from proxy.store.key_sources import list_key_sources

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=SOURCE_COLUMNS)
    with invocation.reading() as database:
        rows = list_key_sources(database, now=invocation.now)
    print_rows(rows, SOURCE_COLUMNS, options, empty=_EMPTY)


def _read_status(
    *, active: bool, disabled: bool, expired: bool
) -> Literal["active", "disabled", "expired"] | None:
    if (active, disabled, expired).count(True) > 1:
        raise InvalidInputError(
            "a key has one status", hint="give only one of --active, --disabled and --expired"
        )
    return "active" if active else "disabled" if disabled else "expired" if expired else None


def _read_moment(option: str, text: str | None, invocation: Invocation, *, future: bool) -> datetime | None:
    if text is None:
        return None
    now = invocation.now
    moment = parse_moment(text, now=now, zone=invocation.settings.app.timezone, future=future)
    if (moment < now) if future else (moment > now):
        raise InvalidInputError(
            f"{option} {text!r} lies {'behind' if future else 'ahead'}", hint="write it as 7d or 30d"
        )
    return moment
