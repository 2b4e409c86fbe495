"""`fastgate logs verify`: whether every request that was accepted is there, or will be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import tzinfo

import typer

from fastgate_cli.columns import Column, Row
from fastgate_cli.commands.running import find_note
from fastgate_cli.context import invocation_of
from fastgate_cli.failures import FAILED
from fastgate_cli.options import FieldsOption, JsonOption, OutputOption
from fastgate_cli.output import print_note, print_object, print_rows
from fastgate_cli.progress import show_progress

COLUMNS = tuple(
    Column(name) for name in ("accepted", "stored", "spooled", "lost", "interrupted", "duplicates")
)
_MEANINGS: Mapping[str, str] = {
    "accepted": "requests that workers have begun",
    "stored": "have a row, or had one until it was pruned",
    "spooled": "wait in the journal to become rows",
    "lost": "are neither",
    "interrupted": "were cut, and their rows say so",
    "duplicates": "rows are there twice",
}


def _format_count(value: int, _: tzinfo) -> str:
    return f"{value:,}"


_DRAWN_COLUMNS = (
    Column("name", "requests"),
    Column("count", justify="right", text=_format_count, style=lambda count: "bold" if count else "dim"),
    Column("meaning", elastic=True, wraps=True),
)


def verify_requests(
    ctx: typer.Context,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Prove that nothing is lost: requests by the numbers that workers gave them, against rows and journal.

    The exit code is 1 if a request is lost. It reads the whole trail; the gateway may run meanwhile.

    Examples:
      fastgate logs verify
      fastgate logs verify --json
    """
    from proxy.audit.verification import verify_trail

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    with invocation.reading() as database, show_progress("counting"):
        row = asdict(verify_trail(database, invocation.settings.audit.directory))
    if options.is_drawn and not options.fields:
        lines = [
            {"name": name, "count": row[name], "meaning": meaning} for name, meaning in _MEANINGS.items()
        ]
        print_rows(lines, _DRAWN_COLUMNS, options)
        print_note(judge(row, is_running=find_note(invocation) is not None))
    else:
        print_object(row, COLUMNS, options)
    if row["lost"]:
        raise typer.Exit(FAILED)


def judge(row: Row, *, is_running: bool) -> str:
    """Return in a sentence what the figures mean."""
    if row["lost"]:
        return (
            f"{row['lost']:,} requests are lost: they were accepted, and are neither in the database nor in "
            "the journal; the gateway's log may say why"
        )
    if not row["accepted"]:
        return "no gateway has accepted a request yet"
    if row["duplicates"]:
        return f"nothing is lost, but {row['duplicates']:,} rows are there twice"
    if not row["spooled"]:
        return "nothing is lost: every request that was accepted has its row"
    wait = "" if is_running else ", which 'fastgate serve' records"
    return f"nothing is lost: every request that was accepted has its row or waits in the journal{wait}"
