"""The fields of a key in a document. They are checked by what checks a key that a command makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastgate_cli.documents.fields import (
    Field,
    Place,
    Reading,
    Shape,
    read_checked,
    read_flag,
    read_list,
    read_text,
)
from proxy.clock import parse_moment
from proxy.documents.tree import Node
from proxy.errors import InvalidInputError
from proxy.ids import check_id
from proxy.settings.model import REQUESTS_MAX
from proxy.store.key_checks import check_permissions, check_rate_limit, check_source

ID = "key_id"
NEVER = "never"
HINT_LENGTH_MAX = 20
_DATE = re.compile(r"\d{4}-")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")


def read_expiry(node: Node, reading: Reading) -> datetime | None:
    """Return when a key ends, None for never. A length such as 90d would mean another day each time."""
    text = "" if node.kind == "null" else read_text(node, reading)
    if text == NEVER:
        return None
    if not _DATE.match(text):
        raise InvalidInputError("this must be a time or never", hint="write it as 2030-12-31T00:00:00+08:00")
    return parse_moment(text, now=reading.now, zone=reading.zone)


def read_digest(node: Node, reading: Reading) -> str:
    """Return the digest of a secret. The text is not quoted: it may be the secret itself."""
    text = read_text(node, reading).lower()
    if not _DIGEST.fullmatch(text):
        raise InvalidInputError("this is not the digest of a key", hint="sha256: and 64 hexadecimal digits")
    return text


def read_hint(node: Node, reading: Reading) -> str:
    """Return what may be shown of a secret."""
    text = read_text(node, reading)
    if len(text) > HINT_LENGTH_MAX or not text.isprintable():
        raise InvalidInputError(f"this must be at most {HINT_LENGTH_MAX} printable characters")
    return text


def _read_count(node: Node) -> int:
    if node.kind != "int" or not _WHOLE_NUMBER.fullmatch(node.text):
        raise InvalidInputError(f"this must be a whole number from 0 to {REQUESTS_MAX}")
    return int(node.text)


def read_limit(node: Node, _: Reading) -> int:
    """Return a rate limit."""
    limit = _read_count(node)
    check_rate_limit(limit, None)
    return limit


def read_burst(node: Node, _: Reading) -> int:
    """Return a burst."""
    burst = _read_count(node)
    check_rate_limit(None, burst)
    return burst


def _check_permission(entry: str) -> None:
    # Whether it may name that method, plan.py tells: the database may have such an entry already.
    check_permissions([entry], kept=[entry])


FIELDS = (
    Field(ID, read_checked(check_id), is_written=True),
    Field("source_path", read_checked(check_source), "default", is_written=True),
    Field("permissions", read_list(read_checked(_check_permission)), []),
    Field("rate_limit", read_limit),
    Field("rate_burst", read_burst),
    Field("expires_at", read_expiry, is_written=True),
    Field("is_active", read_flag, True),
    Field("value_hash", read_digest),
    Field("key_hint", read_hint),
)


def describe_key(row: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Return the fields of a key that is in the database."""
    return {
        "source_path": row["source_path"],
        "permissions": row["permissions"] or [],
        "rate_limit": row["rate_limit"],
        "rate_burst": row["rate_burst"],
        "expires_at": row["expires_at"],
        "is_active": bool(row["is_active"]),
        "value_hash": digest,
        "key_hint": row["key_hint"],
    }


def check_fields(values: Mapping[str, Any], place_of: Callable[[str], Place], reading: Reading) -> None:
    """Tell what the fields of one key say against each other."""
    entries = values["permissions"]
    checks: tuple[tuple[str, Callable[[], None]], ...] = (
        ("rate_burst", lambda: check_rate_limit(values["rate_limit"], values["rate_burst"])),
        ("permissions", lambda: check_permissions(entries, kept=entries)),
    )
    for name, check in checks:
        try:
            check()
        except InvalidInputError as error:
            reading.faults.add_error(error, place_of(name))
    if "key_hint" in values and "value_hash" not in values:
        reading.faults.add("a hint belongs to a value_hash, and there is none", place_of("key_hint"))


KEY = Shape(
    "key",
    ID,
    FIELDS,
    check_fields,
    # A new key then has the configured expiry and a secret of its own.
    kept_if_left_out=frozenset({"expires_at", "value_hash", "key_hint"}),
)
