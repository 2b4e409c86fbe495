"""`fastgate config set` and `unset`: one setting of the file, every other byte of it as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.commands.config_columns import COLUMNS, SettingName, describe_setting
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import Format, OutputOptions, print_note, print_written, read_output_options
from proxy.errors import FastGateError, InvalidInputError

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.settings.search import FoundFile

_ENVIRONMENT = "environment:"


def set_value(
    ctx: typer.Context,
    name: SettingName,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A list is written [a, b] or a,b.")],
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Set one setting in the configuration file. Comments, order and layout of the file stay as they are.

    The file as it would be is checked first; if anything in it is invalid, it is left as it was.

    Examples:
      fastgate config set proxy.timeout 600
      fastgate config set security.trusted_proxies 10.0.0.0/8,192.168.0.0/16
      fastgate config set security.admin_token '${ADMIN_TOKEN:?set it}'
    """
    from proxy.settings.editing import find_setting, set_setting

    invocation = invocation_of(ctx)
    options = _read_output(output, as_json=as_json, fields=fields)
    find_setting(name)
    _change(
        invocation, name, lambda found: set_setting(found, name, value, invocation.environ), dry_run, options
    )


def unset_value(
    ctx: typer.Context,
    name: SettingName,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Take one setting out of the configuration file, so that its default holds.

    Examples:
      fastgate config unset proxy.timeout
    """
    from proxy.settings.editing import find_setting, unset_setting

    invocation = invocation_of(ctx)
    options = _read_output(output, as_json=as_json, fields=fields)
    find_setting(name)
    environ = invocation.environ
    _change(invocation, name, lambda found: unset_setting(found, name, environ), dry_run, options)


def _read_output(output: Format | None, *, as_json: bool, fields: str | None) -> OutputOptions:
    # Not with the configured zone: the file may be invalid, and this the command that mends it.
    zone = OutputOptions().zone
    return read_output_options(output, as_json=as_json, fields=fields, zone=zone, columns=COLUMNS)


def _change(
    invocation: Invocation,
    name: str,
    change: Callable[[FoundFile], tuple[FoundFile, Settings]],
    dry_run: bool,
    options: OutputOptions,
) -> None:
    from fastgate_cli.rewriting import rewrite_file
    from proxy.settings.listing import list_settings
    from proxy.settings.search import find_file

    found = find_file(invocation.config_file, invocation.environ, invocation.folder)
    if found is None:
        raise InvalidInputError("there is no configuration file", hint="'fastgate init' writes one")
    before = _read_before(invocation)
    new, settings = change(found)
    if new.content != found.content and not dry_run:
        rewrite_file(found.path, found.content, new.content)
    setting = next(one for one in list_settings(settings) if one.name == name)
    print_written([describe_setting(setting)], COLUMNS, options, single=True)
    if new.content == found.content:
        print_note(f"{found.name} is as it was: it says so already")
    if setting.origin.startswith(_ENVIRONMENT):
        variable = setting.origin.removeprefix(_ENVIRONMENT)
        print_note(f"note: the environment variable {variable} is stronger than the file")
    if new.content != found.content:
        _note_gateway(before or settings, name)
    note_dry_run(dry_run)


def _read_before(invocation: Invocation) -> Settings | None:
    try:
        return invocation.settings
    except FastGateError:
        return None


def _note_gateway(settings: Settings, name: str) -> None:
    """Say what a running gateway needs to take the change; it is found by what its settings were."""
    from proxy.running import read_running
    from proxy.supervisor import FIXED

    try:
        note = read_running(settings.audit.directory)
    except FastGateError:
        return
    if name == "audit.directory":
        print_note(f"the running gateway ({note.pid}) is not found there; end it with 'kill {note.pid}'")
    elif name in FIXED:
        print_note(f"the running gateway ({note.pid}) takes it when it is started again")
    else:
        print_note(f"the running gateway ({note.pid}) takes it with 'fastgate reload'")
