"""How a new secret is shown, this once: in a panel, in the field `key`, or alone on a line of a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fastgate_cli.columns import Column
from fastgate_cli.commands.key_columns import COLUMNS, SECRET_COLUMNS, sheet_columns
from fastgate_cli.failures import UnwrittenError
from fastgate_cli.options import note_dry_run
from fastgate_cli.output import OutputOptions, print_note, print_object


def print_secret(
    title: str, row: Mapping[str, Any], secret: str, facts: Mapping[str, str], options: OutputOptions
) -> None:
    """Print a key with its secret. `facts` are what a person is told beside it.

    Raises `UnwrittenError` if it cannot be printed: the key is there, and nobody has its secret.
    """
    try:
        _print(title, row, secret, facts, options)
        sys.stdout.flush()
    except OSError as error:
        raise UnwrittenError(
            f"the secret of {row['key_id']} could not be written, and is kept nowhere: {error.strerror}",
            hint=f"'fastgate keys rotate {row['key_id']}' gives it another",
        ) from error


def _print(
    title: str, row: Mapping[str, Any], secret: str, facts: Mapping[str, str], options: OutputOptions
) -> None:
    if options.is_drawn and not options.fields:
        from fastgate_cli.drawing import draw_secret

        return draw_secret(title, secret, facts, "Shown once and kept nowhere: copy it now.")
    if options.format is None and not options.fields:
        print(secret, flush=True)  # noqa: T201
        return None
    print_object({**row, "key": secret}, SECRET_COLUMNS, options)
    if options.chosen == "id" or (options.fields and "key" not in options.fields):
        print_note("note: the secret was not asked for, and cannot be shown again")
    return None


def print_unwritten(row: Mapping[str, Any], options: OutputOptions) -> None:
    """Print a key after a dry run, and say so: a secret that will never work is better not shown."""
    columns: Sequence[Column] = SECRET_COLUMNS if "key" in options.fields else COLUMNS
    if options.is_drawn and not options.fields:
        columns = sheet_columns(row)
    print_object(row, columns, options)
    note_dry_run(True)
