"""Body fields that a route sets: edits of the text, not of its value.

Only the named fields change. Every other byte stays as the client wrote it: blanks, escapes, the order of
members, numbers with more digits than a double holds. A field that is there has its value replaced in place;
one that is not is put in before the closing brace.

A member whose name differs from a field's only in case has its value replaced too. Go's encoding/json, and so
Ollama, takes the last of `model` and `Model` for either: whichever a backend reads, it is the route's value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body
from proxy.policy.json_text import dump_json, parse_json

FIELD_LENGTH_MAX = 200
Fields = Mapping[str, "Fields | str"]
Edit = tuple[int, int, str]  # from where to where, and what is put there
_BLANKS = re.compile(r"[ \t\n\r]*")
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# From behind the brace, or the member before, up to and with the value; of an object or an array, up to it.
_MEMBER = re.compile(
    r'[ \t\n\r,]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*+:[ \t\n\r]*+((?:'
    + _STRING
    + r'|[^][{}", \t\n\r]++)?+)'
)
_read_value = json.JSONDecoder().raw_decode


def compile_edits(fields: Iterable[tuple[str, bytes]]) -> Fields:
    """Return the fields as a tree, from names whose dots reach into objects and values as JSON text.

    Raises `InvalidInputError` for a name that means nothing, a value that is not JSON, and two names of which
    one is within the other.
    """
    root: dict[str, Fields | str] = {}
    for name, text in fields:
        path = name.split(".")
        if not all(path) or len(name) > FIELD_LENGTH_MAX or not name.isprintable():
            raise InvalidInputError(
                f"{name[:40]!r} is not a body field", hint="write it as temperature, or options.num_ctx"
            )
        try:
            parse_json(text)
        except InvalidInputError as fault:
            raise InvalidInputError(f"the value of the body field {name!r} is not usable: {fault}") from None
        here = root
        for step in path[:-1]:
            inner = here.setdefault(step, {})
            if not isinstance(inner, dict):
                raise _contradict(name)
            here = inner
        if path[-1] in here:
            raise _contradict(name)
        here[path[-1]] = text.decode()
    return root


def edit_body(body: Body, fields: Fields) -> bytes | None:
    """Return the bytes to send in place of a body, in no content encoding; an absent one stays as it is.

    Raises `BodyUnreadError` if it has to be read first, `InvalidInputError` if it is not a JSON object.
    """
    if body.is_absent:
        return body.raw
    if not isinstance(body.parse(), dict):
        raise InvalidInputError("it is not a JSON object")
    return edit_text(body.read_content().decode(), fields).encode()


def edit_text(text: str, fields: Fields) -> str:
    """Return the text of a JSON object with its fields set. It has been parsed before, strictly."""
    pieces: list[str] = []
    copied = 0
    for start, end, replacement in _find_edits(text, _skip_blanks(text, 0), fields):
        pieces += (text[copied:start], replacement)
        copied = end
    return "".join((*pieces, text[copied:]))


def _find_edits(text: str, brace: int, fields: Fields) -> Iterator[Edit]:
    """Yield the edits of the object that begins at `brace`, in the order of the text."""
    missing = dict(fields)
    alike = {name.casefold(): wanted for name, wanted in fields.items()}
    last = brace + 1  # behind the last member, where further ones go
    for name, start, end in _find_members(text, brace):
        last = end
        wanted = missing.pop(name, None) or alike.get(name.casefold())
        if isinstance(wanted, str):
            yield start, end, wanted
        elif wanted is not None and text[start] == "{":
            yield from _find_edits(text, start, wanted)
        elif wanted is not None:
            yield start, end, _dump_fields(wanted)
    if missing:
        members = _dump_fields(missing)[1:-1]
        yield last, last, members if last == brace + 1 else "," + members


def _find_members(text: str, brace: int) -> Iterator[tuple[str, int, int]]:
    """Yield name, begin and end of the value of each member of an object."""
    position = brace + 1
    while member := _MEMBER.match(text, position):
        name = member[1] if "\\" not in member[1] else json.loads(f'"{member[1]}"')
        start = member.start(2)
        position = member.end(2) if member[2] else _read_value(text, start)[1]
        yield name, start, position


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    assert match is not None
    return match.end()


def _dump_fields(fields: Fields) -> str:
    members = (
        f"{dump_json(name).decode()}:{value if isinstance(value, str) else _dump_fields(value)}"
        for name, value in fields.items()
    )
    return "{" + ",".join(members) + "}"


def _contradict(name: str) -> InvalidInputError:
    return InvalidInputError(
        f"the body field {name!r} is set twice", hint="a field and a part of it cannot both be set"
    )
