"""Tables of figures with a bar in each line: what there is room for, and how long the bar then is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from fastgate_cli.charts import build_bar
from fastgate_cli.columns import Column, Row, style_error_share
from fastgate_cli.commands.metric_columns import OPTIONAL
from fastgate_cli.output import OutputOptions, blocks_wanted, print_rows

BAR_WIDTH_MIN, BAR_WIDTH_MAX = 8, 60
_NAME_WIDTH_MAX = 28


@dataclass(frozen=True, slots=True)
class BarColumn(Column):
    """A bar as long as the requests of a row, its colour the share of errors among them."""

    peak: int = 0
    cells: int = 0
    plain: bool = False

    def cell_of(self, row: Row, zone: tzinfo, *, full: bool) -> str:  # noqa: ARG002
        """Return the bar."""
        return build_bar(row["requests"], self.peak, self.cells, plain=self.plain).ljust(self.cells)

    def style_of(self, row: Row) -> str:
        """Return the style of the bar."""
        return style_error_share(row.get("errors", row["requests"]), row["requests"])


def print_figures(
    rows: Sequence[Row], columns: Sequence[Column], options: OutputOptions, *, empty: str = ""
) -> None:
    """Print a list of figures; a plain table for people has a bar in each line, and fits it."""
    if options.chosen == "table" and not options.fields and rows:
        columns = fit_columns(rows, columns, options.zone)
    print_rows(rows, columns, options, empty=empty)


def fit_columns(rows: Sequence[Row], columns: Sequence[Column], zone: tzinfo) -> list[Column]:
    """Return the columns that a line has room for, and behind the requests a bar for what is left of it."""
    from fastgate_cli.drawing import GAP, line_width, measure_columns

    available = line_width()
    shown = [column for column in columns if column.shown in ("always", "display")]
    widths = dict(zip([one.name for one in shown], measure_columns(rows, shown, zone), strict=True))
    for column in shown:
        if column.elastic:
            widths[column.name] = min(widths[column.name], max(_NAME_WIDTH_MAX, available // 3))

    def left() -> int:
        return available - sum(widths[one.name] + GAP for one in shown)

    for name in OPTIONAL:
        if left() < BAR_WIDTH_MIN:
            shown = [column for column in shown if column.name != name]
    cells = min(left(), BAR_WIDTH_MAX)
    if cells < BAR_WIDTH_MIN:
        return shown
    place = 1 + next(turn for turn, column in enumerate(shown) if column.name == "requests")
    return [*shown[:place], _build_bar(rows, cells), *shown[place:]]


def _build_bar(rows: Sequence[Row], cells: int) -> Column:
    peak = max(row["requests"] for row in rows)
    options: dict[str, Any] = {"peak": peak, "cells": cells, "plain": not blocks_wanted(sys.stdout)}
    return BarColumn("bar", " ", **options)
