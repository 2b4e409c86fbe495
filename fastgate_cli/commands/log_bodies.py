"""Recorded bodies as people read them: JSON laid out, anything else as it is, marks told apart. Pure.

A number keeps its digits and a name that comes twice is shown twice: this is evidence.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_MARK = re.compile(r"\[(?:cut at (?P<kept>\d+) of (?P<size>\d+) bytes|binary, (?P<binary>\d+) bytes)\]\Z")
_LAID_OUT_MAX = 1024 * 1024  # characters; a longer text, or a deeper one, is shown as it is
_DEPTH_MAX = 64
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)


class Body(NamedTuple):
    """A body: its text, whether that is JSON, and what the recorder said of it (cut, binary)."""

    text: str
    is_json: bool
    mark: str


def split_mark(text: str) -> tuple[str, str]:
    """Return a recorded body without the recorder's mark at its end, and that mark."""
    found = _MARK.search(text)
    return (text[: found.start()], found[0][1:-1]) if found else (text, "")


def is_whole(text: str, size: int | None) -> bool:
    """Tell whether a recorded body of a request of `size` bytes is all of it, and no mark in its place."""
    found = _MARK.search(text)
    return found is None or str(size) not in (found["size"], found["binary"])


def read_body(text: str) -> Body:
    """Return a recorded body as it is to be shown."""
    content, mark = split_mark(text)
    laid_out = None if mark else lay_out_json(content)
    return Body(content, False, mark) if laid_out is None else Body(laid_out, True, "")


def lay_out_json(text: str) -> str | None:
    """Return a JSON object or array with a line for each of its values; None if the text is none."""
    import msgspec

    if len(text) > _LAID_OUT_MAX or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        if _measure_depth(text) > _DEPTH_MAX:
            return None
        laid_out: str = msgspec.json.format(text, indent=2)
    except (ValueError, RecursionError):
        return None
    return _ESCAPES.sub(_spell_escape, laid_out)


def _measure_depth(text: str) -> int:
    """Return how deep JSON is nested. Not for anything else: it could take the square of its length."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest


def _spell_escape(found: re.Match[str]) -> str:
    """Return the character that an escape means, if a person can read it and JSON need not escape it."""
    if not found[0].startswith("\\u"):
        return found[0]
    character: str = json.loads(f'"{found[0]}"')
    return character if character.isprintable() and character not in '"\\' else found[0]
