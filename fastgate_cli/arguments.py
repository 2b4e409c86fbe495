"""Arguments that hold JSON, or name a file that does with `@FILE`: read bounded, parsed strictly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from proxy.errors import InvalidInputError
from proxy.policy.json_text import parse_json

FILE_BYTES_MAX = 32 * 1024 * 1024


def read_argument(text: str) -> bytes:
    """Return the bytes of an argument, or those of the file that it names as `@FILE`."""
    if not text.startswith("@"):
        return os.fsencode(text)
    try:
        with Path(text[1:]).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has no such name"
        raise InvalidInputError(
            f"{text[1:]!r} cannot be read: {reason}", hint="after @ comes the path of a file"
        ) from None
    if len(content) > FILE_BYTES_MAX:
        raise InvalidInputError(f"{text[1:]!r} is larger than {FILE_BYTES_MAX} bytes")
    return content


def read_json(option: str, text: str) -> Any:
    """Return the value of an option that is JSON or `@FILE`; the error names the place in it."""
    try:
        return parse_json(read_argument(text))
    except InvalidInputError as error:
        raise InvalidInputError(f"{option}: {error.message}", hint="JSON, or @FILE with JSON in it") from None


def read_field(option: str, text: str) -> tuple[str, Any]:
    """Return name and value of an option written as FIELD=JSON."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInputError(f"{option} {text!r} has no field name", hint=f"write it as {option} seed=7")
    try:
        return name.strip(), parse_json(os.fsencode(value))
    except InvalidInputError as error:
        raise InvalidInputError(
            f"the value of {option} {name.strip()!r} is not usable: {error.message}",
            hint=f"""the value is JSON, so a text has quotes: {option} 'model="qwen3"'""",
        ) from None
