"""Single values of the predecessor's rows, as SQLAlchemy wrote them: times, JSON, numbers, flags, texts.

SQLite keeps whatever it is given in any column, so that nothing is taken for granted here. What cannot be
read is None; whether that is a fault is the caller's to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from proxy.clock import format_stored, parse_stored
from proxy.store.models import clean_text

OldRow = Mapping[str, Any]
_NUMBER_MAX = 2**63 - 1
_SHOWN_MAX = 60


def read_text(value: object) -> str | None:
    """Return a text without what UTF-8 cannot hold."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return None if value is None else clean_text(str(value))


def read_time(value: object) -> datetime | None:
    """Return the time of a text; one without an offset is at UTC+8."""
    try:
        moment = parse_stored(value)  # type: ignore[arg-type]
        format_stored(moment)  # the first and the last hours of the calendar do not exist at every offset
    except (TypeError, ValueError, OverflowError):
        return None
    return moment


def read_count(value: object) -> int | None:
    """Return a whole number that is not negative."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _NUMBER_MAX else None  # type: ignore[operator, return-value]


def read_flag(value: object) -> bool:
    """Return a flag; only what the predecessor itself took for true is true."""
    return value == 1


def read_json(value: object) -> tuple[bool, Any]:
    """Return whether a text is JSON, and its value; an absent or empty text is null."""
    text = read_text(value)
    if not text:
        return True, None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair fits in no column
    except (ValueError, RecursionError):
        return False, None
    return True, value


def show(value: object) -> str:
    """Return a value as a message may show it: short, on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def _refuse_constant(_: str) -> float:
    raise ValueError
