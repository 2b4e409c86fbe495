"""What must not be written down wherever it turns up: secrets of backends, and keys of our own.

Headers that are known to hold credentials are masked by their names (`redact.py`). This masks values: a
backend that repeats its credentials in an answer, a client that puts its key into a body. A mask lives in
memory only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from proxy.audit.redact import MASK, find_parameters, names_secret
from proxy.errors import InvalidInputError
from proxy.policy.credentials import BASE62, RANDOM_LENGTH
from proxy.policy.model import HeaderPairs, Route
from proxy.references import find_references, resolve_value

# A shorter one says too little to be worth what masking it would do to ordinary text.
SECRET_BYTES_MIN = 6
# In a path a shorter one may be a word, and whoever presents a path would hide what he has called.
TEXT_SECRET_BYTES_MIN = 16
PRESENTED_MAX = 32  # secrets that one request can present; of more, the longest are looked for
# So many masks in one text are no text any more: somebody has made it to cost us time.
_MASKS_MAX = 4096
_CHECKSUM_LENGTH = 6
_SCHEME = re.compile(r"\s*[A-Za-z]{2,10}\s+")


class SecretMask:
    """Replaces secrets in bytes. `margin` is how much longer than it is to be kept a text has to be for that:
    one that is cut within a secret would show the beginning of it.
    """

    def __init__(self, secrets: Iterable[bytes] = (), key_prefix: str = "fg_") -> None:
        forms = {form for secret in secrets if len(secret) >= SECRET_BYTES_MIN for form in list_forms(secret)}
        key = re.escape(key_prefix.encode()) + b"[%s]{%d}" % (
            BASE62.encode(),
            RANDOM_LENGTH + _CHECKSUM_LENGTH,
        )
        # The longest first: one secret can be the beginning of another.
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join([key, *map(re.escape, longest_first)]))
        self._beginnings = tuple({key_prefix.encode(), *forms})
        self._key_prefix = key_prefix.encode()
        self._key_size = len(key_prefix) + RANDOM_LENGTH + _CHECKSUM_LENGTH
        self.margin = max([self._key_size, *map(len, forms)])

    def __repr__(self) -> str:
        return f"SecretMask({len(self._beginnings) - 1} secrets)"

    def covers(self, secret: bytes) -> bool:
        """Tell whether a secret is a key of this gateway's form, which is masked anyway."""
        if len(secret) != self._key_size or not secret.startswith(self._key_prefix):
            return False
        return secret[len(self._key_prefix) :].isalnum()

    def apply(self, data: bytes, presented: Sequence[bytes] = ()) -> bytes:
        """Return the bytes with every secret replaced, those of `find_presented` too.

        A mask is never looked through again: whoever presents a part of it would make the text grow.
        """
        # Looking for each of them first costs a tenth of the pattern, and nearly nothing holds any.
        pieces = self._pattern.split(data) if any(map(data.__contains__, self._beginnings)) else [data]
        for secret in presented:
            if secret in data:
                pieces = [part for piece in pieces for part in piece.split(secret)]
                if len(pieces) > _MASKS_MAX:
                    return MASK
        return MASK.join(pieces)


def find_presented(headers: HeaderPairs, query: bytes, redacted: frozenset[bytes]) -> list[bytes]:
    """Return the secrets that a request presents, the longest first; a backend may repeat them.

    They are the credentials and cookies in headers of the given names, and parameters named like credentials.
    """
    found: list[bytes] = []
    for name, value in headers:
        if name in redacted:
            if name == b"cookie":
                found += [cookie.partition(b"=")[2].strip() for cookie in value.split(b";")]
            else:
                found.append(value.rpartition(b" ")[2])
    if query:
        found += find_parameters(query)
    if len(found) > 1:
        found = sorted(set(found), key=len, reverse=True)[:PRESENTED_MAX]
    return [secret for secret in found if len(secret) >= SECRET_BYTES_MIN]


def pick_credentials(
    presented: Sequence[bytes], headers: HeaderPairs, redacted: frozenset[bytes]
) -> list[bytes]:
    """Return those of the presented secrets that are looked for in paths, targets and agents, too.

    Cookies say all kinds of things, and are no credentials of an API.
    """
    cookies = b"; ".join([value for name, value in headers if name == b"cookie" and name in redacted])
    return [
        secret
        for secret in presented
        if len(secret) >= TEXT_SECRET_BYTES_MIN and b"/" not in secret and secret not in cookies
    ]


def build_mask(
    routes: Iterable[Route], environ: Mapping[str, str], folder: Path, key_prefix: str
) -> SecretMask:
    """Return the mask of `find_secrets`."""
    return SecretMask(find_secrets(routes, environ, folder), key_prefix)


def find_secrets(routes: Iterable[Route], environ: Mapping[str, str], folder: Path) -> list[bytes]:
    """Return what routes, as they are in the database, add to requests that nobody else shall see.

    That is what their headers refer to, and what stands written out in headers and body fields that are named
    like credentials. A reference to nothing is passed over: there is nothing to mask.
    """
    secrets: list[bytes] = []
    for route in routes:
        for name, value in route.add_headers:
            found = _find_secrets(name, value, environ, folder)
            secrets += [secret.encode("latin-1", "replace") for secret in found]
        secrets += [secret.encode() for secret in find_field_secrets(route)]
    return secrets


def find_field_secrets(route: Route) -> Iterator[str]:
    """Yield the texts in a route's body fields, at any depth, that are named like credentials."""
    for name, text in route.add_body_fields:
        yield from _find_texts(name, json.loads(text))


def _find_texts(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _find_texts(f"{name}.{inner}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _find_texts(name, item)
    elif isinstance(value, str) and names_secret(name):
        yield value


def _find_secrets(name: str, value: str, environ: Mapping[str, str], folder: Path) -> list[str]:
    references = find_references(value)
    if not references:
        return [_SCHEME.sub("", value, count=1).strip()] if names_secret(name) else []
    found = []
    for reference in references:
        try:
            found.append(resolve_value(reference, environ, folder))
        except InvalidInputError:
            continue
    return found


def list_forms(secret: bytes) -> set[bytes]:
    """Return a secret as it is, and as JSON writes it."""
    return {secret, json.dumps(secret.decode("latin-1")).encode()[1:-1]}
