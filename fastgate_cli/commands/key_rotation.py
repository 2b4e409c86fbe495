"""`fastgate keys rotate`: a new secret for a key, while the old one still works for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from fastgate_cli.columns import Row, format_minute
from fastgate_cli.commands.key_columns import SECRET_COLUMNS, describe_obstacle
from fastgate_cli.commands.key_options import ValueOption, read_secret
from fastgate_cli.commands.key_secrets import print_secret, print_unwritten
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    complete_key_ids,
)
from fastgate_cli.output import OutputOptions, print_note
from proxy.clock import parse_duration


def rotate_key(
    ctx: typer.Context,
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of the key.", autocompletion=complete_key_ids)
    ],
    grace: Annotated[
        str,
        typer.Option("--grace", metavar="24h", help="How long the old secret works on; 0 ends it at once."),
    ] = "24h",
    value_stdin: ValueOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Give a key a new secret, shown this once; the old one works until the grace ends.

    Everything else about the key stays. 'keys show' tells whether, and from where, the old secret is still
    used. One old secret is kept: if the key is rotated again, the one before it ends at once.

    Examples:
      fastgate keys rotate key_01jd2m5n8r9xq4t7w0z3v6b1ca
      fastgate keys rotate key_01jd2m5n8r9xq4t7w0z3v6b1ca --grace 7d
      fastgate keys rotate key_01jd2m5n8r9xq4t7w0z3v6b1ca --grace 0    # it leaked
    """
    from proxy.store.key_changes import rotate_key

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=SECRET_COLUMNS)
    length = timedelta(0) if grace == "0" else parse_duration(grace)
    # Before the database is opened: nobody shall wait for somebody who types.
    value = read_secret() if value_stdin else None
    prefix = invocation.settings.security.key_prefix
    with invocation.changing(dry_run=dry_run) as database:
        rotation = rotate_key(
            database, key_id, key_prefix=prefix, grace=length, value=value, now=invocation.now
        )
    row = rotation.row
    if dry_run:
        print_unwritten(row, options)
    else:
        print_secret("new secret", row, rotation.secret, _describe(row, length, options), options)
    if rotation.ended_hint is not None:
        print_note(f"note: the secret before that, {rotation.ended_hint}, still works, and ends with this")
    if obstacle := describe_obstacle(row):
        print_note(f"note: {obstacle}")


def _describe(row: Row, grace: timedelta, options: OutputOptions) -> dict[str, str]:
    ends = format_minute(row["previous_expires_at"], options.zone)
    old = f"{row['previous_key_hint'] or ''} {f'works until {ends}' if grace else 'has ended'}".strip()
    return {"key": row["key_id"], "source": row["source_path"], "old secret": old}
