"""`fastgate logs export`: the audit trail, or a part of it, as a file for other programs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fastgate_cli.columns import Column, Row
from fastgate_cli.commands.log_columns import DETAIL_COLUMNS, format_size
from fastgate_cli.commands.log_filters import CountOption, takes_filters
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import FieldsOption, JsonOption
from fastgate_cli.output import OutputOptions, pick_columns, print_note, print_rows, read_output_options
from fastgate_cli.progress import Report, show_progress
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.store.database import Database
    from proxy.store.log_filter import LogFilter

ExportFormat = Literal["csv", "json", "jsonl"]
REPORT_ROWS = 500  # between two moves of the progress bar
_HEADERS = frozenset(("request_headers", "response_headers"))
_BODIES = frozenset(("request_body", "response_body"))
_SUFFIXES: dict[str, ExportFormat] = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@takes_filters
def export_requests(
    ctx: typer.Context,
    wanted: LogFilter,
    form: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format", metavar="F", help="csv, json or jsonl; without it what FILE ends in, or else jsonl."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; without it, or with -, stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="With the headers of both sides.")] = False,
    bodies: Annotated[bool, typer.Option("--bodies", help="With what was recorded of the bodies.")] = False,
    limit: CountOption = 0,
    output: Annotated[
        ExportFormat | None, typer.Option("-o", "--output", metavar="FORMAT", help="The same as --format.")
    ] = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Write requests to a file or to stdout, the oldest first, as they were at one moment.

    FILE is complete, and for you alone, or not there at all. In CSV a text that a spreadsheet would run as a
    formula begins with an apostrophe. The gateway goes on meanwhile.

    Examples:
      fastgate logs export --format csv --since 7d --out week.csv
      fastgate logs export --out all.jsonl --headers --bodies
      fastgate logs export --errors --fields id,path,error_message --format csv
      fastgate logs export --format jsonl | gzip > trail.jsonl.gz
    """
    invocation = invocation_of(ctx)
    place = None if out is None or str(out) == "-" else invocation.folder / out.expanduser()
    if form and output and form != output:
        raise InvalidInputError(f"--format {form} and -o {output} contradict each other", hint="give one")
    named: ExportFormat = "json" if as_json else _SUFFIXES.get(place.suffix.lower() if place else "", "jsonl")
    chosen = form or output or named
    zone = invocation.settings.app.timezone
    options = read_output_options(chosen, as_json=as_json, fields=fields, zone=zone)
    options = OutputOptions(options.format, options.fields, options.zone, is_dense=True)
    columns = choose_columns(options, headers=headers, bodies=bodies)

    def write(database: Database) -> int:
        return _write(database, wanted, columns, options, limit=limit)

    if place is None:
        with invocation.reading() as database:
            write(database)
    else:
        _check_place(invocation, place, replace=force)
        with invocation.reading() as database:
            count, size = _write_file(place, lambda: write(database), replace=force)
        print_note(f"{count:,} requests in {place} ({format_size(size, options.zone)})")


def choose_columns(options: OutputOptions, *, headers: bool, bodies: bool) -> list[Column]:
    """Return the columns to write: those of `--fields`, or all but headers and bodies, or these too."""
    left_out = (frozenset() if headers else _HEADERS) | (frozenset() if bodies else _BODIES)
    picked = pick_columns(DETAIL_COLUMNS, options)
    return picked if options.fields else [column for column in picked if column.name not in left_out]


def _write(
    database: Database,
    wanted: LogFilter,
    columns: list[Column],
    options: OutputOptions,
    *,
    limit: int,
) -> int:
    """Write the rows to stdout and return how many there were."""
    from proxy.store.logs import count_logs, list_logs

    names = {column.name for column in columns}
    count = 0

    def count_rows(rows: Iterable[Row], report: Report, total: int) -> Iterator[Row]:
        nonlocal count
        for row in rows:
            yield row
            count += 1
            if count % REPORT_ROWS == 0:
                report(count, total)

    # On a terminal that gets the rows themselves, a bar would be in their way.
    is_watched = sys.stderr.isatty() and not sys.stdout.isatty()
    bar = show_progress("exporting") if is_watched else nullcontext(_report_nothing)
    with database.snapshot(), bar as report:
        found = count_logs(database, wanted) if is_watched else 0
        total = min(found, limit) if limit else found
        rows = list_logs(
            database,
            wanted,
            limit=limit,
            newest_first=False,
            headers=bool(names & _HEADERS),
            bodies=bool(names & _BODIES),
        )
        print_rows(count_rows(rows, report, total), columns, options)
    return count


def _report_nothing(_done: int, _total: int) -> None:
    pass


def _check_place(invocation: Invocation, place: Path, *, replace: bool) -> None:
    from proxy.drafts import check_place
    from proxy.settings import database_path

    database = database_path(invocation.settings)
    own = [database, *(database.with_name(database.name + suffix) for suffix in ("-wal", "-shm"))]
    if invocation.settings.source:
        own.append(invocation.settings.source)
    for file in own:
        with suppress(OSError):
            if place.samefile(file):
                raise InvalidInputError(f"{place} is FastGate's own", hint="choose another file")
    check_place(place, replace=replace)


def _write_file(place: Path, write: Callable[[], int], *, replace: bool) -> tuple[int, int]:
    """Have what is written to stdout go to a file; return how many rows that was, and bytes."""
    from proxy.drafts import draft_file

    try:
        with _unwinding_on_signals(), draft_file(place, replace=replace) as draft:
            with (
                draft.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
                redirect_stdout(file),
            ):
                count = write()
            size = draft.stat().st_size
    except KeyboardInterrupt:
        print_note("interrupted: nothing was written")
        raise
    return count, size


@contextmanager
def _unwinding_on_signals() -> Iterator[None]:
    """Have a signal that ends the command unwind it, so that no half a file stays."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
