"""A request's headers, texts and bodies as a row has them: text, bounded, with every secret masked.

What comes again and again, header fields above all, is written once and remembered: writing it anew for each
request would cost more than everything else that auditing does. Credentials are never remembered.
Whatever is cut is masked before: half a secret would not be found, and would be shown.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from proxy.audit.masking.mask import SecretMask
from proxy.audit.masking.names import MASK, URL_HEADERS, mask_value, redact_url
from proxy.audit.masking.secrets import find_presented, pick_credentials
from proxy.audit.masking.spellings import ESCAPE_EXCESS, NO_SECRETS, SecretSet, locate, unescape
from proxy.audit.streams.merging import merge_stream
from proxy.policy.model import HeaderPairs

TEXT_MAX = 500  # characters of path, target and user agent that a row keeps
# Of the headers of a request that was refused: whoever has no key shall not fill the disk.
REFUSED_HEADERS_BYTES_MAX = 2048
CUT_NAME = "[cut]"  # no header can have this name (RFC 9110 section 5.1)
_CUT_MARK = b"[cut, %d bytes in all]"
_LONGEST_SHARE = 4  # one value may take this part of the headers' room where they have to be cut
_CUT_ENTRY_BYTES = 64  # what the entry that counts the fields left out takes at most
_VALUE_BYTES_MIN = 32  # less of a value, with its mark, says nothing
_REMEMBERED_MAX = 4096
_REMEMBERED_BYTES_MAX = 512
_encode_json = msgspec.json.Encoder().encode
_K = TypeVar("_K")


class TextWriter:
    """One thread's. `redacted` are names of headers whose values are masked, in lower case.

    `find_mask` tells the mask of the secrets as they are now: what was remembered under another is forgotten.
    """

    def __init__(self, redacted: frozenset[bytes], find_mask: Callable[[], SecretMask]) -> None:
        self._redacted = redacted
        self._find_mask = find_mask
        self._mask = find_mask()
        self._fields: dict[tuple[bytes, bytes], str] = {}
        self._texts: dict[bytes, str] = {}

    def refresh(self) -> None:
        """Take the mask as it is now. Call it for each request, before anything is written of it."""
        mask = self._find_mask()
        if mask is not self._mask:
            self._mask = mask
            self._fields.clear()
            self._texts.clear()

    def find_margin(self, presented: SecretSet = NO_SECRETS) -> int:
        """Return how many bytes more of a text have to be kept than are written of it."""
        return max(self._mask.margin, presented.length_max) + ESCAPE_EXCESS

    def write_headers(
        self, headers: HeaderPairs, presented: SecretSet = NO_SECRETS, *, bytes_max: int
    ) -> str:
        """Return a JSON list of [name, value] of at most so many bytes in UTF-8, secrets masked.

        Order and repetition are kept, names are in lower case. Where there is more than fits, long values
        end in a mark that says so, fields are left out, and a last one named `CUT_NAME` counts those.
        `presented` are secrets of the one request.
        """
        remembered, write = self._fields.get, self._write_field
        fields = [remembered(pair) or write(pair, bytes_max) for pair in headers]
        text = "[" + ",".join(fields) + "]"
        if presented and presented.hints.may_be_shown_by(text):
            # Anew, value by value: within the text a secret could be a name, or the syntax of JSON.
            fields = [self._mask_field(name, value, presented, bytes_max) for name, value in headers]
            text = "[" + ",".join(fields) + "]"
        if utf8_size(text) > bytes_max:
            return "[" + ",".join(_fit_fields(fields, headers, bytes_max - 2)) + "]"
        return text

    def write_text(self, raw: bytes, presented: SecretSet = NO_SECRETS) -> str:
        """Return at most `TEXT_MAX` characters."""
        if presented and presented.hints.may_be_in(raw):
            return self._mask_text(raw, presented)
        return self._texts.get(raw) or self._write_text(raw)

    def write_body(
        self,
        tap: bytes | bytearray,
        bytes_max: int,
        presented: SecretSet = NO_SECRETS,
        *,
        is_cut: bool = False,
    ) -> bytes:
        """Return at most so many bytes of what was kept of a body, which may have gone on (`is_cut`)."""
        return self._apply(bytes(tap), presented, is_cut=is_cut)[:bytes_max]

    def mask_spread(self, stream: bytes, content_type: bytes, presented: SecretSet) -> bytes:
        """Return a stream as it is, or, if its events together make up a secret, its one answer, masked.

        The recorder merges streams, and knows every secret but those that only the request has presented.
        """
        if all(self._mask.apply(secret) == MASK for secret in presented.secrets):
            return stream
        merged = merge_stream(content_type, stream, is_cut=False)
        if merged is None:
            return stream
        data = merged.encode()
        masked = self._mask.apply(data, presented)
        return stream if masked == self._mask.apply(data) else masked

    def find_presented(self, headers: HeaderPairs, query: bytes) -> SecretSet:
        """Return the secrets that a request presents, and that nothing else would mask."""
        return find_presented(headers, query, self._redacted, self._mask.covers)

    def pick_credentials(self, presented: SecretSet, headers: HeaderPairs) -> SecretSet:
        """Return those of them that are looked for in short texts, too."""
        return pick_credentials(presented, headers, self._redacted) if presented else presented

    def _write_field(self, pair: tuple[bytes, bytes], bytes_max: int) -> str:
        name, value = pair
        field = self._mask_field(name, value, NO_SECRETS, bytes_max)
        if name not in self._redacted and len(name) + len(value) <= min(_REMEMBERED_BYTES_MAX, bytes_max):
            _remember(self._fields, pair, field)
        return field

    def _mask_field(self, name: bytes, value: bytes, presented: SecretSet, bytes_max: int) -> str:
        if name in self._redacted:
            shown = mask_value(value)
        else:
            whole = redact_url(value) if name in URL_HEADERS else value
            shown = self._mask_beginning(whole, presented, bytes_max)
            shown += _CUT_MARK % len(value) if len(whole) > bytes_max else b""
        return _encode_json((_decode(name), _decode(shown))).decode()

    def _mask_beginning(self, raw: bytes, presented: SecretSet, bytes_max: int) -> bytes:
        """Return a text masked, or of one that cannot fit more than what could."""
        kept = raw[: bytes_max + self.find_margin(presented)] if len(raw) > bytes_max else raw
        return self._apply(kept, presented, is_cut=len(kept) < len(raw))

    def _apply(self, data: bytes, presented: SecretSet, *, is_cut: bool) -> bytes:
        """Return data with every secret masked, and without an end that may be the beginning of one."""
        masked = self._mask.apply(data, presented)
        if not is_cut:
            return masked
        # However much shorter the masks have made it: behind the last of them a secret may have begun.
        last = masked.rfind(MASK)
        end_of_last = last + len(MASK) if last >= 0 else 0
        return masked[: max(end_of_last, _find_end(masked, self.find_margin(presented) - 1))]

    def _mask_text(self, raw: bytes, presented: SecretSet) -> str:
        masked = self._mask_beginning(raw, presented, TEXT_MAX)
        return _decode(masked) if len(masked) <= TEXT_MAX else _decode_beginning(masked[:TEXT_MAX])

    def _write_text(self, raw: bytes) -> str:
        text = self._mask_text(raw, NO_SECRETS)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            _remember(self._texts, raw, text)
        return text


def _decode(raw: bytes) -> str:
    """Return text that is UTF-8, as clients write it, or else what RFC 9110 section 5.5 once said it was."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decode_beginning(raw: bytes) -> str:
    """Return the same of a text that was cut, perhaps in the middle of a character."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _find_end(data: bytes, count: int) -> int:
    """Return where a text ends without so many of its last characters, an escape counting as one."""
    layers = unescape(data)
    if layers is None:
        return 0
    place = len(layers[-1].data if layers else data) - count
    return locate(layers, (place, place + 1))[0] if place > 0 else 0


def _fit_fields(fields: Sequence[str], headers: HeaderPairs, room: int) -> Iterator[str]:
    """Yield fields as JSON that take at most so many bytes with the commas between them."""
    share, left_out = room // _LONGEST_SHARE, 0
    room -= _CUT_ENTRY_BYTES
    for field, (_, value) in zip(fields, headers, strict=True):
        kept = field if utf8_size(field) <= share else _cut_field(field, len(value), share)
        if kept and (size := utf8_size(kept) + 1) <= room:
            room -= size
            yield kept
        else:
            left_out += 1
    if left_out and room >= 0:
        plural = "" if left_out == 1 else "s"
        yield _encode_json((CUT_NAME, f"{left_out} more field{plural} left out")).decode()


def _cut_field(field: str, value_size: int, bytes_max: int) -> str:
    """Return a field as JSON with so much of its value that it fits; nothing if not even its name does."""
    name, value = msgspec.json.decode(field, type=tuple[str, str])
    mark = (_CUT_MARK % value_size).decode()
    room = bytes_max - len(_encode_json((name, mark)))
    if room < _VALUE_BYTES_MIN:
        return ""
    # Some characters take more bytes as JSON.
    kept = value[:room]
    while (size := len(_encode_json(kept)) - 2) > room:
        kept = kept[: len(kept) * room // size]
    return _encode_json((name, kept + mark)).decode()


def utf8_size(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _remember(known: dict[_K, str], key: _K, text: str) -> None:
    if len(known) >= _REMEMBERED_MAX:
        known.clear()
    known[key] = text
