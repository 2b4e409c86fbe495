"""Masking by value: a backend that repeats its credentials in an answer, a client that sends its key as text.

Headers and parameters that are known to hold credentials are masked by their names (`names`). A mask lives in
memory only.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from proxy.audit.masking.names import MASK
from proxy.audit.masking.spellings import (
    BASE64_SKIPPED,
    BASE64_URL,
    NO_SECRETS,
    Hints,
    Layer,
    SecretSet,
    Span,
    encode_base64,
    find_all,
    locate,
    unescape,
)
from proxy.policy.credentials import BASE62, RANDOM_LENGTH

# A shorter one says too little to be worth what masking it would do to ordinary text.
SECRET_BYTES_MIN = 6
# So many masks in one text are no text any more: somebody has made it to cost us time.
MASKS_MAX = 4096
_CHECKSUM_LENGTH = 6
# A key in base64 is found by its prefix, if that says enough; then it is decoded, to see that it is one.
_ENCODED_PREFIX_MIN = 3
_BASE64_STANDARD = bytes.maketrans(b"-_", b"+/")


class _EncodedPrefix(NamedTuple):
    """What a key's prefix is in base64 behind `others` bytes, modulo 3; `size` characters hold such a key."""

    text: bytes
    others: int
    size: int


class SecretMask:
    """Replaces secrets in bytes. `margin` is how much longer than it is to be kept a text has to be for that:
    one that is cut within a secret would show the beginning of it.
    """

    def __init__(self, secrets: Iterable[bytes] = (), key_prefix: str = "fg_") -> None:
        self._secrets = SecretSet(secret for secret in secrets if len(secret) >= SECRET_BYTES_MIN)
        self._key_prefix = key_prefix.encode()
        self._key_size = len(key_prefix) + RANDOM_LENGTH + _CHECKSUM_LENGTH
        self._key = re.compile(
            re.escape(self._key_prefix) + b"[%s]{%d}" % (BASE62.encode(), RANDOM_LENGTH + _CHECKSUM_LENGTH)
        )
        self._encoded = tuple(_encode_prefix(self._key_prefix, self._key_size))
        texts = [one.text for one in self._encoded] + [one.text for one in self._secrets.encoded]
        sizes = [one.size for one in self._encoded]
        shortest = min([*sizes, *(len(one.text) for one in self._secrets.encoded)], default=0)
        # Looking for each of them first costs a tenth of looking closer, and nearly nothing holds any.
        self._hints = Hints([self._key_prefix, *self._secrets.plain], texts, shortest)
        self.margin = max([self._key_size, self._secrets.length_max, *sizes])

    def __repr__(self) -> str:
        return f"SecretMask({len(self._secrets.secrets)} secrets)"

    def covers(self, secret: bytes) -> bool:
        """Tell whether a secret is a key of this gateway's form, which is masked anyway."""
        if len(secret) != self._key_size or not secret.startswith(self._key_prefix):
            return False
        return secret[len(self._key_prefix) :].isalnum()

    def apply(self, data: bytes, presented: SecretSet = NO_SECRETS) -> bytes:
        """Return the bytes with every secret replaced, those of `find_presented` too.

        A mask is never looked through again: whoever presents a part of it would make the text grow.
        """
        if not (self._hints.may_be_in(data) or (presented and presented.hints.may_be_in(data))):
            return data
        layers = unescape(data)
        if layers is None:
            return MASK
        spans = list(islice(self._find_everywhere(data, layers, presented), MASKS_MAX + 1))
        return data if not spans else MASK if len(spans) > MASKS_MAX else _replace(data, spans)

    def _find_everywhere(self, data: bytes, layers: Sequence[Layer], presented: SecretSet) -> Iterator[Span]:
        yield from self._find(data, presented)
        for depth, layer in enumerate(layers, 1):
            for span in self._find(layer.data, presented):
                yield locate(layers[:depth], span)

    def _find(self, data: bytes, presented: SecretSet) -> Iterator[Span]:
        for key in self._key.finditer(data):
            yield key.span()
        for encoded in self._encoded:
            yield from self._find_encoded(data, encoded)
        yield from self._secrets.find(data)
        yield from presented.find(data)

    def _find_encoded(self, data: bytes, prefix: _EncodedPrefix) -> Iterator[Span]:
        """Yield where keys are in base64."""
        skipped = BASE64_SKIPPED[prefix.others]
        for number, place in enumerate(find_all(data, prefix.text)):
            if number > MASKS_MAX:
                yield 0, len(data)  # nobody could tell what is among so many
                return
            # One character that holds bits of others holds some of the key's, too.
            start, end = max(0, place - (skipped > 0)), place - skipped + prefix.size
            text = b"A" * (skipped - place + start) + data[start:end].translate(_BASE64_STANDARD)
            try:
                decoded = b64decode(text + b"=" * (-len(text) % 4), validate=True)
            except Base64Error:
                continue
            if self._key.fullmatch(decoded[prefix.others : prefix.others + self._key_size]):
                yield start, end


def _encode_prefix(prefix: bytes, key_size: int) -> Iterator[_EncodedPrefix]:
    for others in range(3) if len(prefix) >= _ENCODED_PREFIX_MIN else ():
        text = encode_base64(prefix, others).text
        for spelled in {text, text.translate(BASE64_URL)}:
            yield _EncodedPrefix(spelled, others, ((others + key_size) * 8 + 5) // 6)


def _replace(data: bytes, spans: list[Span]) -> bytes:
    """Return the bytes with a mask in place of each span; those that overlap share one."""
    pieces: list[bytes] = []
    end = 0
    for start, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= end:
            pieces.append(data[end:start])
            end = stop
        elif stop > end:
            end = stop
    pieces.append(data[end:])
    return MASK.join(pieces)
