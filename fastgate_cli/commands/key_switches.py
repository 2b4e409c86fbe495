"""`fastgate keys enable` and `disable`: keys switched on and off, one, several or many at once."""

from __future__ import annotations

import sys

import typer

from fastgate_cli.commands.key_columns import COLUMNS, describe_keys
from fastgate_cli.commands.key_options import EveryOption, SourceOption
from fastgate_cli.commands.key_selection import KeySelection, read_selection
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OptionalKeyIds,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import OutputOptions, print_written


def enable_keys(
    ctx: typer.Context,
    key_ids: OptionalKeyIds = None,
    source: SourceOption = None,
    everything: EveryOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch keys on again. A running gateway knows within a second.

    On a terminal --source and --all say first how many keys would change, and ask.

    Examples:
      fastgate keys enable key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys enable --source mobile-app
      fastgate keys enable --all -y
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    selection = read_selection(key_ids, source, everything)
    _switch(True, selection, invocation, options, yes=yes, dry_run=dry_run)


def disable_keys(
    ctx: typer.Context,
    key_ids: OptionalKeyIds = None,
    source: SourceOption = None,
    everything: EveryOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Switch keys off, to be switched on again. A running gateway refuses them within a second.

    On a terminal --source and --all say first how many keys would change, and ask.

    Examples:
      fastgate keys disable key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys disable --source mobile-app
      fastgate keys disable --all -n
    """
    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    selection = read_selection(key_ids, source, everything)
    _switch(False, selection, invocation, options, yes=yes, dry_run=dry_run)


def _switch(
    active: bool,
    selection: KeySelection,
    invocation: Invocation,
    options: OutputOptions,
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    from proxy.store.keys import set_keys_active

    # A switch can be switched back, so that a script needs no -y; a person may have mistyped.
    if selection.is_bulk and sys.stdin.isatty() and not (yes or dry_run):
        _confirm(active, selection, invocation)
    with invocation.changing(dry_run=dry_run) as database:
        rows = set_keys_active(
            database,
            active,
            key_ids=selection.key_ids,
            source=selection.source,
            everything=selection.everything,
            now=invocation.now,
        )
    print_written(rows, COLUMNS, options, single=len(selection.key_ids) == 1, empty="no such keys")
    note_dry_run(dry_run)


def _confirm(active: bool, selection: KeySelection, invocation: Invocation) -> None:
    changing = [row for row in selection.find(invocation) if bool(row["is_active"]) != active]
    if changing:
        verb = "enable" if active else "disable"
        confirm_or_exit(f"{verb} {describe_keys(changing, invocation.now)}", yes=False)
