"""What an import would do: everything read and converted, every problem found, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from proxy.errors import ConfigurationError, Problem
from proxy.predecessor.keys import convert_key, read_secret
from proxy.predecessor.logs import Change, LogRules, convert_log
from proxy.predecessor.notes import Note
from proxy.predecessor.order import keep_order
from proxy.predecessor.reading import PredecessorDatabase
from proxy.predecessor.routes import convert_route
from proxy.predecessor.scrubbing import Scrub, build_scrub

Part = Literal["keys", "routes", "logs"]
OnConflict = Literal["fail", "skip", "replace"]
NewRow = dict[str, Any]
_TABLES: Mapping[Part, str] = {"keys": "api_keys", "routes": "proxy_routes", "logs": "audit_logs"}
_HINT = (
    "nothing was written; --without ID leaves a key or a route out, "
    "--on-conflict skip or replace is for what is there already"
)


class ImportRefusedError(ConfigurationError):
    """The old database cannot be taken as it is; `problems` says everything that stands against it."""

    code = "import_refused"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to import, and what to do about what cannot be taken exactly as it was.

    `without` are ids of keys and routes to leave out. With `strict` a warning refuses the whole import.
    `redacted` are the names of headers to mask, as `proxy.audit.masking.names` compares them.
    """

    parts: frozenset[Part] = frozenset(("keys", "routes"))
    on_conflict: OnConflict = "fail"
    strict: bool = False
    without: frozenset[str] = frozenset()
    retries_max: int = 0
    redacted: frozenset[bytes] = frozenset()


@dataclass(slots=True)
class Tally:
    """How many rows of one kind there were, and what became of them."""

    found: int = 0
    imported: int = 0
    skipped: int = 0
    replaced: int = 0


@dataclass(slots=True)
class Plan:
    """What is to be written, and what there is to say of it. Whoever writes it keeps the tallies."""

    source: Path
    keys: list[NewRow] = field(default_factory=list)
    routes: list[NewRow] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    tallies: dict[Part, Tally] = field(default_factory=lambda: {part: Tally() for part in _TABLES})
    scrub: Scrub = field(default=str, repr=False)

    def refuse_problems(self, clashes: Iterable[str] = ()) -> None:
        """Raise `ImportRefusedError` with everything that stands against the plan, if anything does."""
        refused = [_describe(note) for note in self.notes if note.level == "refused"]
        if problems := [*refused, *clashes]:
            place = str(self.source)
            raise ImportRefusedError([Problem(problem, file=place) for problem in problems], hint=_HINT)


def build_plan(old: PredecessorDatabase, wishes: Wishes) -> Plan:
    """Read and convert what is wanted of keys and routes; what cannot be taken is among the plan's notes."""
    old.check(*{_TABLES["keys"], *(_TABLES[part] for part in wishes.parts)})
    old_keys = old.read_keys()
    scrub = build_scrub(secret for key in old_keys if (secret := read_secret(key)))
    plan = Plan(old.path, scrub=scrub)
    if "keys" in wishes.parts:
        _plan_keys(plan, old_keys, wishes)
    if "routes" in wishes.parts:
        _plan_routes(plan, old.read_routes(), wishes)
    plan.tallies["logs"].found = old.count_logs()
    if wishes.strict:
        if "logs" in wishes.parts:
            plan.notes += _foresee_logs(old, scrub)
        plan.notes = [
            replace(note, level="refused") if note.level == "warning" else note for note in plan.notes
        ]
    return plan


def count_changes(counts: Mapping[Change, int]) -> list[Note]:
    """Return what was done to rows of the audit trail, a note for each kind of change."""
    return [
        Note("log", "", change.level, change.column, change.message, counts[change])
        for change in Change
        if counts.get(change)
    ]


def _plan_keys(plan: Plan, old_keys: Sequence[Mapping[str, Any]], wishes: Wishes) -> None:
    digests: set[str] = set()
    for old in old_keys:
        if _leaves_out(plan.tallies["keys"], old["key_id"], wishes):
            continue
        row, notes = convert_key(old)
        plan.keys.append(row)
        plan.notes += notes
        if row["key_value"] in digests:
            plan.notes.append(Note("key", row["key_id"], "refused", "key_value", "two keys have this secret"))
        digests.add(row["key_value"])


def _plan_routes(plan: Plan, old_routes: Sequence[Mapping[str, Any]], wishes: Wishes) -> None:
    usable: list[NewRow] = []
    for old in old_routes:
        if _leaves_out(plan.tallies["routes"], old["route_id"], wishes):
            continue
        row, notes = convert_route(old, retries_max=wishes.retries_max)
        plan.notes += notes
        if all(note.level != "refused" for note in notes):
            usable.append(row)
    for row in usable:
        plan.notes += _hide_secrets(row, plan.scrub)
    plan.notes += _separate_names(usable)
    plan.routes, notes = keep_order(usable)
    plan.notes += notes


def _leaves_out(tally: Tally, old_id: object, wishes: Wishes) -> bool:
    tally.found += 1
    leaves_out = str(old_id) in wishes.without
    tally.skipped += leaves_out
    return leaves_out


def _separate_names(rows: Sequence[NewRow]) -> Iterator[Note]:
    """Name a route by its id if another has its name already, which the predecessor allowed."""
    ids = Counter(row["route_id"] for row in rows)
    names: set[str] = set()
    for row in rows:
        route_id, name = row["route_id"], row["route_name"]
        if ids[route_id] > 1:
            yield Note("route", route_id, "refused", "route_id", "two routes would have this id")
        if name in names or (name != route_id and name in ids):
            row["route_name"] = route_id
            message = f"the name {name!r} is another route's; it is {route_id!r} now"
            yield Note("route", route_id, "changed", "route_name", message)
        names.add(row["route_name"])


def _hide_secrets(row: NewRow, scrub: Callable[[str], str]) -> Iterator[Note]:
    for column in ("route_name", "description"):
        if (clean := scrub(row[column])) != row[column]:
            row[column] = clean
            yield Note("route", row["route_id"], "changed", column, "the secret of a key in it is masked")
    for column in ("add_headers", "add_body_fields", "match_headers", "match_body_schema"):
        if scrub(str(row[column])) != str(row[column]):
            message = "it holds the secret of a key in clear text; let the route send another"
            yield Note("route", row["route_id"], "refused", column, message)


def _foresee_logs(old: PredecessorDatabase, scrub: Scrub) -> list[Note]:
    """Return the warnings about the audit trail: they have to be known before anything is written."""
    rules = LogRules(lambda _: None, scrub, frozenset())
    counts: Counter[Change] = Counter()
    for row in old.read_logs():
        counts.update(convert_log(row, rules)[1])
    return [note for note in count_changes(counts) if note.level == "warning"]


def _describe(note: Note) -> str:
    place = f"{note.kind} {note.id!r}" if note.id else note.kind
    column = f" ({note.column})" if note.column else ""
    return f"{place}{column}: {note.message}" + (f" ({note.count} rows)" if note.count > 1 else "")
