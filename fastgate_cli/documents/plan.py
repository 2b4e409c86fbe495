"""What has to change for a database to agree with a document. Pure: rows and a document in, changes out.

Keys are matched by id, routes by id and else by name. The result is judged as a whole, so that two routes can
exchange their names; what cannot be is told at its place in the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fastgate_cli.documents.fields import Kind, differs
from fastgate_cli.documents.reading import SECTIONS, Document, Wanted
from fastgate_cli.documents.route_fields import MASKS, NAME
from fastgate_cli.headers import KEEP
from proxy.documents.tree import Faults
from proxy.errors import InvalidInputError
from proxy.store.key_checks import check_permissions

Action = Literal["add", "change", "remove"]
Values = Mapping[str, Any]
_NO_VALUES: Values = {}


@dataclass(frozen=True, slots=True)
class Change:
    """One object that is not as the document has it.

    `before` is {} for one that is added, `after` for one that is removed. A route that is added without an id
    has none yet. Of `after`, a field that is missing is left to the database.
    """

    kind: Kind
    action: Action
    object_id: str | None
    before: Values = field(default_factory=dict, repr=False)
    after: Values = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Return what people call it: the source of a key, the name of a route."""
        values = self.after or self.before
        return str(values[NAME] if self.kind == "route" else values["source_path"])

    @property
    def columns(self) -> dict[str, Any]:
        """Return the fields that change, as they are afterwards."""
        return {
            name: value
            for name, value in self.after.items()
            if name not in self.before or differs(value, self.before[name])
        }


@dataclass(frozen=True, slots=True)
class State:
    """What a database has: the fields of every key and route by id, by section."""

    sections: Mapping[str, Mapping[str, Values]]


def plan_changes(
    document: Document, state: State, faults: Faults, *, prune: bool, expires_at: datetime | None
) -> list[Change]:
    """Return what has to change, additions and changes in the document's order and then removals.

    `expires_at` is the end of new keys that the document says nothing of. With faults there is no plan.
    """
    changes: list[Change] = []
    for section, shape in SECTIONS.items():
        current = state.sections[section]
        results, claimed = [], set()
        for wanted, object_id in _match(document.wants(section), current):
            change = _compare(wanted, object_id, current, faults, expires_at) if wanted.is_whole else None
            changes += [change] if change else []
            claimed.add(object_id)
            values = change.after if change else current.get(object_id or "", _NO_VALUES)
            results.append(_Result(object_id or wanted.object_id, values, wanted))
        others = {object_id: values for object_id, values in current.items() if object_id not in claimed}
        if prune and section in document.sections:
            changes += [
                Change(shape.kind, "remove", object_id, values) for object_id, values in others.items()
            ]
        else:
            results = [*(_Result(*other) for other in others.items()), *results]
        if not faults.problems:
            _check_results(results, faults)
    return changes


@dataclass(frozen=True, slots=True)
class _Result:
    """An object as it will be; one that the document does not have is nobody's fault."""

    object_id: str | None
    values: Values
    wanted: Wanted | None = None

    def words(self) -> Iterator[tuple[str, str]]:
        """Yield what no other object may have, each with the field that it comes from."""
        if NAME in self.values:
            # Whoever names a route may mean its id or its name.
            yield from ((NAME, word) for word in {self.object_id, self.values[NAME]} if word is not None)
        elif "value_hash" in self.values:
            yield "value_hash", self.values["value_hash"]


def _check_results(results: Iterable[_Result], faults: Faults) -> None:
    """Tell what two objects would have in common that has to be one's own."""
    owners: dict[str, _Result] = {}
    for result in results:
        for name, word in result.words():
            if owners.setdefault(word, result) is result or result.wanted is None:
                continue
            message = f"{word!r} is the id or the name of another route"
            if name != NAME:
                message = "another key has this value_hash"
            faults.add(message, result.wanted.place_of(name))


def _match(objects: Sequence[Wanted], current: Mapping[str, Values]) -> Iterator[tuple[Wanted, str | None]]:
    """Yield each object with the id under which the database has it, None if it has not."""
    claimed = {wanted.object_id for wanted in objects}
    by_name = {
        values.get(NAME): object_id for object_id, values in current.items() if object_id not in claimed
    }
    for wanted in objects:
        if wanted.object_id is not None:
            yield wanted, wanted.object_id if wanted.object_id in current else None
        else:
            yield wanted, by_name.get(wanted.name)


def _compare(
    wanted: Wanted,
    object_id: str | None,
    current: Mapping[str, Values],
    faults: Faults,
    expires_at: datetime | None,
) -> Change | None:
    kind = wanted.shape.kind
    before = current[object_id] if object_id is not None else _NO_VALUES
    after = dict(_fill_secrets(wanted, before, faults))
    _check_methods(wanted, before, faults)
    if object_id is None:
        given = {"expires_at": expires_at, **after} if kind == "key" else after
        return Change(kind, "add", wanted.object_id, after=given)
    if after.get("value_hash", before.get("value_hash")) != before.get("value_hash"):
        after.setdefault("key_hint", None)  # the hint at a secret does not outlive it
    change = Change(kind, "change", object_id, before, {**before, **after})
    return change if change.columns else None


def _check_methods(wanted: Wanted, before: Values, faults: Faults) -> None:
    """Tell of permissions whose methods no request can have; those that the database has stay."""
    permissions = wanted.members.get("permissions")
    for entry in permissions.value.items if permissions else ():
        try:
            check_permissions([entry.text], kept=before.get("permissions", ()))
        except InvalidInputError as error:
            faults.add_error(error, entry)


def _fill_secrets(wanted: Wanted, before: Values, faults: Faults) -> Iterator[tuple[str, Any]]:
    """Yield the fields, with what the database has in the place of every placeholder."""
    for name, value in wanted.values.items():
        if name not in MASKS or KEEP not in value.values():
            yield name, value
            continue
        known = before.get(name, _NO_VALUES)
        missing = {member for member, given in value.items() if given == KEEP} - known.keys()
        for place in wanted.members[name].value.members:
            if place.name in missing:
                message = f"the database has no {place.name!r} here that could be kept"
                faults.add(f"{message} (write its value, or a reference as ${{env:NAME}})", place)
        yield name, {member: known.get(member) if given == KEEP else given for member, given in value.items()}
