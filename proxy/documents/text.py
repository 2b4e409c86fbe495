"""Values as lines of YAML that every reader takes for the same: YAML 1.1, 1.2, and a hasty person.

Text stands without quotes only if it begins with a letter, `/` or `$`, is of plain words, and is no word that
any reader takes for something else, such as `no`. Other text is a JSON string, which YAML reads as it is;
several plain lines are a literal block. Numbers are JSON's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

INDENT = 2
_WORD = r"(?:[A-Za-z0-9_./,*$+@~{}=()-]|:(?=[A-Za-z0-9_/$*]))+"
_PLAIN = re.compile(rf"(?=[A-Za-z/$]){_WORD}(?: {_WORD})*")
# Words that some reader of YAML takes for something else than text.
MISREAD = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null"})
# Beyond what JSON escapes: what ends a line somewhere, is invisible, or is not allowed in YAML.
_SPECIAL = re.compile("[\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ufffe\uffff]")
_NAME_LENGTH_MAX = 1000  # a reader gives up looking for the colon of a longer one after 1024


def write_members(members: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Yield the lines of a mapping that is not empty."""
    for name, value in members.items():
        yield from write_member(name, value, indent)


def write_member(name: str, value: Any, indent: int = 0, *, comment: str = "") -> Iterator[str]:
    """Yield the lines of one name and its value; a comment stands behind a value of one line."""
    pad, spelled = " " * indent, spell_scalar(name)
    if len(spelled) > _NAME_LENGTH_MAX:
        yield f"{pad}? {spelled}"
        spelled = ""
    first, *rest = _write_value(value, indent + INDENT)
    yield f"{pad}{spelled}:{' ' + first if first else ''}{'  # ' + comment if comment else ''}"
    yield from rest


def write_items(items: Sequence[Any], indent: int = 0) -> Iterator[str]:
    """Yield the lines of a list that is not empty."""
    for item in items:
        if item and isinstance(item, Mapping):
            yield from mark_item(write_members(item, indent + INDENT), indent)
        elif isinstance(item, list | tuple) and not _is_short(item):
            yield from mark_item(write_items(item, indent + INDENT), indent)
        else:
            first, *rest = _write_value(item, indent + INDENT)
            yield f"{' ' * indent}- {first}"
            yield from rest


def mark_item(lines: Iterator[str], indent: int) -> Iterator[str]:
    """Yield the lines of one item of a list, given as if it stood alone, deeper by INDENT."""
    first = next(lines)
    yield f"{' ' * indent}- {first[indent + INDENT :]}"
    yield from lines


def spell_scalar(value: str | float | bool | None) -> str:
    """Return a value on one line."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in MISREAD
        return value if is_plain else quote(value)
    text = json.dumps(value, allow_nan=False)
    # YAML 1.1 takes a number with an exponent for text unless it has a point.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def quote(text: str) -> str:
    """Return a text in double quotes, with everything escaped that would not be seen or is not allowed."""
    return _SPECIAL.sub(_escape, json.dumps(text, ensure_ascii=False))


def _write_value(value: Any, indent: int) -> Iterator[str]:
    """Yield what stands behind a colon or a dash, and the lines below it."""
    if isinstance(value, str) and _is_block(value):
        yield "|" if value.endswith("\n") else "|-"
        for line in value.removesuffix("\n").split("\n"):
            yield " " * indent + line if line else ""
    elif isinstance(value, Mapping):
        yield "" if value else "{}"
        yield from write_members(value, indent)
    elif isinstance(value, list | tuple):
        yield f"[{', '.join(map(spell_scalar, value))}]" if _is_short(value) else ""
        yield from () if _is_short(value) else write_items(value, indent)
    else:
        yield spell_scalar(value)


def _is_short(items: Sequence[Any]) -> bool:
    return not any(isinstance(item, str | Mapping | list | tuple) for item in items)


def _is_block(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    are_plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return "\n" in text and are_plain and lines[0] != "" and lines[-1] != "" and not lines[0].startswith(" ")


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
