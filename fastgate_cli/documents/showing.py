"""Changes as they may be shown: a row for programs, lines for people. No secret, and no digest of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

from fastgate_cli.columns import Column, escape_controls, format_text
from fastgate_cli.documents.fields import differs
from fastgate_cli.documents.key_fields import NEVER
from fastgate_cli.documents.plan import Action, Change
from fastgate_cli.documents.reading import SECTIONS
from fastgate_cli.documents.route_fields import MASKS, spell_statuses

WORDS: Mapping[Action, str] = {"add": "added", "change": "changed", "remove": "removed"}
_MARKS: Mapping[Action, tuple[str, str]] = {
    "add": ("+", "green"),
    "change": ("~", "yellow"),
    "remove": ("-", "red"),
}
_STYLES = {WORDS[action]: style for action, (_, style) in _MARKS.items()}
_HIDDEN = "•••"
_INLINE_LENGTH_MAX = 60
_BY_MEMBER = frozenset({"match_headers", *MASKS})
_WORDS_FOR_NONE = {"expires_at": NEVER, "match_headers": "any value"}

COLUMNS = (
    Column("id"),
    Column("kind"),
    Column("name", elastic=True),
    Column("change", style=lambda word: _STYLES.get(word, "")),
    Column("fields", text=lambda fields, _: ", ".join(fields), elastic=True),
)


def describe_change(change: Change) -> dict[str, Any]:
    """Return a change as a row: every field that changes, from what to what."""
    before, after = show_values(change.before), show_values(change.after)
    return {
        "id": change.object_id,
        "kind": change.kind,
        "name": change.name,
        "change": WORDS[change.action],
        "fields": {
            name: {"from": before.get(name), "to": after.get(name)} for name in visible_columns(change)
        },
    }


def visible_columns(change: Change) -> list[str]:
    """Return the fields that a reader wants to know of: of an added object those that are not by default."""
    fields = SECTIONS[f"{change.kind}s"].fields
    if change.action == "change":
        changed = change.columns
        return [field.name for field in fields if field.name in changed]
    return [
        field.name
        for field in fields
        if field.name in change.after and differs(change.after[field.name], field.default)
    ]


def show_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object with its secrets masked."""
    shown = {name: MASKS[name](value) if name in MASKS else value for name, value in values.items()}
    if shown.get("value_hash") is not None:
        shown["value_hash"] = _HIDDEN
    return shown


def draw_changes(changes: Iterable[Change], zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Yield the lines of a diff, each with its style."""
    section = ""
    for change in changes:
        if change.kind != section:
            section = change.kind
            yield f"{section}s", "bold"
        mark, style = _MARKS[change.action]
        alias = "" if change.object_id in (None, change.name) else f"  {change.object_id}"
        yield f"  {mark} {escape_controls(change.name)}{alias}", style
        before, after = show_values(change.before), show_values(change.after)
        for name in visible_columns(change):
            yield from _draw_field(change, name, before.get(name), after.get(name), zone)


def summarize(changes: Iterable[Change], words: Mapping[Action, str]) -> str:
    """Return how many objects change, in one line."""
    counts = dict.fromkeys(words, 0)
    for change in changes:
        counts[change.action] += 1
    return ", ".join(f"{count} {words[action]}" for action, count in counts.items() if count) or "no changes"


def _draw_field(
    change: Change, name: str, before: Any, after: Any, zone: tzinfo
) -> Iterator[tuple[str, str]]:
    if name not in _BY_MEMBER:
        is_new = change.action == "add"
        yield from _draw_pair(name, None if is_new else _spell(name, before, zone), _spell(name, after, zone))
        return
    old, new = change.before.get(name, {}), change.after[name]
    for member in dict.fromkeys([*old, *new]):
        if member in old and member in new and not differs(old[member], new[member]):
            continue
        was = _spell(name, before[member], zone) if member in old else None
        will = _spell(name, after[member], zone) if member in new else None
        yield from _draw_pair(escape_controls(f"{name}.{member}"), was, will)


def _draw_pair(label: str, before: str | None, after: str | None) -> Iterator[tuple[str, str]]:
    if before is None:
        yield f"      {label}: {after}", "green"
    elif after is None:
        yield f"      {label}: {before} is dropped", "red"
    elif before == after:
        yield f"      {label}: {after}, another than before", "yellow"
    elif len(before) + len(after) <= _INLINE_LENGTH_MAX:
        yield f"      {label}: {before} -> {after}", "yellow"
    else:
        yield f"      {label}:", "yellow"
        yield f"        - {before}", "red"
        yield f"        + {after}", "green"


def _spell(name: str, value: Any, zone: tzinfo) -> str:
    if name == "add_body_fields":
        return escape_controls(json.dumps(value, ensure_ascii=False))  # "1" is not 1 there
    if value is None:
        return _WORDS_FOR_NONE.get(name, "none")
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    items = spell_statuses(value) if name == "retry_statuses" else value
    if isinstance(items, list) and not any(isinstance(item, Mapping | list) for item in items):
        return escape_controls(", ".join(map(str, items))) or "none"
    return escape_controls(format_text(value, zone)) or '""'
