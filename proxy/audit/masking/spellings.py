"""Secrets in the spellings that a text may have of them.

An escape (`\\u0066`, `\\x66`, `\\/`, `%66`) stands for one character, and any character of a secret may be
escaped or not: so a text that has escapes is looked through again without them, layer by layer. What can be
written in a few ways only has each of them in the set: base64, which depends on how many bytes stand before,
and the characters that JSON and URLs cannot do without escaping.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple
from urllib.parse import quote

Span = tuple[int, int]

LAYERS_MAX = 3  # JSON in a query in JSON; runs of backslashes and of `%25` are one layer however long
# Nobody escapes so many characters that need none: somebody has made this text to cost us time.
ESCAPES_MAX = 1 << 16
# An escape that is cut off is at most so much longer than what it stands for.
ESCAPE_EXCESS = 8
# Characters that texts of every day escape, too: each escape of one would be work for nothing.
_ODD = b" <>&\"'\\"
_ORDINARY = bytes(code for code in range(0x21, 0x7F) if code not in _ODD)
_HEX = b"(2[134589A-Fa-f]|3[0-9ABDFabdf]|[46][0-9A-Fa-f]|5[0-9ABD-Fabd-f]|7[0-9A-Ea-e])"
# The look-behind: without it a run of backslashes would cost the square of its length.
_ESCAPE = re.compile(rb"(?<!\\)\\++(?:u00" + _HEX + rb"|x" + _HEX + rb"|(/))|%(?:25)*" + _HEX)
_ESCAPE_HINTS = (b"%", b"\\/", b"\\u00", b"\\x")
_ORDINARY_OR_ESCAPE = _ORDINARY + b"\\"
BASE64_URL = bytes.maketrans(b"+/", b"-_")
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_IN_BASE64 = b"x"
_BASE64_RUNS = bytes(ord(_IN_BASE64) if code in _BASE64 else ord(" ") for code in range(256))
# How many characters of base64 hold bits of the 0, 1 or 2 bytes that stand before a secret.
BASE64_SKIPPED = (0, 2, 3)


def _list_characters() -> dict[bytes, bytes]:
    found = {b"/": b"/"}
    for code in _ORDINARY:
        digits = f"{code:02x}"
        for pair in product(*({digit, digit.upper()} for digit in digits)):
            found["".join(pair).encode()] = bytes((code,))
    return found


_CHARACTERS = _list_characters()


class Encoding(NamedTuple):
    """A secret in base64; the character before or after it may hold some of its bits, too."""

    text: bytes
    has_before: bool
    has_after: bool


class Hints:
    """What a text has that may hold a secret: escapes, one of `plain`, or of `encoded` in a run of base64."""

    __slots__ = ("_encoded", "_plain", "_run")

    def __init__(self, plain: Iterable[bytes], encoded: Iterable[bytes], run_length: int) -> None:
        self._plain = tuple(dict.fromkeys((*_ESCAPE_HINTS, *plain)))
        self._encoded = tuple(dict.fromkeys(encoded))
        self._run = _IN_BASE64 * run_length

    def may_be_in(self, data: bytes) -> bool:
        """Tell cheaply whether a text may hold a secret: nearly none does."""
        if any(map(data.__contains__, self._plain)):
            return True
        if not self._encoded or len(data) < len(self._run) or self._run not in data.translate(_BASE64_RUNS):
            return False
        return any(map(data.__contains__, self._encoded))

    def may_be_shown_by(self, text: str) -> bool:
        """Tell cheaply whether a JSON text may hold a secret."""
        for hint in (*self._plain, *self._encoded):
            # Some characters are written in another way in JSON: a secret that has one cannot be looked for.
            # A backslash is doubled, and still there.
            if hint.translate(None, _ORDINARY_OR_ESCAPE) or hint.decode() in text:
                return True
        return False


class SecretSet:
    """Some secrets in all their spellings; those `not_encoded` not in base64. False if there are none."""

    __slots__ = ("encoded", "hints", "length_max", "plain", "secrets")

    def __init__(self, secrets: Iterable[bytes] = (), not_encoded: Iterable[bytes] = ()) -> None:
        encoded, others = set(secrets), set(not_encoded)
        self.secrets = tuple(sorted(encoded | others, key=lambda secret: (-len(secret), secret)))
        self.plain = tuple(dict.fromkeys(text for secret in self.secrets for text in list_spellings(secret)))
        self.encoded = tuple(dict.fromkeys(one for secret in encoded for one in list_encodings(secret)))
        texts = [encoding.text for encoding in self.encoded]
        self.hints = Hints(self.plain, texts, min(map(len, texts), default=0))
        self.length_max = max(map(len, (*self.plain, *texts)), default=0)

    def __bool__(self) -> bool:
        return bool(self.secrets)

    def __repr__(self) -> str:
        return f"SecretSet({len(self.secrets)} secrets)"

    def find(self, data: bytes) -> Iterator[Span]:
        """Yield where secrets stand in a text that has no escapes; spans may overlap."""
        for text in self.plain:
            for start in find_all(data, text):
                yield start, start + len(text)
        for text, has_before, has_after in self.encoded:
            for start in find_all(data, text):
                end = start + len(text)
                is_earlier = has_before and start > 0 and data[start - 1] in _BASE64
                is_later = has_after and end < len(data) and data[end] in _BASE64
                yield start - is_earlier, end + is_later


NO_SECRETS = SecretSet()


def list_spellings(secret: bytes) -> Iterator[bytes]:
    """Yield the ways to write a secret as text in which no ordinary character is escaped."""
    yield secret
    if secret.translate(None, _ORDINARY):
        yield from _escape_odd(secret)


def list_encodings(secret: bytes) -> Iterator[Encoding]:
    """Yield what a secret is in base64, whatever stands around it."""
    for others in range(3):
        encoding = encode_base64(secret, others)
        yield encoding
        if b"+" in encoding.text or b"/" in encoding.text:
            yield encoding._replace(text=encoding.text.translate(BASE64_URL))


def encode_base64(secret: bytes, others: int) -> Encoding:
    """Return the characters of base64 that hold a secret's bits alone, behind so many bytes, modulo 3."""
    bits = (others + len(secret)) * 8
    text = b64encode(bytes(others) + secret)[BASE64_SKIPPED[others] : bits // 6]
    return Encoding(text, has_before=others > 0, has_after=bits % 6 > 0)


def find_all(data: bytes, text: bytes) -> Iterator[int]:
    """Yield where a text stands in another one, again and again without overlapping."""
    start = data.find(text)
    while start >= 0:
        yield start
        start = data.find(text, start + len(text))


def may_hold_escapes(data: bytes) -> bool:
    """Tell cheaply whether a text may have escapes of ordinary characters."""
    return any(map(data.__contains__, _ESCAPE_HINTS))


class Layer:
    """A text without its escapes, and where each of its bytes stood before."""

    __slots__ = ("_ends", "_places", "_starts", "data")

    def __init__(self, data: bytes, places: list[int], starts: list[int], ends: list[int]) -> None:
        self.data = data
        self._places = places  # of what escapes stood for, in `data`
        self._starts = starts  # of the escapes
        self._ends = ends

    def locate(self, span: Span) -> Span:
        """Return where a span of `data`, which is not empty, stood: whole escapes of it."""
        start, end = span
        return self._locate(start)[0], self._locate(end - 1)[1]

    def _locate(self, place: int) -> Span:
        number = bisect_right(self._places, place) - 1
        if number < 0:
            return place, place + 1
        if self._places[number] == place:
            return self._starts[number], self._ends[number]
        start = self._ends[number] + place - self._places[number] - 1
        return start, start + 1


def unescape(data: bytes) -> list[Layer] | None:
    """Return the text without its escapes, layer by layer; None if it has more of them than an honest one."""
    layers: list[Layer] = []
    while len(layers) < LAYERS_MAX and may_hold_escapes(data):
        escapes = list(islice(_ESCAPE.finditer(data), ESCAPES_MAX + 1))
        if len(escapes) > ESCAPES_MAX:
            return None
        if not escapes:
            break
        layers.append(_replace_escapes(data, escapes))
        data = layers[-1].data
    return layers


def locate(layers: Sequence[Layer], span: Span) -> Span:
    """Return where a span of the last layer's text stands in the text that was unescaped."""
    for layer in reversed(layers):
        span = layer.locate(span)
    return span


def _replace_escapes(data: bytes, escapes: Iterable[re.Match[bytes]]) -> Layer:
    pieces: list[bytes] = []
    places: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    end = length = 0
    for escape in escapes:
        start = escape.start()
        length += start - end
        places.append(length)
        pieces += (data[end:start], _CHARACTERS[escape[escape.lastindex or 0]])
        end = escape.end()
        starts.append(start)
        ends.append(end)
        length += 1
    pieces.append(data[end:])
    return Layer(b"".join(pieces), places, starts, ends)


def _escape_odd(secret: bytes) -> Iterator[bytes]:
    """Yield a secret as encoders write it that escape only what they have to; some of these are the same."""
    encoded = quote(secret, safe=_ORDINARY.decode())
    yield from (encoded.encode(), re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), encoded).encode())
    yield encoded.replace("%20", "+").encode()
    for text in _decode(secret):
        yield text.encode()
        for plain in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield plain.encode()
            yield json.dumps(plain)[1:-1].encode()  # JSON within JSON
            yield _escape_markup(plain, "<>&").encode()  # Go
        for form in ("\\u{:04x}", "\\u{:04X}"):
            # System.Text.Json, and PHP if it is told to; then whoever escapes every one of them.
            yield "".join(_spell(character, form, kept=" ") for character in text).encode()
            yield "".join(_spell(character, form, kept="") for character in text).encode()


def _decode(secret: bytes) -> Iterator[str]:
    yield secret.decode("latin-1")
    try:
        yield secret.decode()
    except UnicodeDecodeError:
        return


def _escape_markup(text: str, characters: str) -> str:
    return "".join(f"\\u{ord(one):04x}" if one in characters else one for one in text)


def _spell(character: str, form: str, *, kept: str) -> str:
    if character in kept or (character.isascii() and ord(character) in _ORDINARY):
        return character
    if character == "\\" and kept:
        return "\\\\"
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(form.format(int.from_bytes(units[at : at + 2], "big")) for at in range(0, len(units), 2))
