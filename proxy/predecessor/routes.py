"""A route of the predecessor, and ours: made so that the same request reaches the same URL.

The predecessor sent every request of a route to its target path; with `strip_path_prefix` it appended what
followed the pattern, if the pattern was plain text up to its last slashes and stars. Ours sends the request's
own path where the target path is empty, and reads braces in it as placeholders.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from proxy.errors import InvalidInputError
from proxy.policy.headers import HOP_BY_HOP
from proxy.policy.patterns import compile_pattern
from proxy.policy.routing import compile_route
from proxy.policy.targets import parse_target
from proxy.predecessor.conditions import convert_header_match, convert_methods, convert_schema
from proxy.predecessor.notes import Note, Notebook
from proxy.predecessor.patterns import convert_pattern, finds_prefix
from proxy.predecessor.values import OldRow, read_count, read_flag, read_json, read_text, read_time, show
from proxy.store.routes import NAME_LENGTH_MAX, PRIORITY_DEFAULT, build_route, find_problem

ID_LENGTH_MAX = 50
TIMEOUT_SECONDS_MAX = 86_400
PRIORITY_MAX = 10_000
_ID = re.compile(r"[A-Za-z0-9_.-]{1,50}")
_NOT_OF_IDS = re.compile(r"[^A-Za-z0-9_.-]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNQUOTED = "/:@!$&'()*+,;=~%-._?#\\"  # what is not allowed among them is refused, not hidden
# Stated by the gateway itself for every request: to set or remove them means nothing.
_STATED = HOP_BY_HOP | {
    b"content-length",
    b"expect",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-request-id",
}
_REFERENCE = re.compile(r"\$\{(?:env|file):")
NewRow = dict[str, Any]


def convert_route(old: OldRow, *, retries_max: int) -> tuple[NewRow, list[Note]]:
    """Return our row of an old route, and what there is to say of it; refused if a note says so."""
    old_id = read_text(old["route_id"]) or ""
    book = Notebook("route", old_id)
    route_id = _convert_id(old_id, book)
    row = {
        "route_id": route_id,
        "route_name": _convert_name(old, route_id, book),
        "description": read_text(old["description"]) or "",
        "match_path": convert_pattern(read_text(old["match_path"]) or "", book),
        "match_method": convert_methods(old, book),
        "match_headers": convert_header_match(old, book),
        "match_body_schema": convert_schema(old, book),
        **_convert_target(old, book),
        "add_headers": _convert_added_headers(old, book),
        "add_body_fields": _convert_body_fields(old, book),
        "remove_headers": _convert_removed_headers(old, book),
        "timeout": _convert_timeout(old, book),
        "retry_count": _convert_retries(old, retries_max, book),
        "is_active": read_flag(old["is_active"]),
        "priority": _convert_priority(old, book),
        "created_at": read_time(old["created_at"]),
        "updated_at": read_time(old["updated_at"]),
        "targets": [],
        "balance": "failover",
        "retry_statuses": [],
        "total_timeout": None,
        "http_version": "1.1",
        "tls_ca": None,
        "tls_verify": True,
        "on_client_abort": "cancel",
        "pass_credential": False,
        "encoded_slash": False,
        "keep_redirects": False,
    }
    if not book.is_refused:
        _check(row, book)
    return row, book.notes


def _check(row: NewRow, book: Notebook) -> None:
    """Refuse what the gateway would leave out."""
    try:
        if problem := find_problem(row):
            raise InvalidInputError(problem)
        compile_route(build_route(row))
    except InvalidInputError as error:
        book.refuse("", error.message)


def _convert_id(old_id: str, book: Notebook) -> str:
    if _ID.fullmatch(old_id):
        return old_id
    route_id = _NOT_OF_IDS.sub("-", old_id).strip("-")[:ID_LENGTH_MAX]
    if route_id:
        book.row_id = route_id
        book.change("route_id", f"{show(old_id)!r} is {route_id!r} now: an id has letters, digits, _ . and -")
    else:
        book.refuse("route_id", "nothing of its id can be in an id here: letters, digits, _ . and -")
    return route_id


def _convert_name(old: OldRow, route_id: str, book: Notebook) -> str:
    text = read_text(old["route_name"]) or ""
    name = "".join(letter for letter in text if letter.isprintable()).strip()[:NAME_LENGTH_MAX].strip()
    if name != text or not name:
        book.change("route_name", f"the name is {name or route_id!r} now")
    return name or route_id


def _convert_target(old: OldRow, book: Notebook) -> NewRow:
    protocol = (read_text(old["target_protocol"]) or "http").lower()
    host, slash, base = (read_text(old["target_host"]) or "").partition("/")
    path = read_text(old["target_path"]) or ""
    if slash:
        path = f"/{base}{path}"
        book.change("target_host", "the path behind the host is part of the target path")
    sent = quote(path, safe=_UNQUOTED) or "/"
    if path and sent != path:
        book.change("target_path", f"{show(path)!r} is written {show(sent)!r}, as it was sent")
    elif not path:
        book.change("target_path", "an empty path is written '/': that is what was sent")
    strips = read_flag(old["strip_path_prefix"])
    if strips and not finds_prefix(read_text(old["match_path"]) or ""):
        strips = False
        book.change("strip_path_prefix", f"it had no effect with this pattern: {show(sent)!r} is always sent")
    try:
        target = parse_target(f"{protocol}://{host}", pattern=compile_pattern("/"))
        protocol, host = target.protocol, target.host
    except InvalidInputError as error:
        book.refuse("target_host", error.message)
    return {
        "target_protocol": protocol,
        "target_host": host,
        "target_path": sent,
        "strip_path_prefix": strips,
    }


def _convert_added_headers(old: OldRow, book: Notebook) -> dict[str, str]:
    column = "add_headers"
    is_json, headers = read_json(old[column])
    if not is_json or not isinstance(headers, dict | None):
        book.refuse(column, "it is not a JSON object")
        return {}
    added: dict[str, str] = {}
    for name, value in (headers or {}).items():
        # Values may be secrets: none is quoted.
        if not isinstance(value, str):
            book.refuse(column, f"the value of {show(name)!r} is not a text")
        elif name.lower().encode() in _STATED:
            book.warn(column, f"{show(name)!r} is dropped: the gateway states it itself")
        else:
            added[name] = value
            if _REFERENCE.search(value):
                book.warn(column, f"the value of {show(name)!r} is read as a reference now")
    return added


def _convert_removed_headers(old: OldRow, book: Notebook) -> list[str]:
    column = "remove_headers"
    is_json, names = read_json(old[column])
    if not is_json or not isinstance(names, list | None):
        book.refuse(column, "it is not a JSON list")
        return []
    removed = []
    for name in names or ():
        if isinstance(name, str) and name.lower().encode() in _STATED | {b"host"}:
            book.change(column, f"{name!r} is dropped: the gateway always states it itself")
        elif isinstance(name, str) and _HEADER_NAME.fullmatch(name):
            removed.append(name)
        else:
            book.change(column, f"{show(name)!r} is dropped: it is not a header")
    return removed


def _convert_body_fields(old: OldRow, book: Notebook) -> dict[str, Any]:
    column = "add_body_fields"
    is_json, fields = read_json(old[column])
    if not is_json or not isinstance(fields, dict | None):
        book.refuse(column, "it is not a JSON object")
        return {}
    if dotted := [name for name in fields or () if "." in name]:
        book.refuse(column, f"the name {show(dotted[0])!r} has a dot, which reaches into an object here")
    if fields:
        book.warn(column, "a body that is no JSON object is refused now; it was sent on as it came")
    return fields or {}


def _convert_timeout(old: OldRow, book: Notebook) -> int | None:
    seconds = read_count(old["timeout"])
    if seconds is not None and 1 <= seconds <= TIMEOUT_SECONDS_MAX:
        return seconds
    if old["timeout"] is not None:
        book.warn("timeout", f"{show(old['timeout'])} is not a time-out; proxy.timeout holds")
    return None


def _convert_retries(old: OldRow, retries_max: int, book: Notebook) -> int:
    retries = read_count(old["retry_count"]) or 0
    if retries > retries_max:
        book.warn("retry_count", f"{retries} is more than proxy.max_retries allows; it is {retries_max} now")
    return min(retries, retries_max)


def _convert_priority(old: OldRow, book: Notebook) -> int:
    priority = old["priority"]
    if isinstance(priority, int) and 0 <= priority <= PRIORITY_MAX:
        return priority
    if priority is not None:
        book.warn("priority", f"{show(priority)} is not a priority; it is {PRIORITY_DEFAULT} now")
    return PRIORITY_DEFAULT
