"""Bytes of a request as the trail writes them down: text, bounded, with every secret masked.

What comes again and again, header fields above all, is written once and remembered: writing it anew for each
request would cost more than everything else the trail does. Credentials are never remembered.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from proxy.audit.redact import MASK, mask_value
from proxy.audit.secrets import SecretMask, find_presented, list_forms, pick_credentials
from proxy.audit.streams.merging import merge_stream
from proxy.policy.model import HeaderPairs

TEXT_MAX = 500  # characters of path, target and user agent that a row keeps
_REMEMBERED_MAX = 4096
_REMEMBERED_BYTES_MAX = 512
_encode_json = msgspec.json.Encoder().encode
_K = TypeVar("_K")


class Scribe:
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

    def find_margin(self, presented: Sequence[bytes]) -> int:
        """Return how many bytes more of a text have to be kept than are written of it."""
        return max(self._mask.margin, len(presented[0])) if presented else self._mask.margin

    def write_headers(self, headers: HeaderPairs, presented: Sequence[bytes] = ()) -> str:
        """Return a JSON list of [name, value]; order and repetition are kept, names are in lower case.

        `presented` are secrets of the one request.
        """
        remembered, write = self._fields.get, self._write_field
        text = "[" + ",".join([remembered(pair) or write(pair) for pair in headers]) + "]"
        if presented and _may_show(text, presented):
            # Anew, value by value: within the text a secret could be a name, or the syntax of JSON.
            return "[" + ",".join([self._mask_field(name, value, presented) for name, value in headers]) + "]"
        return text

    def write_text(self, raw: bytes, presented: Sequence[bytes] = ()) -> str:
        """Return at most `TEXT_MAX` characters."""
        if presented and _holds_any(raw, presented):
            return self._mask_text(raw, presented)
        return self._texts.get(raw) or self._write_text(raw)

    def write_body(
        self, tap: bytes | bytearray, bytes_max: int, presented: Sequence[bytes] = (), *, is_cut: bool = False
    ) -> bytes:
        """Return at most so many bytes of what was kept of a body, which may have gone on (`is_cut`)."""
        return self._apply(bytes(tap), presented, is_cut=is_cut)[:bytes_max]

    def mask_spread(self, stream: bytes, content_type: bytes, presented: Sequence[bytes]) -> bytes:
        """Return a stream as it is, or, if its events together make up a secret, its one answer, masked.

        The recorder merges streams, and knows every secret but those that only the request has presented.
        """
        strange = [form for one in presented if self._mask.apply(one) != MASK for form in list_forms(one)]
        merged = merge_stream(content_type, stream, is_cut=False) if strange else None
        if merged is None:
            return stream
        data = merged.encode()
        if not any(form in data for form in strange):
            return stream
        return self._mask.apply(data, sorted(strange, key=len, reverse=True))

    def find_presented(self, headers: HeaderPairs, query: bytes) -> list[bytes]:
        """Return the secrets that a request presents, and that nothing else would mask; the longest first."""
        found = find_presented(headers, query, self._redacted)
        # Nearly always it is one key, of this gateway.
        return [secret for secret in found if not self._mask.covers(secret)]

    def pick_credentials(self, presented: list[bytes], headers: HeaderPairs) -> list[bytes]:
        """Return those of them that are looked for in short texts, too."""
        return pick_credentials(presented, headers, self._redacted) if presented else presented

    def _write_field(self, pair: tuple[bytes, bytes]) -> str:
        name, value = pair
        field = self._mask_field(name, value, ())
        if name not in self._redacted and len(name) + len(value) <= _REMEMBERED_BYTES_MAX:
            _remember(self._fields, pair, field)
        return field

    def _mask_field(self, name: bytes, value: bytes, presented: Sequence[bytes]) -> str:
        shown = mask_value(value) if name in self._redacted else self._mask.apply(value, presented)
        return _encode_json((_decode(name), _decode(shown))).decode()

    def _apply(self, data: bytes, presented: Sequence[bytes], *, is_cut: bool) -> bytes:
        """Return data with every secret masked, and without an end that may be the beginning of one."""
        masked = self._mask.apply(data, presented)
        if not is_cut:
            return masked
        # However much shorter the masks have made it: behind the last of them a secret may have begun.
        last = masked.rfind(MASK)
        end_of_last = last + len(MASK) if last >= 0 else 0
        return masked[: max(end_of_last, len(masked) - self.find_margin(presented) + 1)]

    def _mask_text(self, raw: bytes, presented: Sequence[bytes]) -> str:
        kept = raw[: TEXT_MAX + self.find_margin(presented)]
        masked = self._apply(kept, presented, is_cut=len(kept) < len(raw))
        return _decode(masked) if len(masked) <= TEXT_MAX else _decode_beginning(masked[:TEXT_MAX])

    def _write_text(self, raw: bytes) -> str:
        text = self._mask_text(raw, ())
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


def _may_show(text: str, secrets: Sequence[bytes]) -> bool:
    for secret in secrets:
        shown = secret.decode("latin-1")
        # Some characters are written in another way: a secret that has one cannot be looked for.
        is_plain = shown.isascii() and shown.isprintable() and '"' not in shown and "\\" not in shown
        if not is_plain or shown in text:
            return True
    return False


def _holds_any(data: bytes, secrets: Sequence[bytes]) -> bool:
    return any(secret in data for secret in secrets)


def _remember(known: dict[_K, str], key: _K, text: str) -> None:
    if len(known) >= _REMEMBERED_MAX:
        known.clear()
    known[key] = text
