"""A page of help as plain text for a terminal or a pipe, in the manner of the help of commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import TextWrapper

from fastgate_cli.help.page import Block, Lines, Page, Rows, Text

_INDENT = 2
_GAP = 2
_TERM_WIDTH_MAX = 38  # a longer term has its line to itself
_LONG_TERM_INDENT = 6
_MARKS = ("+ ", "- ")  # of examples that are so, and that are not


def format_blocks(page: Page, width: int) -> str:
    """Return all of a page but its examples, in lines of a width."""
    return "\n\n".join("\n".join(_format_block(block, width)) for block in page.blocks)


def _format_block(block: Block, width: int) -> Iterator[str]:
    if isinstance(block, Text):
        yield from _wrap(block.text, width)
        return
    if block.title:
        yield f"{block.title}:"
    if isinstance(block, Lines):
        yield from (f"{'':{_INDENT}}{line}" for line in block.lines)
    else:
        yield from _format_rows(block, width)


def _format_rows(block: Rows, width: int) -> Iterator[str]:
    column = _find_column([term for term, _ in block.rows])
    for term, meaning in block.rows:
        lines = [line for part in meaning.split("\n") for line in _wrap(part, width - column)]
        if len(term) + _INDENT + _GAP <= column:
            yield f"{'':{_INDENT}}{term}".ljust(column) + lines.pop(0)
        else:
            yield f"{'':{_INDENT}}{term}"
        yield from (f"{'':{column}}{line}" for line in lines)


def _find_column(terms: Sequence[str]) -> int:
    """Return where the meanings begin: behind the terms, or, if most are long, a little further in."""
    widths = [len(term) for term in terms if len(term) <= _TERM_WIDTH_MAX]
    return _INDENT + max(widths) + _GAP if len(widths) * 2 > len(terms) else _LONG_TERM_INDENT


def _wrap(text: str, width: int) -> list[str]:
    # Names and examples are never cut, nor broken at their hyphens, so that they can be found and copied.
    indent = "  " if text.startswith(_MARKS) else ""
    wrapper = TextWrapper(
        max(width, 1), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(text) or [""]
