"""What a field of a document is, and the readers that keys and routes share.

A reader makes a field's value from a node. It raises `InvalidInputError` for the node as a whole, and tells
faults of what lies within the node at their own places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

from proxy.clock import STORAGE_TIMEZONE
from proxy.documents.tree import LIST, MAP, TEXT_TYPES, Faults, Member, Node, read_json
from proxy.errors import InvalidInputError

Kind = Literal["key", "route"]
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_KIND_NAMES = {MAP: "a mapping", LIST: "a list", "bool": "true or false", "null": "nothing"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What readers need besides a node.

    Where faults go, where relative paths start, the zone of times without one, and `proxy.max_retries`.
    """

    faults: Faults
    now: datetime
    folder: Path = Path()
    zone: tzinfo = STORAGE_TIMEZONE
    retries_max: int = 100


Place = Node | Member
Reader = Callable[[Node, Reading], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, which is that of the column, how it is read, and its value if it is left out.

    `is_written` fields stand in every document; of the others only those that differ from their default.
    """

    name: str
    read: Reader = field(repr=False)
    default: Any = None
    is_written: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a key or of a route.

    `required` ones have no default. Those `kept_if_left_out` stay what they are in the database; an empty one
    is for its reader to judge, while any other that is empty is as good as left out. `check` is given the
    values of one object and a function for their places, and tells what speaks against each other.
    """

    kind: Kind
    id_name: str
    fields: tuple[Field, ...]
    check: Callable[[Mapping[str, Any], Callable[[str], Place], Reading], None]
    required: frozenset[str] = frozenset()
    kept_if_left_out: frozenset[str] = frozenset()


def read_text(node: Node, _: Reading) -> str:
    """Return a text; a number or a boolean has to be in quotes to be one."""
    if node.kind in (MAP, LIST, "null"):
        raise InvalidInputError(f"this must be text, not {_KIND_NAMES[node.kind]}")
    if node.kind not in TEXT_TYPES:
        raise InvalidInputError("this must be text; put it in quotes")
    return node.text


def read_flag(node: Node, _: Reading) -> bool:
    """Return a boolean."""
    if node.kind != "bool":
        raise InvalidInputError("this must be true or false")
    return node.text.lower() == "true"


def read_number(low: int, high: int) -> Reader:
    """Return the reader of a whole number between two bounds, both allowed."""

    def read(node: Node, _: Reading) -> int:
        is_number = node.kind == "int" and _WHOLE_NUMBER.fullmatch(node.text)
        if not is_number or not low <= int(node.text) <= high:
            raise InvalidInputError(f"this must be a whole number from {low} to {high}")
        return int(node.text)

    return read


def read_choice(*choices: str) -> Reader:
    """Return the reader of one word of several."""

    def read(node: Node, _: Reading) -> str:
        # A version such as 2 may stand without quotes: nothing else could be meant.
        if node.kind in (MAP, LIST) or node.text not in choices:
            raise InvalidInputError(f"this must be {', '.join(choices[:-1])} or {choices[-1]}")
        return node.text

    return read


def read_checked(check: Callable[[str], object]) -> Reader:
    """Return the reader of a text that a check accepts; what the check returns is of no concern."""

    def read(node: Node, reading: Reading) -> str:
        text = read_text(node, reading)
        check(text)
        return text

    return read


def read_list(read_item: Reader) -> Reader:
    """Return the reader of a list; every item that is wrong is told at its own place."""

    def read(node: Node, reading: Reading) -> list[Any]:
        if node.kind != LIST:
            raise InvalidInputError("this must be a list such as [a, b], or [] for none")
        values = []
        for item in node.items:
            try:
                values.append(read_item(item, reading))
            except InvalidInputError as error:
                reading.faults.add_error(error, item)
        return values

    return read


def read_any(node: Node, reading: Reading) -> Any:
    """Return the JSON value of a node."""
    return read_json(node, reading.faults)


def members_of(node: Node) -> Sequence[Member]:
    """Return the members of a mapping, or raise `InvalidInputError`."""
    if node.kind != MAP:
        raise InvalidInputError("this must be a mapping such as {name: value}, or {} for none")
    return node.members


def differs(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are not the same: for Python 1 is true and 1.0, and here it is not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() != other.keys() or any(differs(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) != len(other) or any(map(differs, one, other))
    return type(one) is not type(other) or bool(one != other)
