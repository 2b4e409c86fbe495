"""Edits of YAML text: one entry of one section is put in, changed or taken out, and every other byte stays.

The text is never written anew: ruamel's nodes say where things are, and there alone it changes. A text that
is written in a way that is not foreseen here comes out wrong, so whoever calls this compares the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from proxy.documents.entries import Entry, Source, end_of, entries_of, find_entry, is_block
from proxy.documents.nodes import core_type
from proxy.documents.spelling import Plain, Value, spell, spell_inline
from proxy.documents.text import INDENT

Edit = tuple[int, int, str]  # from where to where, and what is put there


def set_entry(source: Source, section: str, name: str, value: Value, order: Sequence[str]) -> str:
    """Return the text with an entry of a section changed, or put in where it is not there.

    `order` has the names of the section as they usually come; a new one goes behind those before it.
    """
    root = source.compose()
    home = find_entry(root, section, source)
    line = f"{name}: {spell_inline(value)}"
    if home is None:
        return _apply(source, [_add_section(root, source, section, line)])
    entry = find_entry(home.value, name, source)
    if entry is not None:
        return _apply(source, _change(entry, value))
    if home.value.id != "mapping":
        return _apply(source, _fill_section(home, line))
    earlier = order[: order.index(name)]
    known = [other for other in entries_of(home.value, source) if other.name.value in earlier]
    neighbour = max(known, key=lambda other: order.index(other.name.value), default=None)
    if is_block(home.value):
        return _apply(source, [_insert_line(home, line, neighbour)])
    return _apply(source, [_insert_in_braces(home.value, source, line, neighbour)])


def unset_entry(source: Source, section: str, name: str) -> str:
    """Return the text without an entry of a section; as it is if there is none."""
    home = find_entry(source.compose(), section, source)
    entry = find_entry(home.value, name, source) if home is not None else None
    if home is None or entry is None:
        return source.text
    entries = entries_of(home.value, source)
    return _apply(source, [_remove(entries, entries.index(entry), in_lines=is_block(home.value))])


def _apply(source: Source, edits: Iterator[Edit] | Sequence[Edit]) -> str:
    text = source.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _add_section(root: Any, source: Source, section: str, line: str) -> Edit:
    if root is not None and root.id == "mapping" and not is_block(root):
        last = entries_of(root, source)[-1] if root.value else None
        return _insert_in_braces(root, source, f"{section}: {{{line}}}", last)
    place, newline = source.document_end, source.newline
    before = source.text[:place]
    gap = "" if not before.strip() else newline if before.endswith("\n") else newline * 2
    return place, place, f"{gap}{section}:{newline}{' ' * INDENT}{line}{newline}"


def _fill_section(home: Entry, line: str) -> Iterator[Edit]:
    """Yield the edit for a section that holds nothing; one that holds something else stays as it is."""
    if home.is_empty:
        yield _insert_line(home, line, None)
    elif home.value.id == "scalar" and core_type(home.value) == "null":
        yield home.value.start_mark.index, home.end, f"{{{line}}}"


def _insert_line(home: Entry, line: str, neighbour: Entry | None) -> Edit:
    source = home.source
    inner = [] if home.is_empty else entries_of(home.value, source)
    column = inner[0].name.start_mark.column if inner else home.name.start_mark.column + INDENT
    place = source.line_end(neighbour.end if neighbour else home.colon)
    return place, place, f"{source.newline}{' ' * column}{line}"


def _insert_in_braces(mapping: Any, source: Source, line: str, neighbour: Entry | None) -> Edit:
    if not mapping.value:
        return mapping.start_mark.index + 1, mapping.end_mark.index - 1, line
    if neighbour is None:
        place = entries_of(mapping, source)[0].start
        return place, place, f"{line}, "
    return neighbour.end, neighbour.end, f", {line}"


def _remove(entries: Sequence[Entry], place: int, *, in_lines: bool) -> Edit:
    entry = entries[place]
    if in_lines:
        return entry.source.line_start(entry.start), entry.source.next_line(entry.end), ""
    if place + 1 < len(entries):
        return entry.start, entries[place + 1].start, ""
    return entries[place - 1].end if place else entry.start, entry.end, ""


def _change(entry: Entry, value: Value) -> Iterator[Edit]:
    old, source = entry.value, entry.source
    if _holds(old, value) and not entry.is_empty:
        return
    if old.id == "sequence" and is_block(old):
        if value and not isinstance(value, Plain):
            yield _change_lines(old, source, value)
        else:
            yield entry.colon, entry.colon, f" {spell_inline(value)}"
            yield source.line_start(old.start_mark.index), source.next_line(entry.end), ""
    elif entry.is_empty:
        yield entry.colon, entry.colon, f" {spell_inline(value)}"
    elif isinstance(value, Plain):
        style = old.style if old.id == "scalar" and not is_block(old) else None
        yield old.start_mark.index, entry.end, spell(value, style)
    else:
        yield old.start_mark.index, entry.end, f"[{', '.join(_reuse_words(old, source, value))}]"


def _holds(node: Any, value: Value) -> bool:
    """Tell whether a node has that value already, however it is written."""
    if isinstance(value, Plain):
        return bool(
            node.id == "scalar" and node.value == value.text and (core_type(node) == "str") is value.is_text
        )
    return node.id == "sequence" and len(node.value) == len(value) and all(map(_holds, node.value, value))


def _reuse_words(old: Any, source: Source, values: Sequence[Plain]) -> Iterator[str]:
    """Yield the items of a list in brackets, those that were there before as they were written."""
    items = old.value if old.id == "sequence" else []
    for value in values:
        item = next((item for item in items if _holds(item, value)), None)
        yield spell(value) if item is None else source.text[item.start_mark.index : end_of(item, source)]


def _change_lines(old: Any, source: Source, values: Sequence[Plain]) -> Edit:
    """Return the edit of a list over lines; items that stay keep theirs, with the comments before them."""
    first = start = source.line_start(old.start_mark.index)
    indent = source.text[first : old.start_mark.index]
    chunks: list[tuple[Any, str]] = []
    for item in old.value:
        end = source.line_end(end_of(item, source))
        chunks.append((item, source.text[start:end]))
        start = source.next_line(end)
    lines = []
    for value in values:
        place = next((place for place, (item, _) in enumerate(chunks) if _holds(item, value)), None)
        lines.append(f"{indent}- {spell(value)}" if place is None else chunks.pop(place)[1])
    return first, source.line_end(end_of(old.value[-1], source)), source.newline.join(lines)
