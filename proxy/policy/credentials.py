"""API keys as text: how one is built, digested, hinted at, and found among a request's headers.

A key is a prefix, 30 base62 characters and 6 more that are the CRC-32 of all before them, so that a mistyped
or cut key is known as such without a look-up, and leaked ones can be found by pattern.
"""

from __future__ import annotations

import hashlib
import zlib

from proxy.policy.model import HeaderPairs

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 30
_CHECKSUM_LENGTH = 6
_BEARER = b"bearer "
# In the order they are looked at; two different ones in one request are refused.
CREDENTIAL_HEADERS = (b"authorization", b"x-api-key", b"api-key")


def build_secret(prefix: str, randomness: str) -> str:
    """Return the whole key for a prefix such as `fg_` and 30 base62 characters."""
    body = prefix + randomness
    return body + _checksum(body)


def checksum_matches(secret: str) -> bool:
    """Tell whether the last six characters are the checksum of those before them."""
    return _checksum(secret[:-_CHECKSUM_LENGTH]) == secret[-_CHECKSUM_LENGTH:]


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return digits


def digest_secret(secret: bytes) -> str:
    """Return what is stored and looked up in place of the secret: `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(secret).hexdigest()


def hint_of(secret: str) -> str:
    """Return what may be shown of a secret: its first and last four characters."""
    return f"{secret[:4]}…{secret[-4:]}" if len(secret) >= 20 else "…"


def find_credentials(headers: HeaderPairs) -> set[bytes]:
    """Return the distinct secrets that a request presents; normally one."""
    found = set()
    for name, value in headers:
        if name not in CREDENTIAL_HEADERS:
            continue
        if name != b"authorization":
            found.add(value)
        elif value[: len(_BEARER)].lower() == _BEARER:
            found.add(value[len(_BEARER) :].strip(b" "))
    found.discard(b"")
    return found
