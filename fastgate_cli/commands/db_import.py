"""`fastgate db import`: keys, routes and, if wanted, the audit trail of M-FastGate, the predecessor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastgate_cli.commands.import_report import COLUMNS, REPORT_COLUMNS, find_insecure, print_report
from fastgate_cli.commands.route_lint import find_all
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import print_note
from fastgate_cli.progress import show_progress
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from fastgate_cli.commands.route_findings import Finding
    from proxy.predecessor.plan import Part, Plan, Wishes
    from proxy.predecessor.reading import PredecessorDatabase

_PARTS: tuple[Part, ...] = ("keys", "routes", "logs")


def import_database(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The database of M-FastGate 0.2 to 0.4.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="A,B", help="Of keys, routes and logs; default keys,routes."),
    ] = None,
    logs: Annotated[
        bool, typer.Option("--logs/--no-logs", help="The audit trail too, or not (the default).")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="ID", help="Leave out this key or route. Repeatable."),
    ] = None,
    on_conflict: Annotated[
        Literal["fail", "skip", "replace"],
        typer.Option("--on-conflict", help="What to do about ids, secrets and names that are there already."),
    ] = "fail",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse if anything would not be just as it was.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Take over the database of M-FastGate: all that is asked for, or, if something is refused, nothing.

    FILE is only read. Existing clients keep their keys, of which only digests are stored. Routes are made to
    send the same requests to the same URLs. Prints what was changed and why, and what 'routes lint' finds
    since.

    Examples:
      fastgate db import /opt/m-fastgate/fastgate.db --dry-run
      fastgate db import /opt/m-fastgate/fastgate.db
      fastgate db import old.db --only logs
      fastgate db import old.db --logs --on-conflict skip --json
    """
    from proxy.predecessor.plan import build_plan
    from proxy.predecessor.reading import open_predecessor

    invocation = invocation_of(ctx)
    is_json = as_json or output == "json"
    columns = REPORT_COLUMNS if is_json else COLUMNS
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=columns)
    parts = read_parts(only or (), logs=logs)
    path = invocation.folder / file.expanduser()
    _check_other_file(invocation, path)
    wishes = _build_wishes(invocation, parts, on_conflict, strict, without or ())
    with open_predecessor(path) as old:
        plan = build_plan(old, wishes)
        if not invocation.database_exists():
            plan.refuse_problems()  # now, because opening the database would create it
        elif on_conflict == "replace" and not dry_run:
            _confirm_replacing(invocation, old, plan, wishes, yes=yes)
        try:
            findings = _write(invocation, old, plan, wishes, dry_run=dry_run)
        except KeyboardInterrupt:
            print_note("interrupted: nothing was written")
            raise
    print_report(invocation, plan, findings, options, dry_run=dry_run)
    note_dry_run(dry_run)


def read_parts(only: list[str] | tuple[()], *, logs: bool) -> frozenset[Part]:
    """Return what is to be imported, from `--only` and `--logs`."""
    words = [word.strip() for text in only for word in text.split(",")]
    if unknown := [word for word in words if word not in _PARTS]:
        raise InvalidInputError(
            f"{unknown[0]!r} is nothing to import", hint="--only takes keys, routes and logs, with commas"
        )
    parts = {part for part in _PARTS if part in words} or {"keys", "routes"}
    return frozenset(parts | {"logs"} if logs else parts)


def _check_other_file(invocation: Invocation, path: Path) -> None:
    from proxy.settings import database_path

    target = database_path(invocation.settings)
    try:
        is_same = path.samefile(target)
    except OSError:
        return
    if is_same:
        raise InvalidInputError(
            f"{path} is the very database that would be imported into",
            hint="set database.url to another file, which need not exist",
        )


def _build_wishes(
    invocation: Invocation,
    parts: frozenset[Part],
    on_conflict: Literal["fail", "skip", "replace"],
    strict: bool,
    without: list[str] | tuple[()],
) -> Wishes:
    from proxy.audit.trail import build_audit_policy
    from proxy.predecessor.plan import Wishes

    return Wishes(
        parts=parts,
        on_conflict=on_conflict,
        strict=strict,
        without=frozenset(without),
        retries_max=invocation.settings.proxy.max_retries,
        redacted=build_audit_policy(invocation.settings.audit).redacted,
    )


def _confirm_replacing(
    invocation: Invocation, old: PredecessorDatabase, plan: Plan, wishes: Wishes, *, yes: bool
) -> None:
    from proxy.predecessor.importing import find_clashes

    plan.refuse_problems()
    with invocation.reading() as database:
        clashes = find_clashes(database, old, plan, wishes)
    if clashes and not yes:
        for clash in clashes:
            print_note(clash)
        confirm_or_exit("replace what is there already", yes=yes)


def _write(
    invocation: Invocation, old: PredecessorDatabase, plan: Plan, wishes: Wishes, *, dry_run: bool
) -> list[Finding]:
    """Write the plan in one transaction; return what `routes lint` finds about its routes, or since then."""
    from proxy.predecessor.importing import write_plan

    total = plan.tallies["logs"].found
    prefix = invocation.settings.app.system_prefix
    with (
        invocation.writing(dry_run=dry_run) as database,
        database.transaction(),
        show_progress("importing requests") as report,
    ):
        before = set(find_all(database, prefix))
        write_plan(database, old, plan, wishes, invocation.now, lambda done: report(done, total))
        imported = {row["route_id"] for row in plan.routes}
        found = find_all(database, prefix) if imported else []
        new = [finding for finding in found if finding.route_id in imported or finding not in before]
        return [*new, *find_insecure(plan)]
