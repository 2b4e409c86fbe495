"""What `fastgate db import` says in the end: what came over, what was changed and why, what to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastgate_cli.columns import Column, Row
from fastgate_cli.context import Invocation
from fastgate_cli.headers import find_bare_credentials
from fastgate_cli.output import OutputOptions, print_note, print_object, print_rows

if TYPE_CHECKING:
    from fastgate_cli.commands.route_findings import Finding
    from proxy.predecessor.plan import Plan

_LEVEL_STYLES = {"error": "red", "warning": "yellow", "changed": "dim"}
_NOUNS = (("keys", "key"), ("routes", "route"), ("logs", "request"))


def describe_row(row: Row) -> str:
    """Return what a line is about, in one text."""
    return f"{row['kind']} {row['id']}".strip()


COLUMNS = (
    Column("id", shown="data"),
    Column("kind", shown="data"),
    Column("row", "what", shown="display", value=describe_row, elastic=True, wraps=True),
    Column("level", style=lambda level: _LEVEL_STYLES.get(level, "")),
    Column("column", elastic=True, wraps=True),
    Column("message", elastic=True, wraps=True),
    Column("count", shown="data", justify="right"),
)
REPORT_COLUMNS = tuple(
    map(Column, ("source", "database", "dry_run", "keys", "routes", "logs", "changes", "findings"))
)


def find_insecure(plan: Plan) -> Iterator[Finding]:
    """Yield the secrets in imported routes that `routes lint` passes over: of those that are switched off."""
    from fastgate_cli.commands.route_findings import Finding, describe_bare

    for row in plan.routes:
        for name in find_bare_credentials(row["add_headers"]) if not row["is_active"] else ():
            yield Finding(row["route_id"], "warning", "insecure", describe_bare(name))


def print_report(
    invocation: Invocation,
    plan: Plan,
    findings: Sequence[Finding],
    options: OutputOptions,
    *,
    dry_run: bool,
) -> None:
    """Print the report: an object as JSON, else the changes and findings as rows and the counts as notes."""
    from proxy.settings import database_path

    target = database_path(invocation.settings)
    if options.chosen == "json":
        report: dict[str, Any] = {
            "source": str(plan.source),
            "database": str(target),
            "dry_run": dry_run,
            **{part: asdict(tally) for part, tally in plan.tallies.items()},
            "changes": [asdict(note) for note in plan.notes],
            "findings": [asdict(finding) for finding in findings],
        }
        print_object(report, REPORT_COLUMNS, options)
    else:
        print_rows([*_build_rows(plan, findings)], COLUMNS, options)
    verb = "would import" if dry_run else "imported"
    print_note(f"{verb} {_count(plan, 'imported')} into {target}")
    for what in ("replaced", "skipped"):
        if any(getattr(tally, what) for tally in plan.tallies.values()):
            print_note(f"{what}: {_count(plan, what)}")
    left = plan.tallies["logs"]
    if left.found and not left.imported and not left.skipped:
        print_note(f"the {left.found} requests of its audit trail stay there; '--only logs' imports them")


def _build_rows(plan: Plan, findings: Sequence[Finding]) -> Iterator[dict[str, Any]]:
    for note in plan.notes:
        message = f"{note.message} ({note.count})" if note.kind == "log" else note.message
        yield {**asdict(note), "message": message}
    for finding in findings:
        yield {
            "kind": "route",
            "id": finding.route_id,
            "level": finding.level,
            "column": finding.rule,
            "message": finding.message,
            "count": 1,
        }


def _count(plan: Plan, what: str) -> str:
    numbers = [(getattr(plan.tallies[part], what), noun) for part, noun in _NOUNS]  # type: ignore[index]
    words = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in numbers if number]
    return ", ".join(words) or "nothing"
