"""Tables, sheets and panels for people, drawn with Rich. Imported only when something is drawn.

Widths are worked out here, because an id has to stay whole: elastic columns give way, the others never do.
Every text is made a `Text`, so that nothing in the data is taken for markup.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Literal, TextIO

from rich.box import ROUNDED
from rich.cells import cell_len
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fastgate_cli.charts import BarChart, chart_lines
from fastgate_cli.columns import NO_VALUE, Column, Row, Step, StepStatus, escape_controls, format_text
from fastgate_cli.output import blocks_wanted, colour_wanted

GAP = 2
ELASTIC_WIDTH_MIN = 8
_PANEL_EDGES = 6
_CHART_GAP = 4
_UNLIMITED_WIDTH = 100_000
MARKS: Mapping[StepStatus, tuple[str, str]] = {
    "passed": ("✓", "green"),
    "warning": ("!", "bold yellow"),
    "failed": ("✗", "bold red"),
    "skipped": ("-", "dim"),
}
NEXT = "→"
_TITLE_STYLE = "bold dim"


def draw_table(rows: Sequence[Row], columns: Sequence[Column], zone: tzinfo, *, wide: bool) -> None:
    """Draw a list; `wide` and a pipe get every text in full, a terminal what fits it."""
    cells = [[column.cell_of(row, zone, full=wide) for column in columns] for row in rows]
    natural = _measure_columns(columns, cells)
    widths = natural if wide else fit_widths(natural, columns, line_width())
    table = _new_table(columns, widths, show_header=True)
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(*_style_cells(row, texts, columns))
    _print(table, _sum_width(widths))


def draw_stream(rows: Iterable[Row], columns: Sequence[Column], zone: tzinfo, *, wide: bool) -> None:
    """Draw rows as they come: each is a line of its own, at widths that are fixed from the start."""
    available = line_width()
    widths = fit_stream(columns, available)
    width = _sum_width(widths)
    _print(_new_table(columns, widths, show_header=True), width)
    for row in rows:
        line = _new_table(columns, widths, show_header=False)
        texts = [column.cell_of(row, zone, full=wide) for column in columns]
        line.add_row(*_style_cells(row, texts, columns))
        _print(line, width)


def draw_object(row: Row, columns: Sequence[Column], zone: tzinfo) -> None:
    """Draw one object as a sheet: the names of its fields, and the values in full."""
    sheet = Table.grid(padding=(0, GAP))
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for column in columns:
        sheet.add_row(Text(column.name), _spell_value(column, row, zone))
    _print(sheet, line_width())


def draw_step(step: Step, name_width: int) -> None:
    """Draw one step of several: a mark, its name, what came of it, and below that what to do about it.

    Of a detail of several lines the first says it, and the others are quiet.
    """
    mark, style = MARKS[step.status]
    head = Text.assemble((mark, style), " " * GAP, step.name.ljust(name_width), " " * GAP)
    first, *others = map(escape_controls, step.detail.split("\n"))
    _print_hanging(head, Text(first, "dim" if step.status == "skipped" else ""))
    blank = Text(" " * head.cell_len)
    for other in others:
        _print_hanging(blank, Text(other, "dim"))
    if step.remedy:
        _print_hanging(blank, Text(f"{NEXT} {escape_controls(step.remedy)}", "cyan"))


def draw_indented(lines: Iterable[tuple[str, str]]) -> None:
    """Draw lines of text, each with its style; one that is too long goes on below, as deep as it began."""
    for text, style in lines:
        depth = len(text) - len(text.lstrip())
        line = Padding(Text(text.lstrip(), style, overflow="fold"), (0, 0, 0, depth), expand=False)
        _print(line, min(cell_len(text), line_width()))


def draw_secret(title: str, secret: str, facts: Mapping[str, str], remark: str) -> None:
    """Draw a panel around a secret that is shown this once; it is never wrapped, so it can be copied."""
    sheet = Table.grid(padding=(0, GAP))
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, fact in facts.items():
        sheet.add_row(Text(name), Text(escape_controls(fact)))
    line = Text(secret, style="bold green", no_wrap=True)
    body = Group(line, Text(), sheet, Text(), Text(remark, style="yellow"))
    label_width = max(map(cell_len, facts), default=0) + GAP
    longest = max((label_width + cell_len(fact) for fact in facts.values()), default=0)
    # Facts are folded rather than leave the terminal; the secret is not.
    facts_width = min(longest, line_width() - _PANEL_EDGES)
    width = max(cell_len(secret), cell_len(remark), facts_width) + _PANEL_EDGES
    panel = Panel(
        Padding(body, (0, 1)), title=title, title_align="left", border_style="green", box=ROUNDED, width=width
    )
    _print(panel, width)


def draw_remark(text: str) -> None:
    """Draw a sentence below what was drawn before."""
    _print(Text(escape_controls(text)), line_width())


def draw_charts(charts: Sequence[BarChart]) -> None:
    """Draw charts beside each other where the line has room for them, else below each other."""
    plain = not blocks_wanted(sys.stdout)
    drawings = [_draw_chart(chart, plain=plain) for chart in charts]
    width = sum(map(_width_of, drawings)) + _CHART_GAP * (len(drawings) - 1)
    if width > line_width():
        return _print(Text("\n\n", no_wrap=True).join(drawings), max(map(_width_of, drawings)))
    row = Table.grid(padding=(0, _CHART_GAP, 0, 0))
    for _ in drawings:
        row.add_column(no_wrap=True)
    row.add_row(*drawings)
    return _print(row, width + _CHART_GAP)


def _draw_chart(chart: BarChart, *, plain: bool) -> Text:
    lines = [Text(chart.title)]
    for axis, bars in chart_lines(chart, plain=plain):
        lines.append(Text.assemble((axis, "dim"), (bars, "cyan")))
    return Text("\n", no_wrap=True).join(lines)


def _width_of(drawing: Text) -> int:
    return max(cell_len(line) for line in drawing.plain.splitlines())


def draw_lines(lines: Sequence[Text]) -> None:
    """Draw lines that are laid out already."""
    _print(Text("\n", no_wrap=True).join(lines), line_width())


def measure_columns(rows: Sequence[Row], columns: Sequence[Column], zone: tzinfo) -> list[int]:
    """Return how wide a list's columns are if nothing of them is cut."""
    return _measure_columns(
        columns, [[column.cell_of(row, zone, full=False) for column in columns] for row in rows]
    )


def _measure_columns(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    titles = [title_of(column) for column in columns]
    return [max(map(cell_len, texts)) for texts in zip(titles, *cells, strict=True)]


def fit_widths(natural: Sequence[int], columns: Sequence[Column], available: int) -> list[int]:
    """Return the widths at which the columns fit a line: the widest elastic one gives way first.

    Columns that are not elastic keep their width, even where the line then does not fit.
    """
    widths = list(natural)
    while _sum_width(widths) > available:
        shrinkable = [
            index
            for index, column in enumerate(columns)
            if column.elastic and widths[index] > ELASTIC_WIDTH_MIN
        ]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def _sum_width(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def fit_stream(columns: Sequence[Column], available: int) -> list[int]:
    """Return the widths that columns have in a line whatever the rows are."""
    natural = [
        max(len(title_of(column)), column.width or (available if column.elastic else 0)) for column in columns
    ]
    return fit_widths(natural, columns, available)


def title_of(column: Column) -> str:
    """Return what stands above a column."""
    return (column.title or column.name.replace("_", " ")).upper()


def _new_table(columns: Sequence[Column], widths: Sequence[int], *, show_header: bool) -> Table:
    padding = (0, GAP, 0, 0)
    table = Table(
        box=None, padding=padding, pad_edge=False, show_header=show_header, header_style=_TITLE_STYLE
    )
    for column, width in zip(columns, widths, strict=True):
        title = Text(title_of(column))
        overflow: Literal["fold", "ellipsis"] = "fold" if column.wraps else "ellipsis"
        is_one_line = not column.wraps
        table.add_column(title, justify=column.justify, width=width, no_wrap=is_one_line, overflow=overflow)
    return table


def _style_cells(row: Row, texts: Sequence[str], columns: Sequence[Column]) -> list[Text]:
    return [Text(text, column.style_of(row)) for text, column in zip(texts, columns, strict=True)]


def _spell_value(column: Column, row: Row, zone: tzinfo) -> Text:
    value = column.value_of(row)
    if value in (None, "", [], {}):
        return Text(NO_VALUE, "dim")
    if isinstance(value, Mapping):
        items = [f"{name}: {format_text(item, zone) or '(any)'}" for name, item in value.items()]
        return Text("\n".join(map(escape_controls, items)))
    if isinstance(value, list):
        return Text("\n".join(escape_controls(_spell_item(item, zone)) for item in value))
    return Text(escape_controls(format_text(value, zone)), column.style_of(row))


def _spell_item(item: Any, zone: tzinfo) -> str:
    is_pair = isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)
    return ": ".join(item) if is_pair else format_text(item, zone)


def _print_hanging(head: Text, text: Text) -> None:
    """Print a text behind a head; where it goes on in further lines, they begin where it did."""
    width = max(ELASTIC_WIDTH_MIN, line_width() - head.cell_len)
    console = new_console(sys.stdout, line_width())
    for number, line in enumerate(text.wrap(console, width, overflow="fold")):
        line.rstrip()
        console.print(Text.assemble(head if number == 0 else " " * head.cell_len, line), crop=False)


def line_width() -> int:
    """Return how wide stdout is; a pipe has no end unless COLUMNS says so."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return _UNLIMITED_WIDTH


def new_console(file: TextIO, width: int) -> Console:
    """Return a console that draws to a file as stdout would have it: with colour or without."""
    coloured = colour_wanted(sys.stdout)
    return Console(
        file=file,
        width=min(width, _UNLIMITED_WIDTH),
        height=25,
        force_terminal=coloured,
        no_color=not coloured,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _print(drawing: Table | Panel | Text | Padding, width: int) -> None:
    new_console(sys.stdout, width).print(drawing, crop=False)
