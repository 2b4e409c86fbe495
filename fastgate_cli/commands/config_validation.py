"""`fastgate config validate`: whether a configuration is valid, and whether `serve` could run on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Column, escape_controls
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_rows

if TYPE_CHECKING:
    from fastgate_cli.commands.config_checks import Check

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}
_STATUS_WIDTH, _NAME_WIDTH = 7, 13
COLUMNS = (
    Column("check"),
    Column("status", style=lambda status: _STYLES.get(status, "")),
    Column("detail", elastic=True, wraps=True),
    Column("fix", elastic=True, wraps=True),
)


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
    taken, a folder that cannot be written, a database that cannot be used, a route that refers to nothing.

    Examples:
      fastgate config validate
      fastgate config validate new.yaml && mv new.yaml fastgate.yaml
    """
    from fastgate_cli.commands.config_checks import find_checks

    here = invocation_of(ctx)
    invocation = here if file is None else Invocation(file, here.environ)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    settings = invocation.settings
    folder = settings.source.parent if settings.source else invocation.folder
    checks = list(find_checks(settings, invocation.environ, folder))
    if options.is_drawn and not options.fields:
        from fastgate_cli.drawing import draw_lines

        draw_lines(_draw(checks))
    else:
        print_rows(map(asdict, checks), COLUMNS, options)
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(FAILED)


def _draw(checks: list[Check]) -> Iterator[tuple[str, str]]:
    for check in checks:
        name, detail = escape_controls(check.check), escape_controls(check.detail)
        yield f"{check.status:{_STATUS_WIDTH}}  {name:{_NAME_WIDTH}}  {detail}", _STYLES[check.status]
        if check.fix:
            yield f"{'':{_STATUS_WIDTH}}  {'':{_NAME_WIDTH}}  {escape_controls(check.fix)}", ""
