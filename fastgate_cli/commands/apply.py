"""`fastgate apply` and `diff`: a document against the database, and the database made to agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.columns import Column, Row
from fastgate_cli.context import invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    OutputOption,
    YesOption,
    confirm_or_exit,
    note_dry_run,
)
from fastgate_cli.output import OutputOptions, print_note, print_rows
from proxy.errors import ConflictError, DatabaseError

if TYPE_CHECKING:
    from fastgate_cli.documents.plan import Change

_NAMED_MAX = 5
_KEY = Column("key")
_TO_DO = ("to add", "to change", "to remove")
_DONE = ("added", "changed", "removed")

FileOption = Annotated[
    str, typer.Option("-f", "--file", metavar="FILE", help="The document; - is standard input.")
]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="Also remove what the document lacks, of the sections that it has."),
]


def diff_document(
    ctx: typer.Context,
    file: FileOption,
    prune: PruneOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Tell what in the database is not as the document has it. The exit code is 1 if there is anything.

    Examples:
      fastgate diff -f gateway.yaml
      fastgate diff -f gateway.yaml --prune --json
    """
    from fastgate_cli.documents.showing import COLUMNS, describe_change
    from fastgate_cli.documents.source import read_source
    from fastgate_cli.documents.state import read_state

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    source = read_source(file, invocation)
    try:
        with invocation.reading() as database:
            changes = source.plan(read_state(database, invocation.now), prune=prune)
    except DatabaseError:
        source.raise_faults()  # they can be mended whatever the database is
        raise
    if options.is_drawn and not options.fields:
        _draw(changes, options)
        _print_summary(changes, _TO_DO)
    else:
        print_rows(map(describe_change, changes), COLUMNS, options)
    if changes:
        raise typer.Exit(FAILED)


def apply_document(
    ctx: typer.Context,
    file: FileOption,
    prune: PruneOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Make the database agree with a document: all of it or, if anything is wrong, nothing.

    What changes is shown first, and removals are asked about. The secret of a key that is made is shown this
    once. A running gateway knows within a second.

    Examples:
      fastgate apply -f gateway.yaml -n
      fastgate apply -f gateway.yaml --prune -y
      fastgate export | ssh other fastgate apply -f -
    """
    from fastgate_cli.documents.showing import COLUMNS
    from fastgate_cli.documents.source import read_source
    from fastgate_cli.documents.state import EMPTY, read_state, write_changes

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=(*COLUMNS, _KEY))
    source = read_source(file, invocation)
    state = EMPTY
    if invocation.database_exists():
        with invocation.reading() as database:
            state = read_state(database, invocation.now)
    changes = source.plan(state, prune=prune)
    _show_first(changes, options)
    _confirm_removals(changes, yes=yes or dry_run)
    written: list[tuple[Change, str, str | None]] = []
    if changes:
        prefix = invocation.settings.security.key_prefix
        with invocation.writing(dry_run=dry_run) as database, database.transaction():
            if source.plan(read_state(database, invocation.now), prune=prune) != changes:
                raise ConflictError("the database has changed meanwhile", hint="look again, and apply again")
            written = write_changes(database, changes, key_prefix=prefix, now=invocation.now)
    _print_written(written, options, dry_run=dry_run)


def _show_first(changes: Sequence[Change], options: OutputOptions) -> None:
    """Show what will change before it does; programs that ask for a format are told with the result."""
    from fastgate_cli.documents.showing import draw_changes

    if options.is_drawn and not options.fields:
        _draw(changes, options)
    elif options.format is None:
        for text, _ in draw_changes(changes, options.zone):
            print_note(text)


def _draw(changes: Sequence[Change], options: OutputOptions) -> None:
    from fastgate_cli.documents.showing import draw_changes
    from fastgate_cli.drawing import draw_indented

    draw_indented(draw_changes(changes, options.zone))


def _confirm_removals(changes: Sequence[Change], *, yes: bool) -> None:
    removed = [f"{change.kind} {change.name}" for change in changes if change.action == "remove"]
    if removed:
        more = f" and {len(removed) - _NAMED_MAX} more" if len(removed) > _NAMED_MAX else ""
        confirm_or_exit(f"remove {', '.join(removed[:_NAMED_MAX])}{more}", yes=yes)


def _print_written(
    written: Sequence[tuple[Change, str, str | None]], options: OutputOptions, *, dry_run: bool
) -> None:
    from fastgate_cli.commands.route_creation import note_literals
    from fastgate_cli.documents.showing import COLUMNS, describe_change

    rows = [
        {**describe_change(change), "id": object_id, "key": None if dry_run else secret}
        for change, object_id, secret in written
    ]
    made = [row for row in rows if row["key"]]
    if not options.is_drawn or options.fields:
        print_rows(rows, (*COLUMNS, _KEY), options)
        is_told = options.chosen != "id" and (not options.fields or _KEY.name in options.fields)
    else:
        _draw_secrets(made)
        is_told = True
    if made:
        print_note(
            "each key is shown once and kept nowhere: copy it now"
            if is_told
            else "note: the secrets were not asked for, and cannot be shown again"
        )
    for change, _, _ in written:
        note_literals(change.columns)
    if options.is_drawn:
        _print_summary([change for change, _, _ in written], _TO_DO if dry_run else _DONE)
    note_dry_run(dry_run)


def _draw_secrets(made: Sequence[Row]) -> None:
    from fastgate_cli.drawing import draw_indented

    # The secret first: if a line is too long for the terminal, it is not what is torn.
    draw_indented([(f"{row['key']}  {row['id']}", "green") for row in made])


def _print_summary(changes: Sequence[Change], words: tuple[str, str, str]) -> None:
    from fastgate_cli.documents.showing import summarize

    print_note(summarize(changes, dict(zip(("add", "change", "remove"), words, strict=True))))
