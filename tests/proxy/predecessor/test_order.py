"""Routes of one priority keep their old order, and no other priority is touched."""

from __future__ import annotations

from typing import Any

from proxy.predecessor.order import keep_order
from proxy.predecessor.routes import convert_route
from tests.proxy.predecessor.old_database import ROUTE


def make_row(name: str, pattern: str, priority: int = 100, **changes: object) -> dict[str, Any]:
    old = {
        **ROUTE,
        "route_id": name,
        "route_name": name,
        "match_path": pattern,
        "priority": priority,
        **changes,
    }
    return convert_route(old, retries_max=0)[0]


def priorities(*rows: dict[str, Any]) -> dict[str, int]:
    return {row["route_id"]: row["priority"] for row in keep_order(rows)[0]}


def test_a_specific_route_that_came_later_stays_behind_the_general_one() -> None:
    rows, notes = keep_order([make_row("general", "/v1/*"), make_row("chat", "/v1/chat")])
    assert {row["route_id"]: row["priority"] for row in rows} == {"general": 100, "chat": 101}
    assert [(note.level, note.id, note.column) for note in notes] == [("changed", "chat", "priority")]


def test_routes_that_cannot_meet_or_are_in_order_already_keep_their_priorities() -> None:
    assert set(priorities(make_row("a", "/v1/chat"), make_row("b", "/v1/*")).values()) == {100}
    assert set(priorities(make_row("a", "/v1/*"), make_row("b", "/v2/chat")).values()) == {100}
    rows = make_row("a", "/v1/*", match_method="GET"), make_row("b", "/v1/x", match_method="POST")
    assert set(priorities(*rows).values()) == {100}


def test_what_is_raised_raises_what_came_after_it() -> None:
    rows = (
        make_row("all", "/*"),
        make_row("v1", "/v1/*"),
        make_row("chat", "/v1/chat"),
        make_row("z", "/z", 101),
    )
    assert priorities(*rows) == {"all": 100, "v1": 101, "chat": 102, "z": 101}
