"""API keys as text: how one is built, digested, hinted at, found in a request, and taken out of it.

A key is a prefix, 30 base62 characters and 6 more that are the CRC-32 of all before them, so that a mistyped
or cut key is known as such without a look-up, and leaked ones can be found by pattern.

Clients send keys in many places, and some send one twice. Which place it came from says nothing: once the key
is known, it is taken out of everything that goes to a backend by its value.
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from proxy.policy.model import HeaderPairs

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 30
_CHECKSUM_LENGTH = 6
_BEARER = b"bearer "
_BASIC = b"basic "
CREDENTIAL_HEADERS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"))
_KEY_PARAMETER = b"key="  # of the query, as Google's clients send it
# Each costs a look-up; a query may be full of parameters that are called `key` and are none.
CREDENTIALS_MAX = 32
# A shorter secret may be part of an ordinary word: it is known only where it is the whole value.
CONTAINED_BYTES_MIN = 16


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


def has_key_form(secret: bytes) -> bool:
    """Tell whether a secret is long enough to be a key that was made here, and ends in its checksum."""
    is_long = len(secret) > RANDOM_LENGTH + _CHECKSUM_LENGTH
    return is_long and checksum_matches(secret.decode("latin-1"))


def find_credentials(headers: HeaderPairs, query: bytes = b"") -> dict[bytes, bool]:
    """Return the distinct secrets that a request presents, normally one, each with True.

    False: `Authorization` holds it without the word `Bearer`. Any of them may be meant for the backend, and
    be no key of the gateway's: only a look-up can tell.
    """
    found: dict[bytes, bool] = {}
    for name, value in headers:
        if name not in CREDENTIAL_HEADERS:
            continue
        if name != b"authorization":
            found[value] = True
        elif value[: len(_BEARER)].lower() == _BEARER:
            found[value[len(_BEARER) :].strip(b" ")] = True
        elif b" " not in value:
            found.setdefault(value, False)
    if query and _KEY_PARAMETER in query:
        _find_parameters(query, found)
    found.pop(b"", None)
    return found


def _find_parameters(query: bytes, found: dict[bytes, bool]) -> None:
    for parameter in query.split(b"&"):
        if len(found) >= CREDENTIALS_MAX:
            break
        if parameter.startswith(_KEY_PARAMETER):
            found[unquote_to_bytes(parameter[len(_KEY_PARAMETER) :])] = True


def remove_from_headers(headers: Iterable[tuple[bytes, bytes]], secret: bytes) -> list[tuple[bytes, bytes]]:
    """Return headers without those that hold a secret; of `Cookie` only the cookies that hold it go."""
    kept = []
    for name, value in headers:
        if name == b"cookie":
            cookies = value.split(b";")
            others = [cookie for cookie in cookies if not _holds(cookie, secret)]
            if len(others) == len(cookies):
                kept.append((name, value))
            elif others:
                kept.append((name, b";".join(others).strip(b" ")))
        elif not _holds(value, secret) and not _is_basic_of(value, secret):
            kept.append((name, value))
    return kept


def remove_from_query(query: bytes, secret: bytes) -> bytes:
    """Return a query without the parameters that hold a secret, and the rest of it byte for byte."""
    if not is_within(query, secret):
        return query
    return b"&".join([part for part in query.split(b"&") if not _holds(unquote_to_bytes(part), secret)])


def is_within(raw: bytes, secret: bytes) -> bool:
    """Tell whether a secret is anywhere in the raw bytes of a path or a query, percent-encoded or not."""
    return secret in raw or (b"%" in raw and secret in unquote_to_bytes(raw))


def is_in_path(path: bytes, secret: bytes) -> bool:
    """Tell whether a path holds a secret; a short one may be an ordinary word in it."""
    return len(secret) >= CONTAINED_BYTES_MIN and is_within(path, secret)


def _holds(value: bytes, secret: bytes) -> bool:
    if len(secret) >= CONTAINED_BYTES_MIN:
        return secret in value
    return secret in value and secret in (value, value.rpartition(b" ")[2], value.rpartition(b"=")[2])


def _is_basic_of(value: bytes, secret: bytes) -> bool:
    """Tell whether a value is a name and a password (RFC 7617) of which one is the secret."""
    if value[: len(_BASIC)].lower() != _BASIC:
        return False
    try:
        return secret in binascii.a2b_base64(value[len(_BASIC) :])
    except binascii.Error:
        return False
