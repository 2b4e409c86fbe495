"""The conditions of an old route besides its path: methods, headers, body.

The predecessor compared a header's value without regard to case, or with a regular expression behind
`regex:`, and knew of JSON Schema only types, required members, properties and items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.policy.model import METHODS
from proxy.predecessor.notes import Notebook
from proxy.predecessor.values import OldRow, read_json, read_text, show
from proxy.store.routes import ANY_METHOD

_EXPRESSION = "regex:"
# What tells a JSON Schema from the short form, in which every member is a condition.
_SCHEMA_WORDS = frozenset(
    ("type", "properties", "required", "items", "additionalProperties", "enum", "const")
)
_CHECKED_WORDS = frozenset(("type", "properties", "required", "items"))
_CHECKED_TYPES = frozenset(("object", "array", "string", "number", "boolean"))
_UNCHECKED_HARMLESS = frozenset(("title", "description", "$schema", "$id", "$comment", "default", "examples"))
_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")


def convert_methods(old: OldRow, book: Notebook) -> str:
    """Return the methods as our table has them: ANY, or names joined by commas."""
    text = read_text(old["match_method"]) or ANY_METHOD
    if text.upper() == ANY_METHOD:
        return ANY_METHOD
    names = [*dict.fromkeys(name.strip().upper() for name in text.split(","))]
    known = [name for name in names if name in METHODS]
    if not known:
        book.refuse("match_method", f"{show(text)!r} names no method that a gateway forwards")
        return ANY_METHOD
    if known != names:
        dropped = ", ".join(show(name) for name in names if name not in known)
        book.change("match_method", f"{dropped} is dropped: no request ever had it")
    return ",".join(known)


def convert_header_match(old: OldRow, book: Notebook) -> dict[str, str]:
    """Return the headers that a request must have, their values as globs."""
    is_json, headers = read_json(old["match_headers"])
    column = "match_headers"
    if not is_json or not isinstance(headers, dict | None):
        book.refuse(column, "it is not a JSON object")
        return {}
    converted = {}
    for name, value in (headers or {}).items():
        if not isinstance(value, str):
            book.refuse(column, f"the value of {show(name)!r} is not a text")
        elif not value.startswith(_EXPRESSION):
            converted[name] = value
            if "*" in value:
                book.warn(column, f"the '*' in the value of {show(name)!r} now stands for any text")
        elif (glob := convert_expression(value.removeprefix(_EXPRESSION))) is not None:
            converted[name] = glob
            book.change(column, f"{show(value)!r} is written {show(glob)!r}")
        else:
            book.refuse(column, f"the regular expression of {show(name)!r} has no equal here")
        if name in converted and converted[name].strip("*").lower() != converted[name].strip("*").upper():
            book.warn(column, f"the value of {show(name)!r} is compared exactly now, capitals and all")
    return converted


def convert_expression(text: str) -> str | None:
    """Return the glob of a regular expression that is searched for, None if there is none."""
    start, end = text.startswith("^"), text.endswith("$") and not text.endswith("\\$")
    inner = text[start : len(text) - end]
    pieces = inner.split(".*")
    if any(_SPECIAL.search(re.sub(r"\\[^A-Za-z0-9*]", "", piece)) for piece in pieces):
        return None
    glob = "*".join(re.sub(r"\\(.)", r"\1", piece) for piece in pieces)
    return re.sub(r"\*+", "*", ("" if start else "*") + glob + ("" if end else "*"))


def convert_schema(old: OldRow, book: Notebook) -> dict[str, Any] | None:
    """Return the JSON Schema that the body has to fit, or None for no condition."""
    column = "match_body_schema"
    is_json, schema = read_json(old[column])
    if not is_json or not isinstance(schema, dict | None):
        book.refuse(column, "it is not a JSON object")
        return None
    if not schema:
        return None
    if _SCHEMA_WORDS.isdisjoint(schema):
        book.change(column, f"the short form {show(schema)} is written as a JSON Schema")
        return expand_schema(schema)
    if words := sorted(set(_find_unchecked(schema))):
        book.warn(column, f"{', '.join(words)} had no effect before, and is checked now")
    return schema


def expand_schema(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a short form: each member has to be there, with just that value."""
    return {
        "type": "object",
        "required": list(wanted),
        "properties": {name: {"enum": [value]} for name, value in wanted.items()},
    }


def _find_unchecked(schema: object) -> Iterator[str]:
    """Yield the words of a schema that the predecessor did not look at."""
    if not isinstance(schema, dict):
        return
    for word, value in schema.items():
        if word == "type" and value not in _CHECKED_TYPES:
            yield f"type {show(value)}"
        elif word not in _CHECKED_WORDS | _UNCHECKED_HARMLESS:
            yield show(word)
    properties = schema.get("properties")
    for inner in properties.values() if isinstance(properties, dict) else ():
        yield from _find_unchecked(inner)
    yield from _find_unchecked(schema.get("items"))
