"""JSON as strictly as two readers have to agree on it (RFC 8259, and RFC 7493 for what that leaves open).

UTF-8 without a byte order mark, no NaN and no number beyond a double's range, no member named twice, no half
of a surrogate pair, a bounded depth. What is refused here could be read in two ways, and then a rule would
look at one value and the backend act on the other. An error names the place and quotes nothing of the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from proxy.errors import InvalidInputError

DEPTH_MAX = 128  # far below the depth at which the interpreter itself gives up
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + r'|[\[\]{}]|[^\s",:\[\]{}]+', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F])|.)", re.DOTALL)
_WORDS = ("true", "false", "null")


class _DuplicateError(Exception):
    """An object names a member twice."""


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON text; `InvalidInputError` names the line and column of what is wrong."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _build_fault("it is not UTF-8", raw[: error.start].decode()) from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _build_fault("it is not JSON", text[: error.pos]) from None
    except RecursionError:
        raise _find_depth_fault(text) from None
    except _DuplicateError:
        raise _find_duplicate(text) from None
    except ValueError:
        raise _find_token("it has a number that is out of range", text, _is_bad_number) from None
    if is_too_deep(text, value):
        raise _find_depth_fault(text)
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(text)
    return value


def dump_json(value: object) -> bytes:
    """Return a value as JSON text, without blanks and with every integer exact."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _read_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateError
    return members


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return number


def _refuse_constant(_: str) -> float:
    raise ValueError


_DECODER = json.JSONDecoder(
    object_pairs_hook=_read_object, parse_float=_read_float, parse_constant=_refuse_constant
)


def is_too_deep(text: str, value: Any) -> bool:
    """Tell whether a text, and the value that it is of, is nested more than `DEPTH_MAX` levels deep."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return False
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _check_surrogates(text: str) -> None:
    for escape in _ESCAPE.finditer(text):
        if escape["half"]:
            raise _build_fault("it has half of a surrogate pair", text[: escape.start()])


# What follows runs only on a text that is refused already, to find the place; each takes one pass.


def _find_depth_fault(text: str) -> InvalidInputError:
    depth = 0

    def is_too_deep(token: str) -> bool:
        nonlocal depth
        depth += (token in "[{") - (token in "]}")
        return depth > DEPTH_MAX

    return _find_token(f"it is nested more than {DEPTH_MAX} levels deep", text, is_too_deep)


def _find_duplicate(text: str) -> InvalidInputError:
    closed = 0

    def count_object(pairs: Sequence[tuple[str, Any]]) -> None:
        nonlocal closed
        closed += 1
        _read_object(pairs)

    with suppress(_DuplicateError):
        json.JSONDecoder(object_pairs_hook=count_object).decode(text)
    left = closed

    def is_end_of_object(token: str) -> bool:
        nonlocal left
        left -= token == "}"
        return left == 0

    return _find_token("two members have the same name in the object that ends", text, is_end_of_object)


def _find_token(what: str, text: str, is_it: Callable[[str], bool]) -> InvalidInputError:
    start = next((token.start() for token in _TOKEN.finditer(text) if is_it(token[0])), len(text))
    return _build_fault(what, text[:start])


def _is_bad_number(token: str) -> bool:
    if token[0] in '"[]{}' or token in _WORDS:
        return False
    try:
        return not math.isfinite(float(token) if set(token) & set(".eEN") or "I" in token else int(token) * 0)
    except ValueError:
        return True  # more digits than the interpreter converts


def _build_fault(what: str, before: str) -> InvalidInputError:
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return InvalidInputError(f"{what} at line {line}, column {column}")
