"""How results of checks are printed: each with what mends it, and an exit code that says how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from fastgate_cli.columns import Column, Step
from fastgate_cli.failures import FAILED
from fastgate_cli.output import OutputOptions, print_rows

if TYPE_CHECKING:
    from proxy.checks.result import Check

COLUMNS = (Column("check"), Column("status"), Column("detail"), Column("fix"))
_NAME_WIDTH = 13  # of the longest name of a check


def print_checks(checks: Iterator[Check], options: OutputOptions) -> None:
    """Print results as they come; one that failed ends the command with 1, warnings alone do not."""
    counts: Counter[str] = Counter()
    counted = _count(checks, counts)
    if options.is_drawn and not options.fields:
        _draw(counted, counts)
    else:
        print_rows(map(asdict, counted), COLUMNS, options)
    if counts["failed"]:
        raise typer.Exit(FAILED)


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
