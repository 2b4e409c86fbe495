"""The order in which routes are tried. Among routes of one priority the predecessor tried the older first.

Ours looks at the pattern before the age. Where that would give a request to another route, the priority of
the route that came later is raised by as little as keeps the old order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from proxy.policy.routing import CompiledRoute, compile_route
from proxy.predecessor.notes import Note, Notebook
from proxy.store.routes import build_route

NewRow = dict[str, Any]


def keep_order(rows: Sequence[NewRow]) -> tuple[list[NewRow], list[Note]]:
    """Return the rows, given from the oldest to the newest, with priorities that keep the old order."""
    notes: list[Note] = []
    placed: list[tuple[NewRow, CompiledRoute]] = []
    for position in sorted(range(len(rows)), key=lambda position: (rows[position]["priority"], position)):
        row, compiled = rows[position], compile_route(build_route(rows[position]))
        priority = max(row["priority"], *_find_bounds(placed, compiled), 0)
        if priority != row["priority"]:
            book = Notebook("route", row["route_id"])
            reason = "older routes of one priority are tried first, as before"
            book.change("priority", f"{row['priority']} is {priority} now: {reason}")
            notes += book.notes
        placed.append(({**row, "priority": priority}, compiled))
    return [row for row, _ in placed], notes


def _find_bounds(earlier: Iterable[tuple[NewRow, CompiledRoute]], compiled: CompiledRoute) -> Iterable[int]:
    for row, other in earlier:
        if _may_meet(other, compiled):
            yield row["priority"] + (_rank(other) > _rank(compiled))


def _may_meet(one: CompiledRoute, other: CompiledRoute) -> bool:
    """Tell whether some request may match both: only a no is certain."""
    methods, others = one.route.match_methods, other.route.match_methods
    if methods and others and methods.isdisjoint(others):
        return False
    for first, second in ((one, other), (other, one)):
        if first.pattern.is_exact:
            return second.pattern.match(first.pattern.text.encode()) is not None
    prefix, another = one.pattern.literal_prefix, other.pattern.literal_prefix
    return prefix.startswith(another) or another.startswith(prefix)


def _rank(compiled: CompiledRoute) -> tuple[tuple[int, int, int], int, str]:
    # As the route table orders routes of one priority.
    return compiled.pattern.specificity, compiled.route.created_at_us, compiled.route.route_id
