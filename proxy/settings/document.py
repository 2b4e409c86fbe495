"""A configuration file as text with places: which key holds which scalars, at which line and column.

Anchors, aliases and tags are refused. What a value means is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.documents.nodes import compose, core_type, decode, find_foreign, place_of
from proxy.errors import Problem

FILE_BYTES_MAX = 1 << 20
_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class Scalar:
    """One plain value: its text, its YAML type (`str`, `int`, ...) and its place, counted from 1.

    Where nothing is written, that is the place of its key.
    """

    text: str
    type: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key holds. A value that is not a list is its single item."""

    items: tuple[Scalar, ...]
    is_list: bool
    key_line: int
    line: int
    column: int


@dataclass(slots=True)
class Document:
    """The entries of a file by setting ("app.port"), and everything that is wrong with its structure."""

    file: str
    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add_problem(self, message: str, line: int, column: int) -> None:
        """Note a fault at a place of this file."""
        self.problems.append(Problem(message, self.file, line, column))


def read_document(content: bytes, file: str, known: Mapping[str, Sequence[str]]) -> Document:
    """Return the entries under the known sections and keys, and a problem for whatever else there is.

    Raises ConfigurationError for what cannot be read as YAML at all.
    """
    document = Document(file)
    root = compose(decode(content, file, FILE_BYTES_MAX), file, _DEPTH_MAX)
    for section, _, node in _read_mapping(document, root, "", known):
        for name, key, value in _read_mapping(document, node, section, known):
            entry = _read_entry(document, f"{section}.{name}", key, value)
            if entry:
                document.entries[f"{section}.{name}"] = entry
    return document


def _read_mapping(
    document: Document, node: Any, section: str, known: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, key and value of each known key of a section, or with no section of the file itself.

    Each comes once. A section that is empty or wholly commented out has none.
    """
    if node is None or (node.id == "scalar" and core_type(node) == "null"):
        return
    if node.id != "mapping":
        subject = f"section {section!r}" if section else "the file"
        document.add_problem(f"{subject} must hold 'name: value' pairs", *place_of(node))
        return
    if not _is_plain(document, node):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line, column = place_of(key)
        name = key.value if key.id == "scalar" else ""
        if name not in (known[section] if section else known):
            document.add_problem(_describe_unknown(name, section, known), line, column)
        elif name in seen:
            document.add_problem(f"{name!r} is given twice, first in line {seen[name]}", line, column)
        elif _is_plain(document, key):
            seen[name] = line
            yield name, key, value


def _describe_unknown(name: str, section: str, known: Mapping[str, Sequence[str]]) -> str:
    """Return the message for a name that is not known there, with what was probably meant."""
    import difflib  # only for this, and slow to load

    message = f"unknown key {name!r} in section {section!r}" if section else f"unknown section {name!r}"
    near = difflib.get_close_matches(name, known[section] if section else known, n=1)
    if near:
        return f"{message}; did you mean {near[0]!r}?"
    homes = [f"{home}.{name}" for home, keys in known.items() if name in keys]
    return f"{message}; did you mean {' or '.join(homes)}?" if homes else message


def _read_entry(document: Document, name: str, key: Any, node: Any) -> Entry | None:
    line, column = place_of(node, key)
    if node.id == "mapping":
        document.add_problem(f"{name} must be a value, not a section", line, column)
        return None
    nodes = node.value if node.id == "sequence" else [node]
    if not _is_plain(document, node):
        return None
    items = [_read_scalar(document, name, item, key if item is node else None) for item in nodes]
    scalars = tuple([item for item in items if item])
    if len(scalars) < len(items):
        return None
    return Entry(scalars, node.id == "sequence", place_of(key)[0], line, column)


def _read_scalar(document: Document, name: str, node: Any, key: Any) -> Scalar | None:
    """Return a value, or an item, which has no key."""
    line, column = place_of(node, key)
    if node.id != "scalar":
        document.add_problem(f"each item of {name} must be a plain value", line, column)
        return None
    return Scalar(node.value, core_type(node), line, column) if _is_plain(document, node) else None


def _is_plain(document: Document, node: Any) -> bool:
    """Tell whether a node does without YAML's anchors, aliases and tags; one that does not is a problem."""
    message = find_foreign(node)
    if message:
        document.add_problem(message, *place_of(node))
    return not message
