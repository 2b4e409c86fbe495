"""`fastgate doctor`: look at everything that a gateway needs, and say what mends what is not right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.checks import COLUMNS, print_checks
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import read_output_options
from proxy.clock import STORAGE_TIMEZONE
from proxy.errors import FastGateError

if TYPE_CHECKING:
    from proxy.checks.result import Check


def doctor(
    ctx: typer.Context,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0.001,
            max=3_600,
            help="Seconds for each connection; default proxy.connect_timeout.",
        ),
    ] = None,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Look at everything that a gateway needs, and say what mends what is not right; 1 for a fault.

    It creates nothing, writes nothing and sends no request to a backend. Warnings alone end with 0.

    Examples:
      fastgate doctor
      fastgate doctor --json
    """
    invocation = invocation_of(ctx)
    # Not the configured zone: there may be no configuration that can be read.
    printing = read_output_options(
        output, as_json=as_json, fields=fields, zone=STORAGE_TIMEZONE, columns=COLUMNS
    )
    print_checks(run_checks(invocation, timeout), printing)


def run_checks(invocation: Invocation, timeout_seconds: float | None) -> Iterator[Check]:
    """Yield the results for the configuration in force, or of what there is without one that can be used."""
    from proxy.checks.examination import Subject, examine, examine_broken

    try:
        settings = invocation.settings
        subject = Subject(
            settings,
            invocation.environ,
            invocation.reference_folder,
            invocation.now,
            timeout_seconds or settings.proxy.connect_timeout,
        )
    except FastGateError as error:
        yield from examine_broken(error, invocation.now)
    else:
        yield from examine(subject)
