"""Header options of routes: how they are written on a command line, checked, and shown without their secrets.

Pure. Names are tokens and values hold no control characters (RFC 9110 section 5), so that no option can put
a second header, or framing, into a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxy.audit.masking.names import names_secret
from proxy.errors import InvalidInputError
from proxy.policy.headers import HOP_BY_HOP

# What stands for a secret that a document does not hold. No header and no body field can have this value.
KEEP = "${keep}"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_REFERENCE = re.compile(r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^{}]+)\}")
_SCHEME = re.compile(r"\s*[A-Za-z]{2,10}\s+")
# What the gateway states of each request itself; a second one would contradict it.
_SET_BY_GATEWAY = frozenset(
    (
        "content-length",
        "expect",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    )
)
_MASK = "•••"
_SHOWN_CHARACTERS = 4
_LENGTH_SHOWN_FROM = 13


def parse_header_match(texts: Iterable[str]) -> dict[str, str | None]:
    """Return the headers a request must have, from `K=V` (V may hold `*`) or `K` for any value."""
    wanted: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = check_name(name.strip(), text)
        if name.lower() in map(str.lower, wanted):
            raise InvalidInputError(f"the header {name!r} is asked for twice", hint="give each name once")
        wanted[name] = check_value(name, value) if equals else None
    return wanted


def parse_set_headers(texts: Iterable[str]) -> dict[str, str]:
    """Return the headers a route sets, from `K: V`."""
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            # The text is not quoted: what has no colon may be a bare secret.
            raise InvalidInputError(
                "a header to set has no colon", hint="write it as --set-header 'Name: value'"
            )
        name = check_name(name.strip(), name)
        if name.lower() in map(str.lower, headers):
            raise InvalidInputError(f"the header {name!r} is set twice", hint="give each name once")
        headers[name] = check_added(name, value)
    return headers


def check_added(name: str, value: str) -> str:
    """Return the value of a header that a route sets, or raise `InvalidInputError`."""
    if name.lower().encode() in HOP_BY_HOP or name.lower() in _SET_BY_GATEWAY:
        raise InvalidInputError(
            f"a route cannot set the header {name!r}", hint="the gateway states framing and forwarding itself"
        )
    return _check_references(name, check_value(name, value.strip()))


def check_name(name: str, text: str) -> str:
    """Return a header name that is a token, or raise `InvalidInputError` quoting what was written."""
    if not _TOKEN.fullmatch(name):
        raise InvalidInputError(
            f"{text!r} does not begin with a header name",
            hint="a name has letters, digits and -, as X-Tenant",
        )
    return name


def check_value(name: str, value: str) -> str:
    """Return the value of a header if it can be one, or raise `InvalidInputError` without quoting it."""
    if not _VALUE.fullmatch(value):
        raise InvalidInputError(
            f"the value of {name!r} holds a character that no header can hold",
            hint="no line breaks, no NUL, nothing outside Latin-1",
        )
    return value


def _check_references(name: str, value: str) -> str:
    if "${" in _REFERENCE.sub("", value):
        raise InvalidInputError(
            f"the value of {name!r} has a reference that means nothing",
            hint="references are ${env:NAME} and ${file:PATH}",
        )
    return value


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return a route's added headers as they may be shown: references as written, literals masked."""
    return {name: mask_value(value) for name, value in headers.items()}


def mask_body_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route's body fields as they may be shown: a text in one named as a credential is masked."""
    return {name: _mask_field(name, value) for name, value in fields.items()}


def _mask_field(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _mask_field(f"{name}.{inner}", item) for inner, item in value.items()}
    if isinstance(value, list):
        return [_mask_field(name, item) for item in value]
    return mask_value(value) if isinstance(value, str) and names_secret(name) else value


def mask_value(value: str) -> str:
    """Return a header value without what may be a secret in it.

    A literal is a mask, and its last four characters if it is long enough to keep the rest unknown. Around
    references only a scheme such as `Bearer ` stays readable.
    """
    references: Sequence[str] = _REFERENCE.findall(value)
    if not references:
        secret = value.rpartition(" ")[2]  # a scheme such as `Bearer` keeps nothing unknown
        tail = secret[-_SHOWN_CHARACTERS:] if len(secret) >= _LENGTH_SHOWN_FROM else ""
        return _MASK + tail
    literals = _REFERENCE.split(value)
    shown = [_mask_literal(literal) for literal in literals]
    return shown[0] + "".join(map("".join, zip(references, shown[1:], strict=True)))


def _mask_literal(literal: str) -> str:
    return literal if not literal.strip() or _SCHEME.fullmatch(literal) else _MASK


def holds_keep(value: Any) -> bool:
    """Tell whether a JSON value is, or has within it, the text that stands for a secret in a document."""
    if isinstance(value, Mapping):
        return any(map(holds_keep, value.values()))
    return any(map(holds_keep, value)) if isinstance(value, list) else value == KEEP


def find_bare_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return the names that sound like credentials among body fields that are text: none is a reference."""
    texts = [name for name, value in fields.items() if isinstance(value, str)]
    return [name for name in texts if names_secret(name)]


def find_bare_credentials(headers: Mapping[str, str]) -> list[str]:
    """Return the names that sound like credentials and whose values are written out, not referred to."""
    return [name for name, value in headers.items() if names_secret(name) and not _REFERENCE.search(value)]
