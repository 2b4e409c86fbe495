"""`fastgate keys`: API keys, made, listed, switched off and deleted. Only `create` prints a secret."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fastgate_cli.commands.key_creation import COLUMNS, create_key
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    KeyIds,
    LimitOption,
    OptionalKeyIds,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import OutputOptions, print_each, print_rows, print_written
from proxy.errors import InvalidInputError

app = typer.Typer(
    help="""
    API keys: who may use the gateway, for how long, and for which routes.

    Examples:
      fastgate keys create --source mobile-app --expires 90d
      fastgate keys list --active
      fastgate keys disable --source mobile-app
    """
)

_EMPTY = "no keys; 'fastgate keys create' makes one"

app.command("create")(create_key)

SourceOption = Annotated[str | None, typer.Option("--source", metavar="NAME", help="Keys of this source.")]


@app.command("list")
def list_keys(
    ctx: typer.Context,
    source: SourceOption = None,
    active: Annotated[bool, typer.Option("--active", help="Only keys that work.")] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Only keys that are switched off.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Only keys whose time is over.")] = False,
    limit: LimitOption = 0,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List the keys, oldest first. Secrets are not among them: nobody has them.

    Examples:
      fastgate keys list
      fastgate keys list --source mobile-app --active
      fastgate keys list -o id --expired
    """
    from proxy.store.keys import list_keys

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    status = _read_status(active=active, disabled=disabled, expired=expired)
    with invocation.reading() as database:
        rows = list_keys(database, source=source, status=status, now=invocation.now, limit=limit)
        empty = _EMPTY if source is None and status is None else "no such keys"
        print_rows(rows, COLUMNS, options, empty=empty)


@app.command("show")
def show_keys(
    ctx: typer.Context,
    key_ids: KeyIds,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show everything about keys, except their secrets.

    Examples:
      fastgate keys show key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys show key_01jd2m5n8r9xq4t7w0z3v6b1ca --json
    """
    from proxy.store.keys import get_key

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        rows = [get_key(database, key_id, now=invocation.now) for key_id in key_ids]
    print_each(rows, COLUMNS, options, single=len(key_ids) == 1)


EveryOption = Annotated[bool, typer.Option("--all", help="Every key there is.")]


@app.command("enable")
def enable_keys(
    ctx: typer.Context,
    key_ids: OptionalKeyIds = None,
    source: SourceOption = None,
    everything: EveryOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch keys on again. A running gateway knows within a second.

    Examples:
      fastgate keys enable key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys enable --source mobile-app
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    _set_active(True, key_ids or [], source, everything, dry_run, invocation, options)


@app.command("disable")
def disable_keys(
    ctx: typer.Context,
    key_ids: OptionalKeyIds = None,
    source: SourceOption = None,
    everything: EveryOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch keys off, to be switched on again. A running gateway refuses them within a second.

    Examples:
      fastgate keys disable key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys disable --source mobile-app
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    _set_active(False, key_ids or [], source, everything, dry_run, invocation, options)


@app.command("delete")
def delete_keys(
    ctx: typer.Context,
    key_ids: KeyIds,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Delete keys for good. Their rows in the audit trail stay.

    Examples:
      fastgate keys delete key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys list --expired -o id | xargs fastgate keys delete -y
    """
    from proxy.store.keys import delete_keys, get_key

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database:
        known = [get_key(database, key_id, now=invocation.now) for key_id in key_ids]
    named = ", ".join(f"{row['key_id']} ({row['source_path']})" for row in known)
    confirm_or_exit(f"delete {named}", yes=yes or dry_run)
    with invocation.writing(dry_run=dry_run) as database:
        rows = delete_keys(database, key_ids, now=invocation.now)
    print_written(rows, COLUMNS, options, single=len(key_ids) == 1)
    note_dry_run(dry_run)


def _set_active(
    active: bool,
    key_ids: list[str],
    source: str | None,
    everything: bool,
    dry_run: bool,
    invocation: Invocation,
    options: OutputOptions,
) -> None:
    from proxy.store.keys import set_keys_active

    if (bool(key_ids), source is not None, everything).count(True) != 1:
        raise InvalidInputError(
            "which keys?", hint="give ids, or --source NAME, or --all, and only one of them"
        )
    # The database must be there already: there is nothing to switch in a new one.
    with invocation.reading():
        pass
    with invocation.writing(dry_run=dry_run) as database:
        rows = set_keys_active(
            database, active, key_ids=key_ids, source=source, everything=everything, now=invocation.now
        )
    print_written(rows, COLUMNS, options, single=len(key_ids) == 1, empty="no such keys")
    note_dry_run(dry_run)


def _read_status(
    *, active: bool, disabled: bool, expired: bool
) -> Literal["active", "disabled", "expired"] | None:
    if (active, disabled, expired).count(True) > 1:
        raise InvalidInputError(
            "a key has one status", hint="give only one of --active, --disabled and --expired"
        )
    return "active" if active else "disabled" if disabled else "expired" if expired else None
