"""The one way commands print: rows or an object, in the seven formats of the contract.

On a terminal that is a Rich table; in a pipe TSV; both can be chosen with `-o`. Data goes to stdout and
nothing else does: notes and questions go to stderr. Rich is imported only when something is drawn.
Lists may be iterators: each row is written when it comes, and nothing is kept.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Literal, TextIO

from fastgate_cli.columns import Column, Row, escape_controls, escape_json, format_plain, format_text
from proxy.clock import STORAGE_TIMEZONE
from proxy.errors import InvalidInputError

Format = Literal["table", "wide", "json", "jsonl", "csv", "tsv", "id"]
_DRAWN = ("table", "wide")
# What a spreadsheet would run as a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How to print: `format` None is a table on a terminal and TSV in a pipe; no `fields` is all of them.

    `is_dense` is for a great many rows: a JSON array has a line for each.
    """

    format: Format | None = None
    fields: tuple[str, ...] = ()
    zone: tzinfo = STORAGE_TIMEZONE
    is_dense: bool = False

    @property
    def chosen(self) -> Format:
        """Return the format in force for stdout as it is."""
        return self.format or ("table" if sys.stdout.isatty() else "tsv")

    @property
    def is_drawn(self) -> bool:
        """Tell whether the output is for people: a table, a panel."""
        return self.chosen in _DRAWN


def read_output_options(
    output: Format | None, *, as_json: bool, fields: str | None, zone: tzinfo, columns: Sequence[Column] = ()
) -> OutputOptions:
    """Return the options of `-o`, `--json` and `--fields`; contradictions raise `InvalidInputError`.

    A command that writes gives its `columns`, so that an unknown field is told before anything is done.
    """
    if as_json and output not in (None, "json"):
        raise InvalidInputError(f"--json and -o {output} contradict each other", hint="give one of them")
    names = tuple(name.strip() for name in (fields or "").split(",") if name.strip())
    if fields is not None and not names:
        raise InvalidInputError("--fields names no field", hint="write it as --fields a,b")
    options = OutputOptions("json" if as_json else output, names, zone)
    if columns:
        pick_columns(columns, options)
    return options


def print_rows(
    rows: Iterable[Row], columns: Sequence[Column], options: OutputOptions, *, empty: str = ""
) -> None:
    """Print a list. `empty` is told to a person in place of a table without rows."""
    picked = pick_columns(columns, options)
    if not options.is_drawn:
        return _write_data(rows, columns, picked, options)
    from fastgate_cli.drawing import draw_table

    collected = list(rows)
    if collected:
        return draw_table(collected, picked, options.zone, wide=options.chosen == "wide")
    return print_note(empty) if empty else None


def print_object(row: Row, columns: Sequence[Column], options: OutputOptions) -> None:
    """Print a single thing: a JSON object, a sheet of its fields, or one line with a header."""
    if options.chosen == "json":
        return _write_line(_encode(row, pick_columns(columns, options), options.zone, indent=2))
    if not options.is_drawn:
        return print_rows([row], columns, options)
    from fastgate_cli.drawing import draw_object

    return draw_object(row, pick_columns(columns, replace(options, format="json")), options.zone)


def print_each(
    rows: Sequence[Row], columns: Sequence[Column], options: OutputOptions, *, single: bool, empty: str = ""
) -> None:
    """Print one object where one was asked for by its id (`single`), else a list."""
    if single and len(rows) == 1:
        return print_object(rows[0], columns, options)
    return print_rows(rows, columns, options, empty=empty)


def print_written(
    rows: Sequence[Row], columns: Sequence[Column], options: OutputOptions, *, single: bool, empty: str = ""
) -> None:
    """Print what a command wrote: a line each for people, who know the rest; everything for programs."""
    return print_each(rows, columns, options, single=single and not options.is_drawn, empty=empty)


def print_stream(rows: Iterable[Row], columns: Sequence[Column], options: OutputOptions) -> None:
    """Print rows as they come, without end: JSON Lines for `json`, table lines of fixed widths."""
    stream = replace(options, format="jsonl") if options.chosen == "json" else options
    if not stream.is_drawn:
        return print_rows(rows, columns, stream)
    from fastgate_cli.drawing import draw_stream

    return draw_stream(rows, pick_columns(columns, stream), stream.zone, wide=stream.chosen == "wide")


def print_note(text: str) -> None:
    """Tell a person something that is not data, on stderr."""
    # In one write: a gateway's log goes there, too, and is not to begin in the middle of a line.
    sys.stderr.write(escape_controls(text) + "\n")
    sys.stderr.flush()


def pick_columns(columns: Sequence[Column], options: OutputOptions) -> list[Column]:
    """Return the columns to print, in the order of `--fields` if it was given."""
    known = {column.name: column for column in columns if column.shown != "display"}
    unknown = [name for name in options.fields if name not in known]
    if unknown:
        raise InvalidInputError(f"there is no field {unknown[0]!r}", hint="fields: " + ", ".join(known))
    if options.fields:
        return [known[name] for name in options.fields]
    levels = {"table": ("always", "display"), "wide": ("always", "display", "wide")}
    shown = levels.get(options.chosen, ("always", "wide", "data"))
    return [column for column in columns if column.shown in shown]


def colour_wanted(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether text on a stream may be coloured (no-color.org, force-color.org, TERM=dumb)."""
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown")


def blocks_wanted(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether a stream takes more than ASCII: its encoding does, and the locale is not the C of old.

    Python makes UTF-8 of that locale (PEP 538, PEP 540), but the terminal does not.
    """
    environ = os.environ if environ is None else environ
    locale = environ.get("LC_ALL") or environ.get("LANG", "")
    return (stream.encoding or "").lower().startswith("utf") and locale not in ("C", "POSIX")


def _write_data(
    rows: Iterable[Row], columns: Sequence[Column], picked: Sequence[Column], options: OutputOptions
) -> None:
    match options.chosen:
        case "json":
            _write_json(rows, picked, options.zone, indent=None if options.is_dense else 2)
        case "jsonl":
            _write_lines(_encode(row, picked, options.zone) for row in rows)
        case "csv":
            _write_csv(rows, picked, options.zone)
        case "id":
            _write_lines(escape_controls(format_text(columns[0].value_of(row), options.zone)) for row in rows)
        case _:
            _write_line("\t".join(column.name for column in picked))
            _write_lines(_join_tsv(row, picked, options.zone) for row in rows)


def _write_json(rows: Iterable[Row], columns: Sequence[Column], zone: tzinfo, *, indent: int | None) -> None:
    separator = "["
    for row in rows:
        text = _encode(row, columns, zone, indent=indent)
        sys.stdout.write(f"{separator}\n  " + text.replace("\n", "\n  "))
        separator = ","
    _write_line("[]" if separator == "[" else "\n]")


def _encode(row: Row, columns: Sequence[Column], zone: tzinfo, *, indent: int | None = None) -> str:
    fields = {column.name: format_plain(column.value_of(row), zone) for column in columns}
    separators = None if indent else (",", ":")
    text = json.dumps(fields, ensure_ascii=False, indent=indent, separators=separators)
    # JSON lets stand as it is what to a terminal is in part a command (ECMA-48 section 5.3).
    return escape_json(text)


class _CsvLines:
    """Where the csv module writes: it quotes every CR and LF if rows end in both, but ours end in LF."""

    def write(self, line: str) -> None:
        _write_line(line.removesuffix("\r\n"))


def _write_csv(rows: Iterable[Row], columns: Sequence[Column], zone: tzinfo) -> None:
    import csv

    writer = csv.writer(_CsvLines(), lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_defuse(column.value_of(row), zone) for column in columns])


def _defuse(value: Any, zone: tzinfo) -> str:
    text = format_text(value, zone)
    if isinstance(value, str) and text.startswith(_FORMULA_STARTS):
        text = f"'{text}"
    # A file has what there is; on a terminal a client's text could act.
    return escape_controls(text) if sys.stdout.isatty() else text


def _join_tsv(row: Row, columns: Sequence[Column], zone: tzinfo) -> str:
    # The backslash is doubled so that an escaped tab can be told from a backslash and a t.
    return "\t".join(
        escape_controls(format_text(column.value_of(row), zone).replace("\\", "\\\\")) for column in columns
    )


def _write_lines(lines: Iterator[str]) -> None:
    for line in lines:
        _write_line(line)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
