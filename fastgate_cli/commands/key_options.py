"""Options that several commands about keys share, and how their values are read."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from fastgate_cli.context import Invocation
from fastgate_cli.options import complete_sources
from proxy.clock import parse_moment
from proxy.errors import InvalidInputError
from proxy.settings.model import REQUESTS_MAX

DEFAULT_WORD = "default"
_DIGITS_MAX = 18
_SECRET_LENGTH_MAX = 512

SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="Keys of this source.", autocompletion=complete_sources),
]
EveryOption = Annotated[bool, typer.Option("--all", help="Every key there is.")]
ValueOption = Annotated[
    bool, typer.Option("--value-stdin", help="Read the key from stdin instead of making one up.")
]

_EXPIRY_HINT = "write it as 90d, never or 2030-12-31"


def read_expiry(text: str, invocation: Invocation) -> datetime | None:
    """Return when a key shall expire: `90d`, a time, or None for `never`."""
    if text == "never":
        return None
    try:
        moment = parse_moment(text, now=invocation.now, zone=invocation.settings.app.timezone, future=True)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, hint=_EXPIRY_HINT) from None
    if moment <= invocation.now:
        raise InvalidInputError(f"the key would have expired already: {text!r}", hint=_EXPIRY_HINT)
    return moment


def read_rate(option: str, text: str) -> int | None:
    """Return the number of an option, or None for the word that stands for the configured default."""
    if text == DEFAULT_WORD:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
    if not is_number or int(text) > REQUESTS_MAX:
        raise InvalidInputError(
            f"{option} {text[:40]!r} is not a number of requests",
            hint=f"0 to {REQUESTS_MAX}, or {DEFAULT_WORD}",
        )
    return int(text)


def read_secret() -> str:
    """Return the secret that stdin holds, or that a person types unseen; it is never quoted."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("key: ")
    raw = sys.stdin.buffer.read(_SECRET_LENGTH_MAX + 3)
    try:
        return raw.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidInputError(
            "the key on stdin is not ASCII", hint="a key is 8 to 512 printable characters, without spaces"
        ) from None
