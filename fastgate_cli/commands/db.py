"""`fastgate db`: where the database is, its migrations, and what else is done to it as a whole."""

from __future__ import annotations

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.db_backup import back_up_database
from fastgate_cli.commands.db_check import check_database
from fastgate_cli.commands.db_compact import compact_database
from fastgate_cli.commands.db_downgrade import COLUMNS, downgrade_database
from fastgate_cli.commands.db_import import import_database
from fastgate_cli.context import invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import print_note, print_object, print_rows

app = typer.Typer(
    help="""
    The database: where it is, its migrations, checks, backups, and taking over the predecessor's.

    Examples:
      fastgate db status
      fastgate db upgrade
      fastgate db check
      fastgate db compact
      fastgate db backup /var/backups/fastgate.db
      fastgate db import /opt/m-fastgate/fastgate.db --dry-run
      sqlite3 -readonly "$(fastgate db path)"
    """
)

_PATH_COLUMNS = (Column("path"),)


@app.command("status")
def show_status(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """List the migrations, and when each was applied. The exit code is 1 if one is pending.

    Examples:
      fastgate db status
      fastgate db status --json
    """
    from proxy.settings import database_path
    from proxy.store.database import migration_status, open_database

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    path = database_path(invocation.settings)
    with open_database(path, create=False, allow_pending=True) as database:
        rows = migration_status(database)
    print_rows(rows, COLUMNS, options)
    if any(row["applied"] is None for row in rows):
        if options.is_drawn:
            print_note("pending; 'fastgate db upgrade' applies them")
        raise typer.Exit(FAILED)


@app.command("upgrade")
def upgrade_database(
    ctx: typer.Context,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Apply the pending migrations, and create the database if there is none. Prints what was applied.

    Examples:
      fastgate db upgrade
      fastgate db upgrade --dry-run
    """
    from proxy.settings import database_path
    from proxy.store.database import migration_status, open_database, upgrade

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    path = database_path(invocation.settings)
    if not invocation.database_exists():
        with invocation.writing(dry_run=dry_run) as database:
            rows = migration_status(database)
    else:
        with open_database(path, create=False, allow_pending=True) as database:
            pending = [row["name"] for row in migration_status(database) if row["applied"] is None]
            names = pending if dry_run else upgrade(database)
            rows = [row for row in migration_status(database) if row["name"] in names]
    print_rows(rows, COLUMNS, options, empty="already up to date")
    note_dry_run(dry_run)


app.command("downgrade")(downgrade_database)
app.command("check")(check_database)
app.command("compact")(compact_database)
app.command("backup")(back_up_database)
app.command("import")(import_database)


@app.command("path")
def show_path(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Print the path of the database file, whether it exists or not.

    Examples:
      sqlite3 -readonly "$(fastgate db path)" 'SELECT count(*) FROM audit_logs'
    """
    from proxy.settings import database_path

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=_PATH_COLUMNS)
    path = str(database_path(invocation.settings))
    if options.format is None:
        print(path, flush=True)  # noqa: T201
    else:
        print_object({"path": path}, _PATH_COLUMNS, options)
