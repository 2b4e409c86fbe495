"""`fastgate config`: the settings in force and where they came from, and the file that holds them."""

from __future__ import annotations

from typing import Annotated

import typer

from fastgate_cli.columns import Column
from fastgate_cli.commands.config_changes import set_value, unset_value
from fastgate_cli.commands.config_columns import (
    COLUMNS,
    ORIGIN_COLUMNS,
    SettingName,
    describe_setting,
    print_setting,
)
from fastgate_cli.commands.config_validation import validate_file
from fastgate_cli.context import invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import OutputOptions, print_note, print_object, print_rows, read_output_options

app = typer.Typer(
    help="""
    The configuration: what is in force, where it came from, and changes to its file.

    Examples:
      fastgate config show --origin
      fastgate config set proxy.timeout 600
      fastgate config validate
    """
)
app.command("set")(set_value)
app.command("unset")(unset_value)
app.command("validate")(validate_file)

_PATH_COLUMNS = (Column("path"),)


@app.command("show")
def show_settings(
    ctx: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say of each where it came from: default, file or environment.")
    ] = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Show every setting as it is in force. Secrets are masked.

    In data, sizes are bytes and times are seconds.

    Examples:
      fastgate config show
      fastgate config show --origin
      fastgate config show --json | jq '.[] | select(.origin != "default")'
    """
    from proxy.settings.listing import list_settings

    invocation = invocation_of(ctx)
    columns = ORIGIN_COLUMNS if origin else COLUMNS
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=columns)
    print_rows(map(describe_setting, list_settings(invocation.settings)), columns, options)
    if options.is_drawn:
        print_note(f"from {invocation.settings.source or 'no file: the defaults hold'}")


@app.command("get")
def get_setting(
    ctx: typer.Context,
    name: SettingName,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Print one setting as it is in force: the value alone. A list is JSON; a secret is masked.

    Examples:
      fastgate config get app.port
      fastgate config get proxy.strip_headers --json
    """
    from proxy.settings.editing import find_setting
    from proxy.settings.listing import list_settings

    invocation = invocation_of(ctx)
    find_setting(name)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    print_setting(next(one for one in list_settings(invocation.settings) if one.name == name), options)


@app.command("path")
def show_path(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Print the path of the configuration file in use. The exit code is 1 if there is none.

    Examples:
      fastgate config path
      $EDITOR "$(fastgate config path)"
    """
    from proxy.settings.search import find_file

    invocation = invocation_of(ctx)
    # The file may be one that cannot be used: its place is what is asked for.
    options = read_output_options(
        output, as_json=as_json, fields=fields, zone=OutputOptions().zone, columns=_PATH_COLUMNS
    )
    found = find_file(invocation.config_file, invocation.environ, invocation.folder)
    if found is None:
        print_note("there is no configuration file, the defaults hold; 'fastgate init' writes one")
        raise typer.Exit(FAILED)
    if options.format is None:
        print(found.path, flush=True)  # noqa: T201
    else:
        print_object({"path": str(found.path)}, _PATH_COLUMNS, options)
