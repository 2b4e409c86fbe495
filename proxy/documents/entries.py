"""Where the entries of a mapping stand in its text: names, colons, values, the ends of lines.

Positions are those of characters, counted from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from proxy.documents.nodes import compose, is_unwritten

_DEPTH_MAX = 8
# No value has such a line: YAML does not allow it in quotes, and a block of text in a mapping is indented.
_DOCUMENT_END = re.compile(r"^\.\.\.(?=\s|\Z)", re.MULTILINE)
_BLOCK_STYLES = ("|", ">")


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and how its lines end."""

    text: str
    file: str

    @property
    def newline(self) -> str:
        """Return what ends a line."""
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def document_end(self) -> int:
        """Return where the document ends: before a line `...`, behind which another would begin."""
        marker = _DOCUMENT_END.search(self.text)
        return marker.start() if marker else len(self.text)

    def compose(self) -> Any:
        """Return the root node, None for a text without one. Raises ConfigurationError."""
        return compose(self.text, self.file, _DEPTH_MAX)

    def line_start(self, position: int) -> int:
        """Return where the line of a position begins."""
        return self.text.rfind("\n", 0, position) + 1

    def line_end(self, position: int) -> int:
        """Return where the line of a position ends, before what ends it."""
        end = self.text.find("\n", position)
        if end < 0:
            return len(self.text)
        return end - 1 if end > position and self.text[end - 1] == "\r" else end

    def next_line(self, position: int) -> int:
        """Return where the line behind that of a position begins; the end of the text if there is none."""
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of a mapping and what it holds, as ruamel's nodes."""

    name: Any
    value: Any
    source: Source

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is written behind the colon."""
        return is_unwritten(self.value)

    @property
    def start(self) -> int:
        """Return where the name begins."""
        return int(self.name.start_mark.index)

    @property
    def colon(self) -> int:
        """Return the place right behind the colon."""
        return self.source.text.find(":", self.name.end_mark.index) + 1

    @property
    def end(self) -> int:
        """Return where the entry ends, without what follows in its line."""
        if self.is_empty:
            return self.colon
        if self.value.id == "mapping" and is_block(self.value):
            return entries_of(self.value, self.source)[-1].end
        if self.value.id == "sequence" and is_block(self.value):
            return end_of(self.value.value[-1], self.source)
        return end_of(self.value, self.source)


def entries_of(mapping: Any, source: Source) -> list[Entry]:
    """Return the entries of a mapping."""
    return [Entry(name, value, source) for name, value in mapping.value]


def find_entry(mapping: Any, name: str, source: Source) -> Entry | None:
    """Return the first entry of a name, None if there is none or the node is no mapping."""
    if mapping is None or mapping.id != "mapping":
        return None
    return next((entry for entry in entries_of(mapping, source) if entry.name.value == name), None)


def end_of(node: Any, source: Source) -> int:
    """Return where a scalar or what stands in brackets ends."""
    start, end = node.start_mark.index, node.end_mark.index
    # The lines of a block of text end with a line's end, and ruamel counts the empty ones behind it too.
    return int(start + len(source.text[start:end].rstrip()))


def is_block(node: Any) -> bool:
    """Tell whether a node is written over lines by indentation, not in brackets, in quotes or in one word."""
    return bool(node.style in _BLOCK_STYLES if node.id == "scalar" else not node.flow_style)
