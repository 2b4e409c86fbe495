"""The JSON of recorded events: read with patience, written to be read by people.

This is for what has already happened. A gateway must refuse a text that two readers could understand in two
ways (`proxy.policy.json_text` does); a record shows what came, and servers do send half surrogate pairs, NaN
and line breaks inside strings. Numbers keep their digits. Nothing here raises on any text.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from proxy.policy.json_text import is_too_deep

VALUES_MAX = 100_000  # in one text: an empty list takes 3 of its bytes, and 70 of memory
_INTEGER_DIGITS_MAX = 1_000  # longer ones stay text: their conversion takes the square of their length
_encode = msgspec.json.Encoder().encode
# Numbers with a fraction or an exponent are kept as they were written: 1.10, 1E5 and 1e400 survive.
_decode = msgspec.json.Decoder(float_hook=msgspec.Raw).decode


def read_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None if it is anything else, too deep or of too many values.

    NaN and the infinities, which are not JSON, become strings of these names. Half a surrogate pair stays
    one, because the other half may be in the next event: only `encode` may write such a value.
    """
    if not text.lstrip().startswith("{"):
        return None  # a stream of a million words is told from JSON without as many exceptions
    if len(text) > VALUES_MAX and sum(map(text.count, ",[{")) > VALUES_MAX:
        return None
    try:
        value = _decode(text)
    except RecursionError:
        return None
    except ValueError:
        value = _read_patiently(text)
    return value if type(value) is dict and not is_too_deep(text, value) else None


def encode(value: object) -> bytes:
    """Return a value of `read_object` as JSON in UTF-8, nothing escaped that need not be.

    The halves of surrogate pairs that have met are joined; one that is alone becomes U+FFFD.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_mend(value))


def freeze(value: object) -> msgspec.Raw:
    """Return a value as its JSON text, which takes the memory of its bytes and can be encoded again."""
    return msgspec.Raw(encode(value))


def _read_patiently(text: str) -> Any:
    try:
        return _PATIENT.decode(text)
    except (ValueError, RecursionError):
        return None


def _read_integer(digits: str) -> int | msgspec.Raw:
    return int(digits) if len(digits) <= _INTEGER_DIGITS_MAX else msgspec.Raw(digits)


_PATIENT = json.JSONDecoder(
    parse_float=msgspec.Raw, parse_int=_read_integer, parse_constant=str, strict=False
)


def _mend(value: Any) -> Any:
    if type(value) is str:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if type(value) is list:
        return [_mend(item) for item in value]
    if type(value) is dict:
        return {_mend(name): _mend(item) for name, item in value.items()}
    return value
