"""What a page of help is made of. Pure data: the terminal and the manual each draw it in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Terms, each with what it means, in one line or several; under a title, if there is one."""

    rows: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that are shown as they are: a file, a message; under a title, if there is one."""

    lines: Sequence[str]
    title: str = ""


Block = Text | Rows | Lines


@dataclass(frozen=True, slots=True)
class Page:
    """A page opens with its examples, lines for a shell."""

    examples: Sequence[str]
    blocks: Sequence[Block]
