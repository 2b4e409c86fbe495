"""One request on the whole screen: everything that `fastgate logs show` shows, a part of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from fastgate_cli.columns import NO_VALUE, Row, escape_controls
from fastgate_cli.commands.log_columns import IN_FLIGHT, describe_outcome, format_ms, style_outcome
from fastgate_cli.commands.log_sheet import print_sheet
from fastgate_cli.dashboard.board import Opened
from fastgate_cli.dashboard.paper import Paper, join_parts, put_right
from fastgate_cli.dashboard.state import State

BODY_LINES_MAX = 2_000  # of each body; all of it is for 'fastgate logs show'


def build_request(state: State, opened: Opened | None, lines: Sequence[Text], paper: Paper) -> list[Text]:
    """Return the request: a line that names it, and of its lines those that there is room for."""
    height = max(1, paper.height - 1)
    if opened is None or opened.id != state.opened:
        return [Text(state.opened, "bold"), Text("reading", "dim")]
    if opened.row is None:
        return [Text(state.opened, "bold"), Text("this request is not there any more", "yellow")]
    top = max(0, min(state.scroll, len(lines) - height))
    end = min(len(lines), top + height)
    place = Text(f"  {top + 1}-{end} of {len(lines)}" if len(lines) > height else "", "dim")
    heading = put_right(_build_heading(opened.row, paper.width - place.cell_len), place, paper.width)
    return [heading, *lines[top:end]]


def _build_heading(row: Row, width: int) -> Text:
    outcome = describe_outcome(row)
    took = row["response_time_ms"]
    parts = [
        Text(outcome, f"bold {style_outcome(outcome)}"),
        Text(escape_controls(str(row["method"])), "bold"),
        Text(NO_VALUE if took is None else format_ms(took, None)),  # type: ignore[arg-type]
        Text(str(row["id"]), "dim"),
    ]
    return join_parts(parts, width)


class SheetPrinter:
    """Makes the lines of a request; those of the last one are kept, since a long one takes a while."""

    def __init__(self) -> None:
        self._made: tuple[Any, list[Text]] | None = None

    def list_lines(self, row: Row, paper: Paper) -> list[Text]:
        """Return the lines of a request at a width."""
        now = paper.now if describe_outcome(row) == IN_FLIGHT else None
        subject = (row, paper.width, paper.zone, paper.plain, now)
        if self._made is None or self._made[0] != subject:
            self._made = subject, build_lines(row, paper)
        return self._made[1]


def build_lines(row: Row, paper: Paper) -> list[Text]:
    """Return every line of a request, as `fastgate logs show` prints it."""
    console = Console(
        file=StringIO(),
        width=paper.width,
        height=paper.height,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        markup=False,
        emoji=False,
    )
    drawn = print_sheet(row, paper.zone, console, now=paper.now, lines_max=BODY_LINES_MAX)
    return [Text.from_ansi(line) for line in drawn.splitlines()]
