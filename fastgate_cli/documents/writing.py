"""Keys and routes of a database as the text of a document. The same rows always make the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import Any

from fastgate_cli.documents.fields import Shape, differs
from fastgate_cli.documents.key_fields import NEVER
from fastgate_cli.documents.plan import State
from fastgate_cli.documents.reading import SECTIONS
from fastgate_cli.documents.route_fields import MASKS, NAME, spell_statuses
from fastgate_cli.headers import KEEP
from proxy import __version__
from proxy.documents.text import INDENT, mark_item, write_member

_HEADER = f"""\
# Keys and routes of FastGate, written by version {__version__}.
#
#   fastgate diff -f FILE     tell what in the database is not as it is here
#   fastgate apply -f FILE    make it so; --prune also removes what is not here
#
# A field that is left out has its default."""
_WITHOUT_SECRETS = f"""\
# No secret is written here; 'fastgate export --secrets' writes them. {KEEP} keeps what the database has.
# A key keeps its secret too; a database that has no such key makes it with a new one."""
_WITH_SECRETS = "# This document holds secrets: keep it to yourself."
_KEPT_COMMENT = "kept in the database"
_OF_SECRETS = frozenset({"value_hash", "key_hint"})


def write_document(
    state: State, sections: Iterable[str], zone: tzinfo, *, with_secrets: bool
) -> Iterator[str]:
    """Yield the lines of a document with those sections."""
    yield from (*_HEADER.splitlines(), *(_WITH_SECRETS if with_secrets else _WITHOUT_SECRETS).splitlines())
    for section in sections:
        objects = state.sections[section]
        yield ""
        yield f"{section}:" if objects else f"{section}: []"
        for number, (object_id, values) in enumerate(objects.items()):
            if number:
                yield ""
            shape = SECTIONS[section]
            fields = _pick_fields(shape, object_id, values, zone, with_secrets=with_secrets)
            yield from mark_item(_write_fields(fields, with_secrets=with_secrets), INDENT)


def _pick_fields(
    shape: Shape, object_id: str, values: Mapping[str, Any], zone: tzinfo, *, with_secrets: bool
) -> Iterator[tuple[str, Any]]:
    """Yield what is written of an object: its id, and the fields that are not by default."""
    yield shape.id_name, object_id
    for field in shape.fields:
        if field.name == shape.id_name or (field.name in _OF_SECRETS and not with_secrets):
            continue
        value = values[field.name]
        if field.is_written or differs(value, object_id if field.name == NAME else field.default):
            yield field.name, _spell_value(field.name, value, zone)


def _spell_value(name: str, value: Any, zone: tzinfo) -> Any:
    if name == "expires_at":
        return NEVER if value is None else value.astimezone(zone).isoformat()
    return spell_statuses(value) if name == "retry_statuses" else value


def _write_fields(fields: Iterable[tuple[str, Any]], *, with_secrets: bool) -> Iterator[str]:
    indent = 2 * INDENT
    for name, value in fields:
        if name not in MASKS or with_secrets:
            yield from write_member(name, value, indent)
            continue
        shown = MASKS[name](value)
        yield f"{' ' * indent}{name}:"
        for member, literal in value.items():
            if differs(shown[member], literal):
                yield from write_member(member, KEEP, indent + INDENT, comment=_KEPT_COMMENT)
            else:
                yield from write_member(member, literal, indent + INDENT)
