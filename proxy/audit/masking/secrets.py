"""Whose values are masked: what a request presents as its credentials, and what routes add to requests."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from proxy.audit.masking.mask import SECRET_BYTES_MIN, SecretMask
from proxy.audit.masking.names import find_parameters, find_url_parameters, names_secret
from proxy.audit.masking.spellings import SecretSet
from proxy.errors import InvalidInputError
from proxy.policy.model import HeaderPairs, Route
from proxy.references import find_references, resolve_value

# In a path a shorter one may be a word, and whoever presents a path would hide what he has called.
TEXT_SECRET_BYTES_MIN = 16
PRESENTED_MAX = 32  # secrets that one request can present; of more, the longest are looked for
_SCHEME = re.compile(r"\s*[A-Za-z]{2,10}\s+")
_BASIC = re.compile(rb"\s*basic\s+", re.IGNORECASE)


def find_presented(
    headers: HeaderPairs,
    query: bytes,
    redacted: frozenset[bytes],
    is_masked: Callable[[bytes], bool] = lambda _secret: False,
) -> SecretSet:
    """Return the secrets that a request presents, without those masked anyway; a backend may repeat them.

    They are the credentials and cookies in headers of the given names, and parameters named like credentials,
    of the request and of the page that it came from.
    """
    found: list[bytes] = []
    cookies: list[bytes] = []
    for name, value in headers:
        if name in redacted:
            if name == b"cookie":
                cookies += [cookie.partition(b"=")[2].strip() for cookie in value.split(b";")]
            else:
                found += _find_credentials(value)
        elif name == b"referer":
            found += find_url_parameters(value)
    if query:
        found += find_parameters(query)
    if not (found or cookies):
        return SecretSet()
    longest = sorted({*found, *cookies}, key=lambda secret: (-len(secret), secret))[:PRESENTED_MAX]
    # Nearly always it is one key, of this gateway.
    kept = {secret for secret in longest if len(secret) >= SECRET_BYTES_MIN and not is_masked(secret)}
    # Nobody encodes a cookie anew, and there may be many.
    return SecretSet(kept.intersection(found), kept.difference(found))


def pick_credentials(presented: SecretSet, headers: HeaderPairs, redacted: frozenset[bytes]) -> SecretSet:
    """Return those of the presented secrets that are looked for in paths, targets and agents, too.

    Cookies say all kinds of things, and are no credentials of an API.
    """
    cookies = b"; ".join([value for name, value in headers if name == b"cookie" and name in redacted])
    return SecretSet(
        secret
        for secret in presented.secrets
        if len(secret) >= TEXT_SECRET_BYTES_MIN and b"/" not in secret and secret not in cookies
    )


def _find_credentials(value: bytes) -> list[bytes]:
    """Return what a header's value presents: what stands behind its scheme, and a password within that."""
    secret = value.rpartition(b" ")[2]
    if not _BASIC.match(value):
        return [secret]
    try:
        return [secret, b64decode(secret).partition(b":")[2]]
    except Base64Error:
        return [secret]


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
