"""Options and arguments that several commands share, so that each is spelled and explained once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from fastgate_cli.columns import escape_controls
from fastgate_cli.context import invocation_of
from fastgate_cli.output import Format, OutputOptions, print_note
from proxy.errors import InvalidInputError

COMPLETIONS_MAX = 200
Completions = list[tuple[str, str]]  # words, and what each is
_FORMATS: Mapping[Format, str] = {
    "table": "for people",
    "wide": "a table with more columns",
    "json": "an array of objects, or one object",
    "jsonl": "one object a line",
    "csv": "for spreadsheets",
    "tsv": "tab-separated, with a header",
    "id": "the first column alone",
}


def complete_key_ids(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the ids of keys that begin as typed, with hint and source."""
    from proxy.store.keys import list_keys

    invocation = invocation_of(ctx)
    with invocation.glancing() as database:
        rows = list_keys(database, now=invocation.now)
    return pick_completions(
        ((row["key_id"], f"{row['key_hint'] or '-'} {row['source_path']}") for row in rows), incomplete
    )


def complete_route_ids(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the names and ids of routes that begin as typed, with pattern and backend."""
    from proxy.store.routes import list_routes

    with invocation_of(ctx).glancing() as database:
        rows = list_routes(database)
    words = {}
    for row in rows:
        described = f"{row['match_path']} to {row['target_protocol']}://{row['target_host']}"
        words.update({row["route_name"]: described, row["route_id"]: described})
    return pick_completions(sorted(words.items()), incomplete)


def complete_sources(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the sources of keys that begin as typed, with how many keys each has."""
    from proxy.store.key_sources import list_key_sources

    invocation = invocation_of(ctx)
    with invocation.glancing() as database:
        rows = list_key_sources(database, now=invocation.now)
    pairs = ((row["source_path"], f"{row['keys']} key{'' if row['keys'] == 1 else 's'}") for row in rows)
    return pick_completions(pairs, incomplete)


def complete_log_ids(ctx: typer.Context, incomplete: str) -> Completions:
    """Return the ids of the newest requests that begin as typed, with what they asked for and got."""
    from proxy.store.log_filter import LogFilter
    from proxy.store.logs import list_logs

    with invocation_of(ctx).glancing() as database:
        rows = list(list_logs(database, LogFilter(), limit=COMPLETIONS_MAX))
    return pick_completions(
        ((row["id"], f"{row['status_code'] or '-'} {row['method']} {row['path']}") for row in rows),
        incomplete,
    )


def complete_formats(incomplete: str) -> Completions:
    """Return the formats of output that begin as typed."""
    return pick_completions(_FORMATS.items(), incomplete)


def pick_completions(pairs: Iterable[tuple[Any, str]], incomplete: str) -> Completions:
    """Return the words that begin as typed, the first of them if they are many."""
    found = ((str(word), description) for word, description in pairs if str(word).startswith(incomplete))
    return list(islice(found, COMPLETIONS_MAX))


OutputOption = Annotated[
    Format | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT",
        help="table, wide, json, jsonl, csv, tsv or id; by default a table on a terminal and TSV in a pipe.",
        autocompletion=complete_formats,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
FieldsOption = Annotated[
    str | None, typer.Option("--fields", metavar="A,B", help="Print these fields only, in this order.")
]
DryRunOption = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Show what would be written, write nothing.")
]
YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
LimitOption = Annotated[
    int, typer.Option("-n", "--limit", min=0, max=1_000_000_000, metavar="N", help="At most N; 0 is all.")
]
KeyIds = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Ids of keys.", autocompletion=complete_key_ids)
]
OptionalKeyIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID...]", help="Ids of keys.", autocompletion=complete_key_ids),
]
LogIds = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Ids of rows or of requests.", autocompletion=complete_log_ids),
]
RouteIds = Annotated[
    list[str],
    typer.Argument(metavar="ID...", help="Ids or names.", autocompletion=complete_route_ids),
]


def confirm_or_exit(question: str, *, yes: bool) -> None:
    """Return if the answer is yes; on no the command ends. Without a terminal, `-y` is the only yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question}: nobody is there to confirm", hint="-y says yes beforehand")
    sys.stderr.write(escape_controls(question) + "? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise typer.Abort
    if answer.strip().lower() not in ("y", "yes"):
        print_note("nothing was changed")
        raise typer.Exit(1)


def note_dry_run(dry_run: bool, *, done: str = "") -> None:
    """Say, after a dry run, that it was one; else what was done, where what was printed does not show it."""
    if dry_run:
        print_note("dry run: nothing was written")
    elif done:
        print_note(done)


def describe_deletion(count: int, noun: str, options: OutputOptions) -> str:
    """Return that the rows which a person was shown are gone; a program knows."""
    return f"deleted {count} {noun}{'' if count == 1 else 's'}" if count and options.is_drawn else ""
