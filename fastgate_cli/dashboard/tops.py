"""What there was most of in the range: sources, routes by their names, paths, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from fastgate_cli.columns import NO_VALUE, Row, format_count, style_errors
from fastgate_cli.commands.log_columns import format_ms
from fastgate_cli.dashboard.board import Board, Kind
from fastgate_cli.dashboard.paper import GAP, Block, Paper, put_beside
from fastgate_cli.dashboard.state import Sort, State

_NUMBER_WIDTH = 6
_WIDE_MIN = 100  # of the paper, from which on each table has all of its numbers
_ERRORS_MIN = 140  # from which on there is room for one more table


class _Table(NamedTuple):
    kind: Kind
    title: str
    fields: tuple[str, ...]  # the first that a row has names it
    weight: int  # of its width among the others


_TABLES = (
    _Table("sources", "SOURCES", ("source_path",), 2),
    _Table("routes", "ROUTES", ("route_name", "route_id"), 2),
    _Table("paths", "PATHS", ("path",), 3),
    _Table("errors", "WHAT FAILED", ("error",), 2),
)
_TITLES: dict[Sort, str] = {"requests": "REQ", "errors": "ERR", "p95_ms": "P95"}


def build_tops(board: Board, state: State, paper: Paper, height: int) -> list[Text]:
    """Return the tables side by side: a line of titles, and so many rows."""
    tables = _TABLES if paper.width >= _ERRORS_MIN else _TABLES[:-1]
    room = paper.width - GAP * (len(tables) - 1)
    weights = sum(table.weight for table in tables)
    blocks: list[Block] = []
    for table in tables:
        width = room * table.weight // weights
        known = board.tops.get(table.kind)
        rows = sort_rows(known.value, state.sort)[:height] if known else None
        blocks.append((_build_table(table, rows, state.sort, width, paper), width))
    return put_beside(blocks)


def sort_rows(rows: Sequence[Row], sort: Sort) -> list[Row]:
    """Return rows with the most first; of those that have as much, the one with more requests."""
    return sorted(rows, key=lambda row: (-_measure(row, sort), -row["requests"]))


def _measure(row: Row, sort: Sort) -> float:
    # What went wrong is errors and nothing else.
    value = row.get(sort, row["requests"])
    return -1.0 if value is None else float(value)


def _build_table(
    table: _Table, rows: Sequence[Row] | None, sort: Sort, width: int, paper: Paper
) -> list[Text]:
    columns = _choose_columns(table, sort, paper)
    name_width = width - _NUMBER_WIDTH * len(columns)
    heading = Text(paper.cut(table.title, name_width), "bold dim")
    for column in columns:
        heading.append(_TITLES[column].rjust(_NUMBER_WIDTH), "not dim" if column == sort else "")
    if not rows:
        return [heading, Text("reading" if rows is None else NO_VALUE, "dim")]
    return [heading, *(_build_row(table, row, columns, name_width, paper) for row in rows)]


def _choose_columns(table: _Table, sort: Sort, paper: Paper) -> list[Sort]:
    columns: list[Sort] = ["requests", "errors", "p95_ms"]
    if table.kind == "errors":
        columns.remove("errors")
    elif paper.width < _WIDE_MIN:
        columns.remove("errors" if sort == "p95_ms" else "p95_ms")
    return columns


def _build_row(table: _Table, row: Row, columns: Sequence[Sort], name_width: int, paper: Paper) -> Text:
    name = next((row[field] for field in table.fields if row.get(field)), NO_VALUE)
    line = Text(paper.cut(name, name_width))  # numbers have a space before them
    for column in columns:
        value = row[column]
        if column == "p95_ms":
            text, style = (NO_VALUE, "dim") if value is None else (format_ms(value, paper.zone), "")
        else:
            text, style = format_count(value, paper.zone), style_errors(value) if column == "errors" else ""
        line.append(text.rjust(_NUMBER_WIDTH), style)
    return line
