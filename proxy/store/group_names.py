"""What the groups of requests are called: by their words, and by what keys and routes are called today."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from proxy.store.database import Database
from proxy.store.models import ApiKeyRow, LogWord, ProxyRouteRow, Row

_IDS_PER_QUERY = 500
Names = Mapping[int, Row]  # by the group's number, the fields that name it
NameGroups = Callable[[Database, Collection[int]], Names]


def name_by_word(field: str) -> NameGroups:
    """Return what names groups by their words, in a field."""

    def name_groups(database: Database, numbers: Collection[int]) -> Names:
        words = read_words(database, numbers)
        return {number: {field: words.get(number)} for number in numbers}

    return name_groups


def name_keys(database: Database, numbers: Collection[int]) -> Names:
    """Return `key_id`, and `key_hint` and `source_path` of a key that is still there."""
    return _name_by_id(database, numbers, (ApiKeyRow.key_id, ApiKeyRow.key_hint, ApiKeyRow.source_path))


def name_routes(database: Database, numbers: Collection[int]) -> Names:
    """Return `route_id`, and `route_name` of a route that is still there."""
    return _name_by_id(database, numbers, (ProxyRouteRow.route_id, ProxyRouteRow.route_name))


def name_errors(database: Database, numbers: Collection[int]) -> Names:
    """Return `error`, the reason or, of a number below zero, the status; and `status_code`, of that alone."""
    words = read_words(database, [number for number in numbers if number > 0])
    return {
        number: {"error": f"HTTP {-number}", "status_code": -number}
        if number < 0
        else {"error": words.get(number), "status_code": None}
        for number in numbers
    }


def name_statuses(_: Database, numbers: Collection[int]) -> Names:
    """Return `status_code`: the number says it."""
    return {number: {"status_code": number} for number in numbers}


def read_words(database: Database, numbers: Collection[int]) -> dict[int, str]:
    """Return the texts of numbers."""
    words: dict[int, str] = {}
    for chunk in _cut([*numbers]):
        found = database.fetch(LogWord.select(LogWord.n, LogWord.word).where(LogWord.n.in_(chunk)))
        words |= {row["n"]: row["word"] for row in found}
    return words


def _name_by_id(database: Database, numbers: Collection[int], fields: Sequence[Any]) -> Names:
    id_field, *others = fields
    words, known = read_words(database, numbers), dict[str, Row]()
    for chunk in _cut([*words.values()]):
        found = database.fetch(id_field.model.select(*fields).where(id_field.in_(chunk)))
        known |= {row[id_field.name]: row for row in found}
    nothing = dict.fromkeys(field.name for field in others)
    return {
        number: {id_field.name: words.get(number), **known.get(words.get(number, ""), nothing)}
        for number in numbers
    }


def _cut(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _IDS_PER_QUERY] for start in range(0, len(items), _IDS_PER_QUERY))
