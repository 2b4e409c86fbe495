"""`fastgate config validate`: whether a configuration is valid, and whether `serve` could run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastgate_cli.checks import COLUMNS, print_checks
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption


def validate_file(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A file to look at in place of the one in use.")
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Check a configuration: its syntax and values, and what 'fastgate serve' would meet with it.

    An invalid file is told with every fault and ends with 2. Checks that fail end with 1: a port that is
    taken, a folder that cannot be written, a database that cannot be used or written, a route that refers to
    nothing.

    Examples:
      fastgate config validate
      fastgate config validate new.yaml && mv new.yaml fastgate.yaml
    """
    from proxy.checks.configuration import examine_configuration
    from proxy.checks.examination import Subject

    here = invocation_of(ctx)
    invocation = here if file is None else Invocation(file, here.environ)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    settings, folder = invocation.settings, invocation.reference_folder
    subject = Subject(settings, invocation.environ, folder, invocation.now, settings.proxy.connect_timeout)
    print_checks(examine_configuration(subject), options)
