"""A key of the predecessor, and ours. The secret, which it kept in clear text, becomes its digest.

The digest is of the bytes that a client sends, so that existing clients keep working. Its permissions were
words that it never looked at: they are not taken over, because enforcing them would lock clients out.
"""

from __future__ import annotations

from typing import Any

from proxy.policy.credentials import digest_secret, hint_of
from proxy.predecessor.notes import Note, Notebook
from proxy.predecessor.values import (
    OldRow,
    read_count,
    read_flag,
    read_json,
    read_text,
    read_time,
    show,
)
from proxy.settings.model import REQUESTS_MAX
from proxy.store.key_checks import (
    SECRET_LENGTH_MAX,
    SECRET_LENGTH_MIN,
    SOURCE_LENGTH_MAX,
)

ID_LENGTH_MAX = 50
DEFAULT_SOURCE = "default"
NewRow = dict[str, Any]


def convert_key(old: OldRow) -> tuple[NewRow, list[Note]]:
    """Return our row of an old key, and what there is to say of it; refused if a note says so."""
    key_id = read_text(old["key_id"]) or ""
    book = Notebook("key", key_id)
    if not 1 <= len(key_id) <= ID_LENGTH_MAX or not key_id.isprintable() or " " in key_id:
        book.refuse("key_id", "it is not an id")
    secret = read_secret(old)
    if secret is None:
        book.refuse("key_value", "no client could ever have sent it")
    elif len(secret) < SECRET_LENGTH_MIN:
        book.warn("key_value", f"it has fewer than {SECRET_LENGTH_MIN} characters, and can be guessed")
    row = {
        "key_id": key_id,
        "key_value": digest_secret(secret or b""),
        "key_hint": hint_of((secret or b"").decode("latin-1")),
        "source_path": _convert_source(old, book),
        "permissions": _convert_permissions(old, book),
        "created_at": _convert_time("created_at", old, book),
        "expires_at": _convert_expiry(old, book),
        "is_active": read_flag(old["is_active"]),
        "usage_count": read_count(old["usage_count"]) or 0,
        "rate_limit": _convert_limit(old, book),
        "rate_burst": None,
        "last_used_at": _convert_time("last_used_at", old, book),
    }
    return row, book.notes


def read_secret(old: OldRow) -> bytes | None:
    """Return the secret as the bytes of a header, or None if no header could hold it."""
    text = read_text(old["key_value"]) or ""
    is_sendable = text.isprintable() and text == text.strip() and 1 <= len(text) <= SECRET_LENGTH_MAX
    try:
        # The predecessor compared with the header's value read as Latin-1.
        return text.encode("latin-1") if is_sendable else None
    except UnicodeEncodeError:
        return None


def _convert_source(old: OldRow, book: Notebook) -> str:
    text = read_text(old["source_path"]) or ""
    source = "".join(letter for letter in text if letter.isprintable()).strip()[:SOURCE_LENGTH_MAX].strip()
    if source != text:
        book.change("source_path", f"{show(text)!r} is not a name; it is {source or DEFAULT_SOURCE!r} now")
    return source or DEFAULT_SOURCE


def _convert_permissions(old: OldRow, book: Notebook) -> list[str]:
    is_json, words = read_json(old["permissions"])
    if not is_json or words:
        shown = show(words if is_json else read_text(old["permissions"]))
        book.warn("permissions", f"{shown} was never enforced; the key may use every route, as before")
    return []


def _convert_time(column: str, old: OldRow, book: Notebook) -> object:
    moment = read_time(old[column])
    if moment is None and old[column] is not None:
        book.warn(column, f"{show(read_text(old[column]))!r} is not a time; it is left empty")
    return moment


def _convert_expiry(old: OldRow, book: Notebook) -> object:
    moment = read_time(old["expires_at"])
    if moment is None and old["expires_at"] is not None:
        # An empty one would mean that the key never expires.
        book.refuse("expires_at", f"{show(read_text(old['expires_at']))!r} is not a time")
    return moment


def _convert_limit(old: OldRow, book: Notebook) -> int | None:
    limit = read_count(old["rate_limit"])
    if old["rate_limit"] is None or (limit is not None and limit <= REQUESTS_MAX):
        return limit
    book.warn("rate_limit", f"{show(old['rate_limit'])} is not a limit; the configured one holds")
    return None
