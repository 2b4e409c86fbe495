"""A YAML document as a tree of values with places: JSON's values, whatever YAML would make of them besides.

A scalar keeps its text and its YAML type, and whoever knows what is wanted decides. Numbers are those of JSON
alone: `0o7`, `1_000` and `.inf` are told, and no value is taken for another than it looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.documents.nodes import compose, core_type, decode, find_foreign, place_of
from proxy.errors import InvalidInputError, Problem
from proxy.policy.json_text import parse_json

MAP, LIST = "map", "list"
# Of YAML 1.1 alone, which ruamel goes by here: a date is text, as it is in JSON.
TEXT_TYPES = frozenset({"str", "timestamp"})
_NUMBER_TYPES = frozenset({"int", "float"})


@dataclass(frozen=True, slots=True)
class Node:
    """One value and its place, counted from 1: that of its name where nothing is written for it.

    `kind` is MAP with `members`, LIST with `items`, or the YAML type of a scalar (`str`, `int`, ...) with
    `text`, which may be a secret and is not in the repr.
    """

    kind: str
    line: int
    column: int
    text: str = field(default="", repr=False)
    items: tuple[Node, ...] = ()
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One name of a mapping and what it holds; the place is that of the name."""

    name: str
    line: int
    column: int
    value: Node


@dataclass(slots=True)
class Faults:
    """What is wrong with a document, as it is found."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, message: str, place: Node | Member) -> None:
        """Note a fault at the place of a value or of a name."""
        self.problems.append(Problem(message, self.file, place.line, place.column))

    def add_error(self, error: InvalidInputError, place: Node | Member) -> None:
        """Note what a check has refused, with what it says about how to write it."""
        self.add(f"{error.message} ({error.hint})" if error.hint else error.message, place)


def read_tree(content: bytes, faults: Faults, *, bytes_max: int, depth_max: int) -> Node | None:
    """Return the root of a document, None for an empty one. What is not accepted in it is told and left out.

    Raises ConfigurationError for what cannot be read as YAML at all.
    """
    root = compose(decode(content, faults.file, bytes_max), faults.file, depth_max)
    return None if root is None else _build_node(root, faults)


def read_json(node: Node, faults: Faults) -> Any:
    """Return the JSON value of a node; what JSON has not is told."""
    if node.kind == MAP:
        return {member.name: read_json(member.value, faults) for member in node.members}
    if node.kind == LIST:
        return [read_json(item, faults) for item in node.items]
    if node.kind in _NUMBER_TYPES:
        return _read_number(node, faults)
    if node.kind == "bool":
        return node.text.lower() == "true"
    return None if node.kind == "null" else node.text


def _read_number(node: Node, faults: Faults) -> Any:
    try:
        return parse_json(node.text.encode())
    except InvalidInputError:
        faults.add("this is no number as JSON writes it; put it in quotes if it is text", node)
        return None


def _build_node(node: Any, faults: Faults, name: Any = None) -> Node | None:
    line, column = place_of(node, name)
    if message := find_foreign(node):
        faults.problems.append(Problem(message, faults.file, line, column))
        return None
    if node.id == "mapping":
        return Node(MAP, line, column, members=tuple(_build_members(node, faults)))
    if node.id == "sequence":
        items = [_build_node(item, faults) for item in node.value]
        return Node(LIST, line, column, items=tuple([item for item in items if item is not None]))
    built = Node(core_type(node), line, column, _join_surrogates(node.value))
    if not _is_writable(built.text):
        faults.add("this text has half of a surrogate pair, which is no character", built)
        return None
    return built


def _build_members(node: Any, faults: Faults) -> Iterator[Member]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, held = _build_node(key, faults), _build_node(value, faults, key)
        if name is None:
            continue
        if name.kind not in TEXT_TYPES:
            faults.add("a name must be text; put one such as 1 or true in quotes", name)
        elif name.text in seen:
            faults.add(f"{name.text!r} is given twice, first in line {seen[name.text]}", name)
        else:
            seen[name.text] = name.line
            if held is not None:
                yield Member(name.text, name.line, name.column, held)


def _join_surrogates(text: str) -> str:
    # JSON writes a character beyond U+FFFF as two escapes, and YAML reads each of them by itself.
    if text.isascii() or _is_writable(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
