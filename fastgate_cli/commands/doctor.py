"""`fastgate doctor`: look at everything that a gateway needs, and say what mends what is not right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Column, Step
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_rows, read_output_options
from proxy.clock import STORAGE_TIMEZONE
from proxy.errors import FastGateError

if TYPE_CHECKING:
    from proxy.checks.result import Check

COLUMNS = (Column("check"), Column("status"), Column("detail"), Column("fix"))
_NAME_WIDTH = 13  # of the longest name of a check


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
    counts: Counter[str] = Counter()
    checks = _count(run_checks(invocation, timeout), counts)
    if printing.is_drawn and not printing.fields:
        _draw(checks, counts)
    else:
        print_rows(map(asdict, checks), COLUMNS, printing)
    if counts["failed"]:
        raise typer.Exit(FAILED)


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


def describe_counts(counts: Counter[str]) -> str:
    """Return the summary: how many of each, what has to be mended first."""
    parts = [f"{counts['failed']} failed"] if counts["failed"] else []
    if warnings := counts["warning"]:
        parts.append(f"{warnings} warning{'s' if warnings > 1 else ''}")
    return ", ".join([*parts, f"{counts['passed']} passed"])


def _count(checks: Iterator[Check], counts: Counter[str]) -> Iterator[Check]:
    for check in checks:
        counts[check.status] += 1
        yield check


def _draw(checks: Iterator[Check], counts: Counter[str]) -> None:
    from fastgate_cli.drawing import draw_step

    for check in checks:
        draw_step(Step(check.status, check.check, check.detail, check.fix), _NAME_WIDTH)
    print(f"\n{describe_counts(counts)}", flush=True)  # noqa: T201
