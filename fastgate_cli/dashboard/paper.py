"""What a dashboard is drawn on, and how lines are put on it. Pure: it makes lines, and never prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby, zip_longest
from operator import itemgetter

from rich.text import Text

from fastgate_cli.commands.metric_chart import TITLE_STYLE
from fastgate_cli.commands.metric_page import cut_text

GAP = 2
Block = tuple[Sequence[Text], int]  # lines, and the width that they are given


@dataclass(frozen=True, slots=True)
class Paper:
    """How much room there is, whose clock is shown, and what time it is by that. `plain` is ASCII alone."""

    width: int
    height: int
    zone: tzinfo
    now: datetime
    plain: bool = False

    def fit(self, lines: Iterable[Text]) -> list[Text]:
        """Return lines that are exactly as wide as the paper, and hold nothing that it cannot show."""
        fitted = [fit_line(line, self.width) for line in lines]
        return [_to_ascii(line, self.width) for line in fitted] if self.plain else fitted

    def cut(self, text: str, width: int) -> str:
        """Return a text at a width, safe on a terminal."""
        return cut_text(text, width, plain=self.plain) if width > 2 else " " * max(0, width)


def put_beside(blocks: Sequence[Block], gap: int = GAP) -> list[Text]:
    """Return blocks of lines side by side."""
    widths = [width for _, width in blocks]
    lines = []
    for parts in zip_longest(*(lines for lines, _ in blocks)):
        fitted = [fit_line(part or Text(), width) for part, width in zip(parts, widths, strict=True)]
        lines.append(Text(" " * gap).join(fitted))
    return lines


def fit_line(line: Text, width: int) -> Text:
    """Return a line that is exactly so wide."""
    if line.cell_len == width:
        return line
    fitted = line.copy()
    fitted.truncate(max(0, width), pad=True)
    return fitted


def _to_ascii(line: Text, width: int) -> Text:
    replaced = line.copy()
    replaced.plain = line.plain.encode("ascii", "replace").decode()
    return fit_line(replaced, width)


def join_parts(parts: Sequence[Text], width: int, gap: int = GAP) -> Text:
    """Return a line of as many of the parts as it has room for, the first of them before all others."""
    line = Text()
    for part in parts:
        space = gap if line else 0
        if line.cell_len + space + part.cell_len > width:
            break
        line.append(" " * space)
        line.append_text(part)
    return line


def put_right(left: Text, right: Text, width: int) -> Text:
    """Return a line that begins with one text and ends with another, which is not cut."""
    line = fit_line(left, max(0, width - right.cell_len))
    return Text.assemble(line, right)


def draw_bars(bars: str, styles: Sequence[str], columns: int = 1) -> Text:
    """Return one line of bars, each in its style and so many columns wide."""
    line = Text()
    # In one piece as far as the style is the same: a terminal, and Rich, then have a tenth of the work.
    for style, run in groupby(zip(bars, styles, strict=True), key=itemgetter(1)):
        line.append("".join(bar * columns for bar, _ in run), style)
    return line


def title(text: str) -> Text:
    """Return what stands above a block."""
    return Text(text.upper(), TITLE_STYLE)


def figure(value: str, name: str, style: str = "") -> Text:
    """Return a value, and in a quieter voice what it is."""
    return Text.assemble((value, f"bold {style}"), (f" {name}", "dim"))
