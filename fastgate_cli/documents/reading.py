"""A document as the keys and routes that it wants, each with the places of its fields.

Everything that is wrong with it is told at once. What depends on the database is for `plan.py` to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastgate_cli.documents.fields import Place, Reading, Shape
from fastgate_cli.documents.key_fields import KEY
from fastgate_cli.documents.route_fields import NAME, ROUTE
from proxy.documents.tree import LIST, MAP, Faults, Member, Node, read_tree
from proxy.errors import InvalidInputError

DOCUMENT_BYTES_MAX = 8 << 20
# A field may hold JSON as deep as any that is accepted.
DEPTH_MAX = 140
SECTIONS: Mapping[str, Shape] = {"keys": KEY, "routes": ROUTE}
_COUNTED = frozenset({"created_at", "updated_at", "usage_count", "last_used_at", "status"})
_NEEDS = {
    "key": "a key needs a key_id, by which it is found again: letters, digits, _ . or -",
    "route": "a route needs a route_id or a route_name, by which it is found again",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key or a route as a document has it.

    `values` are its fields but the id. A field that is left out has its default there, unless leaving it out
    means that it stays as it is. `is_whole` is false where faults were found in it.
    """

    shape: Shape
    object_id: str | None
    name: str | None  # of a route
    values: Mapping[str, Any] = field(repr=False)
    node: Node = field(repr=False)
    members: Mapping[str, Member] = field(repr=False)
    is_whole: bool = True

    def place_of(self, name: str) -> Place:
        """Return where a field stands, or the whole for one that does not."""
        return self.members.get(name, self.node)


@dataclass(frozen=True, slots=True)
class Document:
    """What a document wants, by section; one that it does not have is none of its concern."""

    sections: Mapping[str, tuple[Wanted, ...]]

    def wants(self, section: str) -> tuple[Wanted, ...]:
        """Return the objects of a section."""
        return self.sections.get(section, ())


def read_document(content: bytes, reading: Reading) -> Document:
    """Return the document; its faults are in `reading.faults`.

    Raises ConfigurationError for what cannot be read as YAML at all.
    """
    faults = reading.faults
    root = read_tree(content, faults, bytes_max=DOCUMENT_BYTES_MAX, depth_max=DEPTH_MAX)
    if root is None or root.kind == "null":
        return Document({})
    if root.kind != MAP:
        faults.add("a document holds the sections keys and routes", root)
        return Document({})
    sections = {}
    for member in root.members:
        name, node = member.name, member.value
        if name not in SECTIONS:
            faults.add(f"unknown section {name!r}{_suggest(name, [*SECTIONS])}", member)
        elif node.kind == LIST:
            sections[name] = tuple(_read_objects(node, SECTIONS[name], reading))
        elif node.kind != "null":
            faults.add(f"{name} must be a list, or [] for none", node)
    return Document(sections)


def _read_objects(section: Node, shape: Shape, reading: Reading) -> Iterator[Wanted]:
    """Yield the objects of a section; a second one of the same id or name is told."""
    seen: dict[tuple[str, str | None], int] = {}
    for node in section.items:
        if node.kind != MAP:
            reading.faults.add(f"each {shape.kind} must be a mapping of its fields", node)
            continue
        wanted = _read_object(node, shape, reading)
        for label, text in (("id", wanted.object_id), ("name", wanted.name)):
            first = seen.setdefault((label, text), node.line)
            if text is not None and first != node.line:
                place = wanted.place_of(shape.id_name if label == "id" else NAME)
                reading.faults.add(f"the {label} {text!r} is given twice, first in line {first}", place)
        yield wanted


def _read_object(node: Node, shape: Shape, reading: Reading) -> Wanted:
    faults = reading.faults
    known = len(faults.problems)
    members = {member.name: member for member in _known_members(node, shape, faults)}
    values = dict(_read_fields(shape, members, reading))
    object_id = values.pop(shape.id_name, None)
    if shape is ROUTE:
        values[NAME] = values[NAME] or object_id
    _check_needs(shape, node, members, faults)
    wanted = Wanted(shape, object_id, values.get(NAME), values, node, members)
    if len(faults.problems) == known:
        shape.check(values, wanted.place_of, reading)
    is_whole = len(faults.problems) == known
    return wanted if is_whole else Wanted(shape, object_id, wanted.name, values, node, members, is_whole)


def _check_needs(shape: Shape, node: Node, members: Mapping[str, Member], faults: Faults) -> None:
    """Tell what an object cannot be without; where it is there and empty, at its place."""
    given = {name for name, member in members.items() if member.value.kind != "null"}
    needs = {name: f"this {shape.kind} has no {name}" for name in shape.required - given}
    if given.isdisjoint((shape.id_name, NAME)):
        needs[shape.id_name] = _NEEDS[shape.kind]
    for name, message in needs.items():
        faults.add(message, members[name].value if name in members else node)


def _known_members(node: Node, shape: Shape, faults: Faults) -> Iterator[Member]:
    names = [field.name for field in shape.fields]
    for member in node.members:
        if member.name in names:
            yield member
        elif member.name in _COUNTED:
            faults.add(f"{member.name} is the gateway's own and no part of a document", member)
        else:
            faults.add(f"a {shape.kind} has no field {member.name!r}{_suggest(member.name, names)}", member)


def _read_fields(shape: Shape, members: Mapping[str, Member], reading: Reading) -> Iterator[tuple[str, Any]]:
    """Yield the fields that have a value; where one is wrong that is told, and its default stands for it."""
    for known in shape.fields:
        member = members.get(known.name)
        is_empty = member is None or (
            member.value.kind == "null" and known.name not in shape.kept_if_left_out
        )
        if member is not None and not is_empty:
            try:
                yield known.name, known.read(member.value, reading)
                continue
            except InvalidInputError as error:
                reading.faults.add_error(error, member.value)
        if known.name not in shape.kept_if_left_out:
            yield known.name, known.default


def _suggest(name: str, known: list[str]) -> str:
    """Return what was probably meant, as the end of a message."""
    from difflib import get_close_matches  # only a mistake has to pay for it

    near = get_close_matches(name, known, n=1) or [word for word in known if name and name in word][:3]
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
