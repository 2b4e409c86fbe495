"""JSON as strictly as two readers have to agree on it (RFC 8259, and RFC 7493 for what that leaves open).

UTF-8 without a byte order mark, no NaN and no number beyond a double's range, no member named twice, no half
of a surrogate pair, a bounded depth. What is refused here could be read in two ways, and then a rule would
look at one value and the backend act on the other. An error names the place and quotes nothing of the text.

Clients choose the text, so little here loops over it in Python. msgspec reads it, and is as strict as all
that but for names and depth, which are counted. What it refuses is read again by the standard library, or by
a regular expression that never goes back, to find the place. All of it takes time in proportion to the text,
wherever it is wrong: a megabyte with a fault at its end once stalled everybody for two seconds (issue 11, d).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

from proxy.errors import InvalidInputError

DEPTH_MAX = 128  # far below the depth at which the interpreter itself gives up
# Commas and opening brackets: there are about as many values. One of three bytes (`{},`) takes 72 as an
# object, so that 32 MB of them would take most of a gigabyte. Nothing that a model reads comes near it.
PARTS_MAX = 500_000
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_NOT_PARTS = bytes(set(range(256)) - set(b",[{"))
_BLANKS_BEFORE_COLON = (b" :", b"\n:", b"\r:", b"\t:")
_SPARSE_BYTES = 256
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes, what each adds to the depth
# Everything up to half of a surrogate pair, in a text that is valid otherwise.
_BEFORE_HALF = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+(?=\\)", re.DOTALL
)
# Everything up to a number that may be out of range, and that number (or a word that is none).
_LARGE = re.compile(
    rb"(?:[^\"0-9NI-]++|"
    + _STRING
    + rb"|-?[0-9]{1,200}+(?:\.[0-9]++)?+(?:[eE](?:-[0-9]++|\+?0*+[0-9]{1,2}+))?+"
    rb"(?![0-9.eE]))*+(-?(?:[0-9][0-9.eE+-]*+|NaN|Infinity))",
    re.DOTALL,
)
_WORDS = (b"NaN", b"Infinity", b"-Infinity")
_read = msgspec.json.Decoder().decode


class _DuplicateError(Exception):
    """An object names a member twice. The argument counts the objects that have ended, this one included."""


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON text; `InvalidInputError` names the line and column of what is wrong."""
    if len(raw) > PARTS_MAX and len(raw.translate(None, _NOT_PARTS)) > PARTS_MAX:
        raise InvalidInputError(
            f"it has more than {PARTS_MAX:,} commas and brackets, too many to be looked at"
        )
    try:
        value = _read(raw)
    except (msgspec.DecodeError, RecursionError):
        raise _find_fault(raw) from None
    members = _count_members(value)
    if members is None:
        raise _find_depth_fault(raw)
    if not _has_no_more(raw, members):
        _check_names(raw)
    return value


def _has_no_more(raw: bytes, members: int) -> bool:
    """Tell whether a valid text has surely no more members than its value, so that none repeats a name.

    Each member of the text has a colon, and a `":` unless there is a blank between. What else looks like one
    of these, in a string, can only add to their number.
    """
    if members == raw.count(b":"):
        return True
    if (
        len(raw) > members * _SPARSE_BYTES
    ):  # where looking for blanks takes longer than reading the text again
        return False
    return members == raw.count(b'":') and not any(blank in raw for blank in _BLANKS_BEFORE_COLON)


def dump_json(value: object) -> bytes:
    """Return a value as JSON text, without blanks and with every integer exact."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def is_too_deep(text: str, value: Any) -> bool:
    """Tell whether a text, and the value that it is of, is nested more than `DEPTH_MAX` levels deep."""
    return text.count("[") + text.count("{") > DEPTH_MAX and _count_members(value) is None


def _count_members(value: Any) -> int | None:
    """Return how many members the objects of a value have in all; None if it is nested too deep."""
    members = 0
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [part for part in level if type(part) is dict or type(part) is list]
        if not level:
            return members
        members += sum([len(part) for part in level if type(part) is dict])
        level = [
            child
            for part in level
            if part
            for child in (part.values() if type(part) is dict else part)
            if type(child) is dict or type(child) is list
        ]
    return None


def _check_names(raw: bytes) -> None:
    """Refuse a valid text in which an object names a member twice."""
    ended = 0

    def end_object(pairs: Sequence[tuple[str, Any]]) -> None:
        nonlocal ended
        ended += 1
        if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
            raise _DuplicateError(ended)

    try:
        json.JSONDecoder(object_pairs_hook=end_object).decode(raw.decode())
    except _DuplicateError as error:
        place = _find_nth(raw, rb"}", error.args[0])
        raise _build_fault("two members have the same name in the object that ends", raw[:place]) from None


# What follows runs only on a text that is refused already, to find the place.


def _find_fault(raw: bytes) -> InvalidInputError:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return _build_fault("it is not UTF-8", raw[: error.start])
    try:
        _LENIENT.decode(text)
    except json.JSONDecodeError as error:
        return _build_fault("it is not JSON", text[: error.pos].encode())
    except RecursionError:
        return _find_depth_fault(raw)
    except ValueError:
        return _find_number_fault(raw)
    if half := _BEFORE_HALF.match(raw):
        return _build_fault("it has half of a surrogate pair", raw[: half.end()])
    return _find_number_fault(raw)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


_LENIENT = json.JSONDecoder(parse_constant=_refuse_constant)


def _find_number_fault(raw: bytes) -> InvalidInputError:
    place = 0
    while match := _LARGE.match(raw, place):
        place = match.end()
        if _is_out_of_range(match[1]):
            return _build_fault("it has a number that is out of range", raw[: match.start(1)])
    return InvalidInputError("it is not JSON at line 1, column 1")  # whatever it is, it has been refused


def _is_out_of_range(token: bytes) -> bool:
    if token in _WORDS:
        return True
    try:
        return not math.isfinite(int(token) * 0 if token.strip(b"-").isdigit() else float(token))
    except ValueError:
        return True  # more digits than the interpreter converts


def _find_depth_fault(raw: bytes) -> InvalidInputError:
    brackets = _STRINGS.sub(b"", raw).translate(_STEPS, delete=_NO_BRACKETS)
    ordinal = list(accumulate(memoryview(brackets).cast("b"))).index(DEPTH_MAX + 1) + 1
    place = _find_nth(raw, rb"\[\]{}", ordinal)
    return _build_fault(f"it is nested more than {DEPTH_MAX} levels deep", raw[:place])


def _find_nth(raw: bytes, characters: bytes, ordinal: int) -> int:
    """Return where the n-th of some characters stands that are outside of strings; there are so many."""
    one = rb'(?:[^"%b]++|%b)*+[%b]' % (characters, _STRING, characters)
    match = re.match(rb"(?:%b){%d}+" % (one, ordinal), raw, re.DOTALL)
    assert match is not None
    return match.end() - 1


def _build_fault(what: str, before: bytes) -> InvalidInputError:
    text = before.decode()
    line = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    return InvalidInputError(f"{what} at line {line}, column {column}")
