"""What a setting may hold: how its text is read, which YAML types it takes, how a bad value is explained.

A kind is attached to each field of `model.py` as dataclass metadata, so that name, default and rule stand
in one line. Readers take text and raise ValueError; they never see where the text came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, TypeVar

from proxy.clock import parse_timezone
from proxy.errors import InvalidInputError

Metadata = Mapping[str, "Kind"]

SIZE_BYTES_MAX = 1 << 40
SECONDS_MAX = 366 * 24 * 3600
SQLITE_PREFIX = "sqlite:///"

_SHOWN_CHARACTERS_MAX = 60
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_SIZE = re.compile(r"([0-9]{1,15}) ?(?:([KMG])I?)?B?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True}
_TRUTHS |= {"false": False, "no": False, "off": False, "0": False}
_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # RFC 9110, section 5.1: a token
# Scheme, host and port and nothing besides (RFC 6454, section 6.2): a path can never match. A `*` stands for
# all, for any host, for what comes before a host's name, or for any port.
_LABELS = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_WEB_ORIGIN = (
    rf"[Hh][Tt][Tt][Pp][Ss]?://(?:\*|(?:(?:\*\.)?{_LABELS}|\[[0-9A-Fa-f:.]+\])(?::(?:[0-9]{{1,5}}|\*))?)"
)
_OTHER_ORIGIN = r"(?![Hh][Tt][Tt][Pp][Ss]?:)[A-Za-z][A-Za-z0-9+.-]{0,31}://(?:\*|[!-)+.0-;=A-~-]+)"
_ORIGIN = rf"\*|null|(?:{_WEB_ORIGIN}|{_OTHER_ORIGIN})/?"
_ITEM_SEPARATOR = ","
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """One rule. `expected` completes the sentence "app.port must be ...".

    `scalar_types` are the YAML types taken as written: a number is not text and a bool is not a number.
    The values of a kind that is not `is_quotable` may be secret and are left out of every message; those that
    are `is_secret` are shown nowhere. `unit` is what a number counts, where that is not plain.
    """

    expected: str
    read: Callable[[str], object]
    scalar_types: frozenset[str] = frozenset({"str"})
    is_list: bool = False
    is_quotable: bool = True
    is_secret: bool = False
    unit: Literal["", "bytes", "seconds"] = ""

    def parse(self, name: str, text: str, *, quoted: bool = True) -> object:
        """Return the value of one text, or raise InvalidInputError; `quoted` allows showing the text."""
        try:
            return self.read(text)
        except (ValueError, InvalidInputError):
            raise self.refusal(name, repr(shorten(text)) if quoted and self.is_quotable else "") from None

    def parse_whole(self, name: str, text: str, *, quoted: bool = True) -> tuple[object, ...]:
        """Return what a text means that holds a whole setting: the items between commas, or the one value."""
        if not self.is_list:
            return (self.parse(name, text, quoted=quoted),)
        items = (item.strip() for item in text.split(_ITEM_SEPARATOR))
        return tuple([self.parse(name, item, quoted=quoted) for item in items if item])

    def refusal(self, name: str, shown: str) -> InvalidInputError:
        """Return the error that says what was expected and, unless `shown` is empty, what was found."""
        subject = f"each item of {name}" if self.is_list else name
        return InvalidInputError(f"{subject} must be {self.expected}" + (f", not {shown}" if shown else ""))


def flag() -> Metadata:
    """`true` or `false`."""
    return {"kind": Kind("true or false", _read_flag, frozenset({"bool"}))}


def whole_number(low: int, high: int) -> Metadata:
    """A decimal integer between two bounds, both allowed."""

    def read(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError
        return _check_range(int(text), low, high)

    return {"kind": Kind(f"a whole number from {low} to {high}", read, frozenset({"int"}))}


def seconds(*, zero: bool = False) -> Metadata:
    """A length of time as a number of seconds, above zero unless `zero` is allowed."""

    def read(text: str) -> float:
        number = float(text)
        if not math.isfinite(number) or not (number > 0 or (zero and number == 0)):
            raise ValueError
        return _check_range(number, 0, SECONDS_MAX)

    limit = f"from 0 to {SECONDS_MAX}" if zero else f"above 0, at most {SECONDS_MAX}"
    return {"kind": Kind(f"a number of seconds {limit}", read, frozenset({"int", "float"}), unit="seconds")}


def size() -> Metadata:
    """A number of bytes, as `32MB`, `10KB` or a plain number; KB is 1024."""
    expected = "a size such as 10KB, 32MB or 1GB"
    return {"kind": Kind(expected, _read_size, frozenset({"int", "str"}), unit="bytes")}


def plain_text(expected: str = "text on one line", pattern: str = r".+") -> Metadata:
    """Printable text that matches a pattern as a whole."""
    return {"kind": Kind(expected, _matcher(pattern))}


def secret() -> Metadata:
    """A token as it can stand in an Authorization header, or nothing; never shown."""
    expected = "visible ASCII characters without spaces"
    return {"kind": Kind(expected, _matcher(r"[!-~]*"), is_quotable=False, is_secret=True)}


def one_of(*choices: str) -> Metadata:
    """One word of several, in any case; the value is spelled as the choice is."""
    by_word = {choice.lower(): choice for choice in choices}

    def read(text: str) -> str:
        if text.lower() not in by_word:
            raise ValueError
        return by_word[text.lower()]

    return {"kind": Kind(" or ".join([", ".join(choices[:-1]), choices[-1]]), read)}


def header_names() -> Metadata:
    """A list of header names, kept in lower case."""
    matches = _matcher(_HEADER_NAME)
    return {"kind": Kind("a header name", lambda text: matches(text).lower(), is_list=True)}


def words(expected: str, pattern: str) -> Metadata:
    """A list of texts, each of which matches a pattern as a whole."""
    return {"kind": Kind(expected, _matcher(pattern), is_list=True)}


def origins() -> Metadata:
    """A list of origins as browsers send them, each of which may stand for several."""
    expected = (
        "*, or an origin such as https://app.example.com, https://*.example.com or chrome-extension://*"
    )
    return {"kind": Kind(expected, _matcher(_ORIGIN), is_list=True)}


def networks() -> Metadata:
    """A list of IP networks; an address alone is the network of one."""
    expected = "an IP address or a network such as 10.0.0.0/8 without host bits"
    return {"kind": Kind(expected, _read_network, is_list=True)}


def utc_offset() -> Metadata:
    """A fixed offset from UTC."""
    return {"kind": Kind("a UTC offset such as +08:00, or UTC", parse_timezone)}


def path() -> Metadata:
    """A path, absolute or not."""
    matches = _matcher(r".+")
    return {"kind": Kind("a path", lambda text: Path(matches(text)))}


def optional_path() -> Metadata:
    """A path; empty text is None."""
    matches = _matcher(r".+")
    return {"kind": Kind("a path, or empty", lambda text: Path(matches(text)) if text else None)}


def sqlite_url() -> Metadata:
    """The URL of a SQLite file. An unsupported URL may hold a password, so none is ever shown."""
    expected = (
        f"{SQLITE_PREFIX}PATH, a file that several processes can share (PostgreSQL is not supported yet)"
    )
    pattern = rf"{SQLITE_PREFIX}(?!:memory:|file:)[^?]+(?<!/)"
    return {"kind": Kind(expected, _matcher(pattern), is_quotable=False)}


def _matcher(pattern: str) -> Callable[[str], str]:
    expression = re.compile(pattern)

    def read(text: str) -> str:
        if not expression.fullmatch(text) or not text.isprintable():
            raise ValueError
        return text

    return read


def _read_flag(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError
    return _TRUTHS[text.lower()]


def _read_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError
    return _check_range(int(match[1]) * _SIZE_UNITS[(match[2] or "").upper()], 0, SIZE_BYTES_MAX)


def _read_network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


def _check_range(number: _Number, low: float, high: float) -> _Number:
    if not low <= number <= high:
        raise ValueError
    return number


def shorten(text: str) -> str:
    """Return a text as a message shows it."""
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"
