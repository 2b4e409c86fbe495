"""`fastgate keys delete`: keys that are gone for good, and the question before it."""

from __future__ import annotations

from typing import Annotated

import typer

from fastgate_cli.commands.key_columns import COLUMNS, describe_keys
from fastgate_cli.commands.key_options import EveryOption, SourceOption
from fastgate_cli.commands.key_selection import read_selection
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OptionalKeyIds,
    OutputOption,
    YesOption,
    confirm_or_exit,
    describe_deletion,
    note_dry_run,
)
from fastgate_cli.output import print_written


def delete_keys(
    ctx: typer.Context,
    key_ids: OptionalKeyIds = None,
    source: SourceOption = None,
    expired: Annotated[bool, typer.Option("--expired", help="Keys whose time is over.")] = False,
    everything: EveryOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Delete keys for good. Their rows in the audit trail stay.

    The question says which of them have let a request through within the last day.

    Examples:
      fastgate keys delete key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys delete --expired -y
      fastgate keys list --unused 90d -o id | xargs fastgate keys delete -y
    """
    from proxy.store.keys import delete_keys

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    selection = read_selection(key_ids, source, everything, expired)
    known = selection.find(invocation)
    if known:
        confirm_or_exit(f"delete {describe_keys(known, invocation.now)}", yes=yes or dry_run)
    with invocation.changing(dry_run=dry_run) as database:
        # By their ids: a key that has come since is none that somebody agreed to delete.
        rows = delete_keys(database, [row["key_id"] for row in known], now=invocation.now)
    print_written(rows, COLUMNS, options, single=len(selection.key_ids) == 1, empty="no such keys")
    note_dry_run(dry_run, done=describe_deletion(len(rows), "key", options))
