"""A row of the predecessor's audit trail, and ours. Keys are named by their ids; no secret comes along.

Many of its rows never got their end: they are marked as interrupted, or they would count as in flight for
ever. What happened to a row is told in a few words, which are counted, because there may be millions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from proxy.audit.masking.names import mask_value, redact_query
from proxy.predecessor.bodies import CUT_MARK, convert_body
from proxy.predecessor.notes import Level
from proxy.predecessor.scrubbing import Scrub
from proxy.predecessor.values import OldRow, read_count, read_flag, read_json, read_text, read_time
from proxy.store.recording import INTERRUPTED

NewRow = dict[str, Any]
Pairs = list[list[str]]
_TEXT_MAX = 500  # characters that a row keeps of path, target and user agent
_REDACTED = "[REDACTED]"
_MASK = "[redacted]"
_MEMBER = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*("(?:[^"\\]|\\.)*")')


class Change(Enum):
    """What can happen to a row: how bad that is, in which column, and how it is told."""

    LEFT_OUT = ("warning", "request_time", "left out: it has no time that can be read")
    INTERRUPTED = ("changed", "error_message", "it never got its end: marked as interrupted")
    KEY_NAMED = ("changed", "api_key", "the key's id stands where its secret was")
    KEY_UNKNOWN = ("changed", "api_key", "a secret that no key has any more is left out")
    SECRET_MASKED = ("changed", "", "a secret in its texts is masked")
    HEADERS_CUT = ("changed", "headers", "what was kept of headers that were cut")
    BODY_DECODED = ("changed", "body", "a body spelled as Python does (b'...') is the text itself")

    def __init__(self, level: Level, column: str, message: str) -> None:
        self.level = level
        self.column = column
        self.message = message


@dataclass(frozen=True, slots=True)
class LogRules:
    """What conversion needs to know besides the row.

    `find_key` tells id and source of the key whose secret it is given. `redacted` are the names of headers
    whose values are masked, as `proxy.audit.masking.names` compares them.
    """

    find_key: Callable[[str], tuple[str, str] | None]
    scrub: Scrub
    redacted: frozenset[bytes]


def convert_log(old: OldRow, rules: LogRules) -> tuple[NewRow | None, set[Change]]:
    """Return our row of an old one, still without `id`, and what changed; None if it has to be left out."""
    began = read_time(old["request_time"])
    if began is None:
        return None, {Change.LEFT_OUT}
    changes: set[Change] = set()

    def text(column: str, length: int | None = None) -> str | None:
        found = read_text(old[column])
        if found is None:
            return None
        clean = rules.scrub(found)
        if clean != found:
            changes.add(Change.SECRET_MASKED)
        return clean if length is None else clean[:length]

    def body(side: str) -> str | None:
        return _convert_body(text(f"{side}_body"), read_count(old[f"{side}_size"]), rules, changes)

    key_id, source = _name_key(old, rules, changes)
    ended, error = read_time(old["response_time"]), text("error_message") or None
    if ended is None and error is None:
        error = INTERRUPTED
        changes.add(Change.INTERRUPTED)
    row = {
        "request_id": (text("request_id") or "")[:50],
        "api_key": key_id,
        "source_path": text("source_path", 100) or source,
        "method": (text("method") or "")[:10].upper(),
        "path": _mask_query(text("path") or "")[:_TEXT_MAX],
        "target_url": _shorten(text("target_url")),
        "status_code": read_count(old["status_code"]),
        "request_time": began,
        "first_response_time": read_time(old["first_response_time"]),
        "response_time": ended,
        "response_time_ms": _measure(old, began, ended),
        "request_size": read_count(old["request_size"]),
        "response_size": read_count(old["response_size"]),
        "user_agent": text("user_agent", _TEXT_MAX),
        "ip_address": text("ip_address", 50),
        "is_stream": read_flag(old["is_stream"]),
        "stream_chunks": read_count(old["stream_chunks"]) or 0,
        "error_message": error,
        "request_headers": convert_headers(text("request_headers"), rules.redacted, changes),
        "request_body": body("request"),
        "response_headers": convert_headers(text("response_headers"), rules.redacted, changes),
        "response_body": _convert_body(
            text("response_body"), read_count(old["response_size"]), rules, changes
        ),
        "created_at": read_time(old["created_at"]) or began,
        "route_id": None,
        "gateway_ms": None,
        "writer_id": None,
        "sequence": None,
    }
    return row, changes


def convert_headers(text: str | None, redacted: frozenset[bytes], changes: set[Change]) -> Pairs | None:
    """Return a JSON object of headers as pairs with names in lower case, secrets masked; None for none."""
    if not text:
        return None
    is_json, headers = read_json(text)
    if is_json and isinstance(headers, dict):
        items: Iterable[tuple[str, Any]] = headers.items()
    else:
        changes.add(Change.HEADERS_CUT)
        items = _salvage_members(text.removesuffix(CUT_MARK))
    pairs = [(name.lower().encode(), _spell(value).encode()) for name, value in items]
    shown = [(name, mask_value(value) if name in redacted else value) for name, value in pairs]
    return [[name.decode(), value.decode()] for name, value in shown] or None


def _spell(value: object) -> str:
    if value == _REDACTED:
        return _MASK
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _salvage_members(text: str) -> list[tuple[str, str]]:
    """Return the members of a JSON object of texts that was cut somewhere."""
    members = []
    for match in _MEMBER.finditer(text):
        is_name, name = read_json(match[1])
        is_value, value = read_json(match[2])
        if is_name and is_value and isinstance(name, str) and isinstance(value, str):
            members.append((name, value))
    return members


def _name_key(old: OldRow, rules: LogRules, changes: set[Change]) -> tuple[str | None, str | None]:
    secret = read_text(old["api_key"])
    if not secret:
        return None, None
    found = rules.find_key(secret)
    changes.add(Change.KEY_NAMED if found else Change.KEY_UNKNOWN)
    return found or (None, None)


def _convert_body(text: str | None, size: int | None, rules: LogRules, changes: set[Change]) -> str | None:
    if not text:
        return None
    body = convert_body(text, size)
    if body == text:
        return text
    if text.startswith(("b'", 'b"')):
        changes.add(Change.BODY_DECODED)
    return rules.scrub(body)  # what was spelled as escapes may be a secret


def _mask_query(target: str) -> str:
    path, question, query = target.partition("?")
    return path + question + redact_query(query.encode()).decode() if query else target


def _shorten(target: str | None) -> str | None:
    return None if target is None else _mask_query(target)[:_TEXT_MAX]


def _measure(old: OldRow, began: datetime, ended: datetime | None) -> int | None:
    if (stored := read_count(old["response_time_ms"])) is not None or ended is None:
        return stored
    return max(0, round((ended - began).total_seconds() * 1000))
