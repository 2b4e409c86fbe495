"""A plan knows everything before anything is written: rows, notes, and every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.predecessor.logs import Change
from proxy.predecessor.plan import ImportRefusedError, Plan, Wishes, build_plan, count_changes
from proxy.predecessor.reading import open_predecessor
from tests.proxy.predecessor.old_database import KEY, LOG, ROUTE, SECRET, Row, build_old_database


def plan_of(
    tmp_path: Path,
    wishes: Wishes | None = None,
    keys: Sequence[Row] = (KEY,),
    routes: Sequence[Row] = (ROUTE,),
    logs: Sequence[Row] = (LOG,),
) -> Plan:
    path = build_old_database(tmp_path / "old.db", keys=keys, routes=routes, logs=logs)
    with open_predecessor(path) as old:
        return build_plan(old, wishes or Wishes())


def levels(plan: Plan) -> list[tuple[str, str, str]]:
    return [(note.id, note.level, note.column) for note in plan.notes]


def test_keys_and_routes_are_planned_and_logs_are_counted(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert [row["key_id"] for row in plan.keys] == ["fg_0123456789ab"]
    assert [row["route_id"] for row in plan.routes] == ["general"]
    assert {part: tally.found for part, tally in plan.tallies.items()} == {"keys": 1, "routes": 1, "logs": 1}
    plan.refuse_problems()


def test_only_what_is_wanted_is_planned(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Wishes(parts=frozenset(("routes",))))
    assert (plan.keys, len(plan.routes)) == ([], 1)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    keys = [{**KEY, "expires_at": "?"}]
    routes = [{**ROUTE, "match_path": "x"}, {**ROUTE, "route_id": "second", "add_headers": "{"}]
    plan = plan_of(tmp_path, keys=keys, routes=routes)
    with pytest.raises(ImportRefusedError) as caught:
        plan.refuse_problems(["key 'x': it is there already"])
    told = [str(problem) for problem in caught.value.problems]
    assert [text.partition(": ")[2].split(" (")[0].split(":")[0] for text in told] == [
        "key 'fg_0123456789ab'",
        "route 'general'",
        "route 'second'",
        "key 'x'",
    ]
    assert all(text.startswith(str(tmp_path / "old.db")) for text in told)


def test_what_is_left_out_is_no_problem(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Wishes(without=frozenset(("general",))), routes=[{**ROUTE, "match_path": "x"}])
    plan.refuse_problems()
    assert (plan.routes, plan.tallies["routes"].skipped) == ([], 1)


def test_strict_refuses_what_a_warning_would_let_pass(tmp_path: Path) -> None:
    keys = [{**KEY, "permissions": '["chat"]'}]
    logs = [{**LOG, "request_time": "?"}, {**LOG, "id": "l2"}]
    wishes = Wishes(parts=frozenset(("keys", "logs")), strict=True)
    plan = plan_of(tmp_path, wishes, keys=keys, logs=logs)
    with pytest.raises(ImportRefusedError) as caught:
        plan.refuse_problems()
    assert ["permissions" in str(problem) for problem in caught.value.problems] == [True, False]
    assert "log (request_time)" in str(caught.value.problems[1])


def test_strict_lets_pass_what_means_the_same(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Wishes(strict=True), routes=[{**ROUTE, "match_path": "/v1/.*"}])
    plan.refuse_problems()
    assert levels(plan) == [("general", "changed", "match_path")]


def test_a_name_that_two_routes_have_goes_to_the_older_one(tmp_path: Path) -> None:
    routes = [
        ROUTE,
        {**ROUTE, "route_id": "second", "match_path": "/v2/*"},
        {**ROUTE, "route_id": "third", "route_name": "second", "match_path": "/v3/*"},
    ]
    plan = plan_of(tmp_path, routes=routes)
    assert {row["route_id"]: row["route_name"] for row in plan.routes} == {
        "general": "general",
        "second": "second",
        "third": "third",
    }
    assert levels(plan) == [("second", "changed", "route_name"), ("third", "changed", "route_name")]


def test_two_ids_that_become_one_are_refused(tmp_path: Path) -> None:
    routes = [{**ROUTE, "route_id": "a b"}, {**ROUTE, "route_id": "a/b"}]
    assert ("a-b", "refused", "route_id") in levels(plan_of(tmp_path, routes=routes))


def test_a_secret_in_a_route_is_masked_or_refused_where_it_would_be_sent(tmp_path: Path) -> None:
    described = {**ROUTE, "description": f"for {SECRET}"}
    sending = {**ROUTE, "route_id": "loop", "add_headers": f'{{"X-API-Key": "{SECRET}"}}'}
    plan = plan_of(tmp_path, routes=[described, sending])
    assert ("general", "changed", "description") in levels(plan)
    assert ("loop", "refused", "add_headers") in levels(plan)
    assert plan.routes[0]["description"] == "for [redacted]"
    assert SECRET not in repr(plan.notes)


def test_changes_of_logs_are_counted_by_kind() -> None:
    notes = count_changes({Change.INTERRUPTED: 3, Change.LEFT_OUT: 1, Change.KEY_NAMED: 0})
    assert [(note.level, note.count) for note in notes] == [("warning", 1), ("changed", 3)]
