"""How values that arrive in pieces are put together: text, lists, objects, and lists by index.

The parts of one merged response share a `Room`, so that a hostile stream of a million names costs no more
than a bounded number of them. Text is kept in pieces and joined once; everything that is not text is kept as
its JSON. What a piece means is for the dialects to say; here it is only kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from proxy.audit.streams.event_json import encode, freeze

PARTS_MAX = 20_000  # fields, choices, tool calls and blocks of one merged response
# Said again with every piece by some servers, and never in pieces.
_NAMING = frozenset({"id", "type", "role", "index", "format"})
# Whole in the first piece, or in several; some servers say it again with every piece.
_REPEATED = frozenset({"name"})
_OBJECTS = frozenset({"function", "function_call", "custom", "audio"})
_INDEXED = frozenset({"reasoning_details"})


class RoomError(Exception):
    """A part more than there is room for: it is left out."""


class Room:
    """How many more parts there may be."""

    __slots__ = ("_left",)

    def __init__(self, parts_max: int = PARTS_MAX) -> None:
        self._left = parts_max

    def take(self) -> None:
        """Count one part more; raise `RoomError` if that is one too many."""
        if self._left <= 0:
            raise RoomError
        self._left -= 1


class Part(Protocol):
    """What grows with each piece, and is built at the end."""

    def __init__(self, room: Room) -> None: ...

    def build(self) -> object:
        """Return what the pieces so far make."""


P = TypeVar("P", bound=Part)


class Pieces:
    """A text, or a list, or a list that texts came between (Mistral sends content as both)."""

    __slots__ = ("_is_list", "_items", "texts")

    def __init__(self, _: Room) -> None:
        self.texts: list[str] = []
        self._items = bytearray()  # as JSON, with commas between
        self._is_list = False

    def extend(self, values: list[Any]) -> None:
        """Add the items of a list."""
        self._is_list = True
        self._close_text()
        if values:
            self._add_items(encode(values)[1:-1])

    def build(self) -> object:
        """Return the text or the list."""
        if not self._is_list:
            return "".join(self.texts)
        self._close_text()
        return msgspec.Raw(b"[" + self._items + b"]")

    def _close_text(self) -> None:
        if self.texts:
            self._add_items(encode("".join(self.texts)))
            self.texts = []

    def _add_items(self, items: bytes) -> None:
        if self._items:
            self._items += b","
        self._items += items


class Fields:
    """An object. Its fields stand in the order in which they first came."""

    __slots__ = ("_parts", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._parts: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return a field's value as it was put, or what it grows in; None if there is none."""
        return self._parts.get(name)

    def put(self, name: str, value: object) -> None:
        """Set a field to a whole value. The last one stands, unless it is null, {} or []."""
        if name not in self._parts:
            self._room.take()
        elif value is None or value in ({}, []):
            return
        self._parts[name] = freeze(value) if isinstance(value, (dict, list)) else value

    def put_all(self, values: Mapping[str, object], growing: frozenset[str] = frozenset()) -> None:
        """Set a field for each of an object's; texts of the `growing` ones are where those begin."""
        for name, value in values.items():
            if name in growing and isinstance(value, str):
                self.append(name, value)
            else:
                self.put(name, value)

    def keep(self, name: str, value: object) -> None:
        """Set a field that has no value yet, or an empty one. The first value stands."""
        if not self._parts.get(name):
            self.put(name, value)

    def append(self, name: str, text: str) -> None:
        """Add to a text."""
        self.open(name, Pieces).texts.append(text)

    def append_once(self, name: str, text: str) -> None:
        """Add to a text, unless all it has is this text already."""
        texts = self.open(name, Pieces).texts
        if texts != [text]:
            texts.append(text)

    def extend(self, name: str, values: list[Any]) -> None:
        """Add to a list."""
        self.open(name, Pieces).extend(values)

    def open(self, name: str, kind: type[P]) -> P:
        """Return the part that a field grows in; it takes the place of a value of another kind."""
        part = self._parts.get(name)
        if type(part) is kind:
            return part
        if name not in self._parts:
            self._room.take()
        part = self._parts[name] = kind(self._room)
        return part

    def build(self) -> dict[str, Any]:
        """Return the object."""
        return {name: _build(part) for name, part in self._parts.items()}


class Entries:
    """A list of objects that come by index, in any order."""

    __slots__ = ("_all", "_open", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._open: dict[int, Fields] = {}
        self._all: list[tuple[int, Fields]] = []

    def __iter__(self) -> Iterator[Fields]:
        return (entry for _, entry in self._all)

    def open(self, index: object) -> Fields:
        """Return the object at an index; what is no number means the first."""
        index = index if type(index) is int else 0
        return self._open.get(index) or self.renew(index)

    def renew(self, index: object) -> Fields:
        """Begin another object at an index that has one."""
        index = index if type(index) is int else 0
        self._room.take()
        entry = self._open[index] = Fields(self._room)
        self._all.append((index, entry))
        return entry

    def build(self) -> list[dict[str, Any]]:
        """Return the list, sorted by index."""
        return [entry.build() for _, entry in sorted(self._all, key=lambda pair: pair[0])]


def _build(part: Any) -> object:
    return part.build() if isinstance(part, (Pieces, Fields, Entries)) else part


def add_delta(fields: Fields, delta: Mapping[str, Any]) -> None:
    """Add a piece of an object: texts grow, lists grow, of other values the last one stands."""
    for name, value in delta.items():
        if type(value) is str:
            _add_text(fields, name, value)
        elif type(value) is list:
            _add_list(fields, name, value)
        elif type(value) is dict and name in _OBJECTS:
            add_delta(fields.open(name, Fields), value)
        else:
            fields.put(name, value)


def _add_text(fields: Fields, name: str, text: str) -> None:
    if name in _NAMING:
        fields.keep(name, text)
    elif name in _REPEATED:
        fields.append_once(name, text)
    else:
        fields.append(name, text)


def _add_list(fields: Fields, name: str, values: list[Any]) -> None:
    if name not in _INDEXED or not all(type(value) is dict for value in values):
        fields.extend(name, values)
        return
    entries = fields.open(name, Entries)
    for value in values:
        add_delta(entries.open(value.get("index")), value)
