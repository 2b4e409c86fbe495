"""`fastgate db downgrade`: migrations taken back, for a return to an older FastGate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fastgate_cli.columns import Column, format_minute
from fastgate_cli.context import invocation_of
from fastgate_cli.options import (
    Completions,
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
    pick_completions,
)
from fastgate_cli.output import print_note, print_rows
from proxy.errors import ConflictError

COLUMNS = (Column("name", "migration"), Column("applied", text=format_minute))


def complete_migrations(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the migrations that were applied and begin as typed, with when that was."""
    from proxy.store.database import migration_status

    with invocation_of(ctx).glancing() as database:
        rows = migration_status(database)
    applied = [(row["name"], f"applied {row['applied']:%Y-%m-%d %H:%M}") for row in rows if row["applied"]]
    return pick_completions(applied, incomplete)


def downgrade_database(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="NAME",
            help="The migration to go back to, which stays.",
            autocompletion=complete_migrations,
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Take back the newest migration, or all after --to, with what they added. The gateway has to be stopped.

    This FastGate applies them again at its next write: go on with the older one. Make a backup before.

    Examples:
      fastgate db downgrade --dry-run
      fastgate db downgrade
      fastgate db downgrade --to 0001_initial -y
    """
    from proxy.settings import database_path
    from proxy.store.database import open_database
    from proxy.store.downgrade import choose_downgrade, downgrade

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    path = database_path(invocation.settings)
    with (
        _gateway_kept_away(invocation.settings.audit.directory),
        open_database(path, create=False, allow_pending=True) as database,
    ):
        names = choose_downgrade(database, to)
        if names and not dry_run:
            confirm_or_exit(f"take back {', '.join(names)}, and delete what they added", yes=yes)
            downgrade(database, names)
    rows = [{"name": name, "applied": None} for name in names]
    print_rows(rows, COLUMNS, options, empty="nothing to take back")
    if names and not dry_run and options.is_drawn:
        print_note("taken back; go on with the older FastGate, this one would apply them again")
    note_dry_run(dry_run)


@contextmanager
def _gateway_kept_away(directory: Path) -> Iterator[None]:
    """Refuse while the gateway of this configuration runs, and keep one from starting meanwhile."""
    from proxy.running import RunningFile

    if not directory.is_dir():
        yield  # no gateway has ever run here
        return
    try:
        claim = RunningFile(directory)
    except ConflictError:
        raise ConflictError(
            "the gateway of this configuration is running", hint="'fastgate stop' ends it; then try again"
        ) from None
    with claim:
        yield
