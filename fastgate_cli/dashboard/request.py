"""One request on the whole screen: everything that `fastgate logs show` shows, a part of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from fastgate_cli.columns import NO_VALUE, Row
from fastgate_cli.commands.log_columns import (
    DETAIL_COLUMNS,
    describe_outcome,
    format_ms,
    spell_details,
    style_outcome,
)
from fastgate_cli.dashboard.board import Opened
from fastgate_cli.dashboard.paper import Paper, join_parts, put_right
from fastgate_cli.dashboard.state import State
from fastgate_cli.drawing import build_sheet

# Of a body that is shown here; all of it is for 'fastgate logs show'.
BODY_LENGTH_MAX = 32_768
_BODIES = ("request_body", "response_body")


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
        Text(str(row["method"]), "bold"),
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
        subject = (row, paper.width, paper.zone, paper.plain)
        if self._made is None or self._made[0] != subject:
            self._made = subject, build_lines(row, paper)
        return self._made[1]


def build_lines(row: Row, paper: Paper) -> list[Text]:
    """Return every line of a request: the names of its fields, and their values in full."""
    spelled = spell_details({**row, **{name: _cut_body(row[name], row["id"]) for name in _BODIES}})
    columns = [column for column in DETAIL_COLUMNS if column.shown != "display"]
    console = Console(width=paper.width, height=paper.height, color_system=None, force_terminal=True)
    options = console.options.update(width=paper.width)
    rendered = console.render_lines(build_sheet(spelled, columns, paper.zone), options, pad=False)
    return [Text.assemble(*((part.text, part.style or "") for part in line)) for line in rendered]


def _cut_body(body: str | None, row_id: str) -> str | None:
    if body is None or len(body) <= BODY_LENGTH_MAX:
        return body
    rest = f"'fastgate logs show {row_id}' shows all of its {len(body)} characters"
    return f"{body[:BODY_LENGTH_MAX]}\n({rest})"
