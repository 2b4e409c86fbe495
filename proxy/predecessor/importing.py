"""Writing a plan into our database: all of it, or, if something stands against it, nothing.

The caller gives the transaction, so that a problem, an interruption or a dry run undoes everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from proxy.clock import to_us
from proxy.ids import UlidSource
from proxy.policy.credentials import digest_secret
from proxy.policy.model import ApiKey
from proxy.predecessor.logs import Change, LogRules, convert_log
from proxy.predecessor.plan import NewRow, Plan, Wishes, count_changes
from proxy.predecessor.reading import PredecessorDatabase
from proxy.store.database import Database
from proxy.store.importing import (
    LOGS_PER_CHUNK,
    delete_logs,
    find_key_clashes,
    find_logged,
    find_route_clashes,
    insert_keys,
    insert_logs,
    insert_routes,
    last_log_number,
)
from proxy.store.keys import delete_keys, load_keys
from proxy.store.routes import delete_routes

Progress = Callable[[int], None]  # how many rows of the old audit trail have been dealt with
Clashes = Mapping[str, list[str]]  # by the id of a new row: the ids of those in its place


def find_clashes(database: Database, old: PredecessorDatabase, plan: Plan, wishes: Wishes) -> list[str]:
    """Return what of a plan is in the database already, a line for each key and route, one for requests."""
    lines = [
        f"{kind} {new_id!r}: its {what} is there already, as {', '.join(map(repr, others))}"
        for kind, what, clashes in (
            ("key", "id or its secret", _find_key_clashes(database, plan)),
            ("route", "id or its name", _find_route_clashes(database, plan)),
        )
        for new_id, others in clashes.items()
    ]
    if "logs" in wishes.parts:
        logged = find_logged(database, old.read_request_ids())
        if logged:
            lines.append(f"log: {len(logged)} of its requests are in the audit trail already")
    return lines


def write_plan(
    database: Database,
    old: PredecessorDatabase,
    plan: Plan,
    wishes: Wishes,
    now: datetime,
    on_progress: Progress,
) -> None:
    """Write a plan, and the audit trail if that is wanted; the plan's tallies and notes then tell of it.

    Raises `ImportRefusedError` for everything that stands against it, before anything is written.
    """
    plan.refuse_problems(find_clashes(database, old, plan, wishes) if wishes.on_conflict == "fail" else ())
    _write_keys(database, plan, wishes, now)
    _write_routes(database, plan, wishes)
    if "logs" in wishes.parts:
        _write_logs(database, old, plan, wishes, on_progress)


def _find_key_clashes(database: Database, plan: Plan) -> Clashes:
    found = {row["key_id"]: find_key_clashes(database, row) for row in plan.keys}
    return {key_id: others for key_id, others in found.items() if others}


def _find_route_clashes(database: Database, plan: Plan) -> Clashes:
    found = {row["route_id"]: find_route_clashes(database, row) for row in plan.routes}
    return {route_id: others for route_id, others in found.items() if others}


def _write_keys(database: Database, plan: Plan, wishes: Wishes, now: datetime) -> None:
    clashes = _find_key_clashes(database, plan)
    plan.keys = _settle(plan, "keys", plan.keys, clashes, wishes)
    if wishes.on_conflict == "replace":
        delete_keys(database, sorted({other for others in clashes.values() for other in others}), now=now)
    insert_keys(database, plan.keys)


def _write_routes(database: Database, plan: Plan, wishes: Wishes) -> None:
    clashes = _find_route_clashes(database, plan)
    plan.routes = _settle(plan, "routes", plan.routes, clashes, wishes)
    if wishes.on_conflict == "replace":
        delete_routes(database, sorted({other for others in clashes.values() for other in others}))
    insert_routes(database, plan.routes)


def _settle(plan: Plan, part: Any, rows: list[NewRow], clashes: Clashes, wishes: Wishes) -> list[NewRow]:
    """Return the rows to insert, and count what becomes of them all."""
    tally, id_column = plan.tallies[part], "key_id" if part == "keys" else "route_id"
    skipped = set(clashes) if wishes.on_conflict == "skip" else set[str]()
    kept = [row for row in rows if row[id_column] not in skipped]
    kind = part.removesuffix("s")
    plan.notes = [note for note in plan.notes if note.kind != kind or note.id not in skipped]
    tally.skipped += len(rows) - len(kept)
    tally.imported = len(kept)
    if wishes.on_conflict == "replace":
        tally.replaced = len({other for others in clashes.values() for other in others})
    return kept


def _write_logs(
    database: Database, old: PredecessorDatabase, plan: Plan, wishes: Wishes, on_progress: Progress
) -> None:
    rules = LogRules(_build_key_finder(database, plan), plan.scrub, wishes.redacted)
    tally, counts = plan.tallies["logs"], Counter[Change]()
    if wishes.on_conflict == "replace":
        tally.replaced = delete_logs(database, old.read_request_ids())
    last = last_log_number(database)
    ids = UlidSource()

    def convert() -> Iterator[NewRow]:
        done = 0
        for chunk in _cut(old.read_logs()):
            # The old audit trail may name a request twice: only what was there before is in the way.
            there = find_logged(database, [str(row["request_id"]) for row in chunk], up_to=last)
            for old_row in chunk:
                is_there = str(old_row["request_id"]) in there
                row, changes = (None, set[Change]()) if is_there else convert_log(old_row, rules)
                counts.update(changes)
                tally.skipped += row is None
                if row is not None:
                    yield {"id": f"log_{ids.next(to_us(row['request_time']))[0]}", **row}
            done += len(chunk)
            on_progress(done)

    tally.imported = insert_logs(database, convert())
    plan.notes += count_changes(counts)


def _build_key_finder(database: Database, plan: Plan) -> Callable[[str], tuple[str, str] | None]:
    by_digest: dict[str, ApiKey] = {key.digest: key for key in load_keys(database)}
    by_id = {row["key_id"]: row["source_path"] for row in plan.keys}

    def find(text: str) -> tuple[str, str] | None:
        if text in by_id:
            return text, by_id[text]
        try:
            key = by_digest.get(digest_secret(text.encode("latin-1")))
        except UnicodeEncodeError:
            return None
        return (key.key_id, key.source_path) if key else None

    return find


def _cut(rows: Iterator[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    while chunk := list(islice(rows, LOGS_PER_CHUNK)):
        yield chunk
