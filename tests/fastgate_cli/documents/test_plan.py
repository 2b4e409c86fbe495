"""What has to change for a database to agree with a document: found, and judged as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from fastgate_cli.documents.fields import Reading
from fastgate_cli.documents.plan import plan_changes
from fastgate_cli.documents.reading import read_document
from proxy.documents.tree import Faults
from tests.fastgate_cli.documents.pieces import (
    DIGEST,
    EXPIRY,
    KEY,
    NOW,
    OTHER_DIGEST,
    ROUTE,
    plan,
    read,
    state,
)


def route(text: str) -> str:
    return f"routes:\n  - {{match_path: /v1/*, target_host: 'a:1', {text}}}\n"


def test_what_agrees_has_no_changes() -> None:
    text = route("route_id: chat") + "keys: [{key_id: bot, source_path: ci}]"
    assert plan(text, state({"bot": {}}, {"chat": {}}), prune=True) == ([], [])


def test_only_what_differs_changes() -> None:
    text = route("route_id: chat, timeout: 9, add_body_fields: {a: 1}")
    (change,), _ = plan(text, state(routes={"chat": {"add_body_fields": {"a": True}, "priority": 5}}))
    assert (change.kind, change.action, change.object_id, change.name) == ("route", "change", "chat", "chat")
    assert change.columns == {"timeout": 9, "add_body_fields": {"a": 1}, "priority": 100}


def test_a_new_route_is_added_with_the_id_it_has_or_none() -> None:
    (change,), _ = plan(route("route_id: chat"), state())
    assert (change.action, change.object_id, change.after) == ("add", "chat", {**ROUTE, "route_name": "chat"})
    (change,), _ = plan(route("route_name: chat"), state())
    assert (change.action, change.object_id, change.name) == ("add", None, "chat")


def test_a_route_without_an_id_is_found_by_its_name() -> None:
    (change,), _ = plan(route("route_name: chat, timeout: 9"), state(routes={"rt_1": {"route_name": "chat"}}))
    assert (change.action, change.object_id, change.columns) == ("change", "rt_1", {"timeout": 9})


def test_a_name_that_another_route_gives_up_is_free() -> None:
    text = route("route_id: rt_1, route_name: b") + route("route_name: a")[8:]
    changes, faults = plan(text, state(routes={"rt_1": {"route_name": "a"}}))
    assert faults == []
    assert [(change.action, change.object_id, change.name) for change in changes] == [
        ("change", "rt_1", "b"),
        ("add", None, "a"),
    ]


def test_two_routes_can_exchange_their_names() -> None:
    text = route("route_id: rt_1, route_name: b") + route("route_id: rt_2, route_name: a")[8:]
    changes, faults = plan(
        text, state(routes={"rt_1": {"route_name": "a"}, "rt_2": {"route_name": "b"}}), prune=True
    )
    assert (faults, [change.columns for change in changes]) == (
        [],
        [{"route_name": "b"}, {"route_name": "a"}],
    )


@pytest.mark.parametrize(
    ("text", "current"),
    [
        ("route_id: new, route_name: chat", {"rt_1": {"route_name": "chat"}}),
        ("route_id: new, route_name: rt_1", {"rt_1": {"route_name": "chat"}}),
        ("route_id: chat", {"rt_1": {"route_name": "chat"}}),
        ("route_id: rt_2, route_name: chat", {"rt_1": {"route_name": "chat"}, "rt_2": {}}),
    ],
)
def test_a_name_that_is_taken_is_a_fault_unless_its_owner_goes(text: str, current: dict[str, Any]) -> None:
    _, faults = plan(route(text), state(routes=current))
    assert len(faults) == 1
    assert "is the id or the name of another route" in faults[0]
    assert faults[0].startswith("2:")
    changes, faults = plan(route(text), state(routes=current), prune=True)
    assert faults == []
    assert changes[-1].action == "remove"


def test_prune_removes_what_a_section_lacks_and_leaves_other_sections() -> None:
    current = state({"bot": {}}, {"chat": {}, "old": {}})
    changes, _ = plan(route("route_id: chat"), current, prune=True)
    assert [(change.action, change.object_id, change.after) for change in changes] == [("remove", "old", {})]
    assert plan(route("route_id: chat"), current)[0] == []
    changes, _ = plan("keys: []\nroutes:\n", current, prune=True)
    assert [(change.kind, change.object_id, change.name) for change in changes] == [("key", "bot", "ci")]


def test_a_key_keeps_the_secret_and_the_end_that_a_document_does_not_name() -> None:
    current = state({"bot": {"expires_at": EXPIRY}})
    assert plan("keys: [{key_id: bot, source_path: ci}]", current) == ([], [])
    (change,), _ = plan("keys: [{key_id: bot, source_path: ci, expires_at: never}]", current)
    assert change.columns == {"expires_at": None}


def test_a_new_key_has_the_configured_end_unless_the_document_says() -> None:
    (change,), _ = plan("keys: [{key_id: new}]", state())
    assert change.after["expires_at"] == EXPIRY
    assert "value_hash" not in change.after
    (change,), _ = plan("keys: [{key_id: new, expires_at: never}]", state())
    assert change.after["expires_at"] is None


def test_the_hint_at_a_secret_does_not_outlive_it() -> None:
    text = f"keys: [{{key_id: bot, source_path: ci, value_hash: '{OTHER_DIGEST}'}}]"
    (change,), _ = plan(text, state({"bot": {}}))
    assert change.columns == {"value_hash": OTHER_DIGEST, "key_hint": None}
    assert plan(text.replace(OTHER_DIGEST, DIGEST), state({"bot": {}})) == ([], [])


def test_a_digest_belongs_to_one_key() -> None:
    text = f"keys:\n  - key_id: new\n    value_hash: {DIGEST}\n"
    assert plan(text, state({"bot": {}}))[1] == ["3:5: another key has this value_hash"]
    assert plan(text, state({"bot": {}}), prune=True)[1] == []


def test_a_method_that_no_request_can_have_is_a_fault_unless_the_database_has_it() -> None:
    text = "keys: [{key_id: bot, permissions: [/a, PSOT /v1, PURGE /x]}]"
    known = state({"bot": {"permissions": ["PURGE /x"], "source_path": "default"}})
    _, faults = plan(text, known)
    (fault,) = faults
    assert fault.startswith("1:")
    assert "'PSOT' is not a method that the gateway forwards" in fault
    (change,), faults = plan(text.replace(", PSOT /v1", ""), known)
    assert (change.columns, faults) == ({"permissions": ["/a", "PURGE /x"]}, [])


def test_a_placeholder_keeps_what_the_database_has() -> None:
    secrets = {"add_headers": {"X-Key": "sk-1", "X-B": "b"}, "add_body_fields": {"api_key": "sk-2"}}
    fields = "add_headers: {X-Key: '${keep}', X-B: b}, add_body_fields: {api_key: '${keep}'}"
    text = route(f"route_id: chat, {fields}")
    assert plan(text, state(routes={"chat": secrets})) == ([], [])
    (change,), _ = plan(text.replace("X-B: b", "X-B: c"), state(routes={"chat": secrets}))
    assert change.columns == {"add_headers": {"X-Key": "sk-1", "X-B": "c"}}


@pytest.mark.parametrize("routes", [{}, {"chat": {}}, {"chat": {"add_headers": {"X-Other": "x"}}}])
def test_a_placeholder_for_nothing_is_a_fault_at_its_place(routes: dict[str, Any]) -> None:
    text = "routes:\n  - route_id: chat\n    match_path: /a\n    target_host: a\n    add_headers:\n"
    _, faults = plan(text + "      X-Key: ${keep}\n", state(routes=routes))
    assert len(faults) == 1
    assert faults[0].startswith("6:7: the database has no 'X-Key' here that could be kept")


def test_faults_of_the_document_and_of_the_database_are_told_together() -> None:
    text = "keys: [{key_id: bot, rate_limit: x}]\n" + route("route_id: a, add_headers: {X-A: '${keep}'}")
    reading = Reading(Faults("d.yaml"), NOW)
    document = read_document(text.encode(), reading)
    changes = plan_changes(document, state(), reading.faults, prune=False, expires_at=None)
    assert [problem.line for problem in reading.faults.problems] == [1, 3]
    assert all(change.kind != "key" for change in changes)


def test_no_secret_is_in_the_repr_of_a_change() -> None:
    (change,), _ = plan(route("route_id: chat, add_headers: {X-Key: hunter2}"), state())
    assert "hunter2" not in repr(change)
    assert KEY["value_hash"] not in repr(plan("keys: []", state({"bot": {}}), prune=True))
    assert "hunter2" not in repr(read(route("route_id: chat, add_headers: {X-Key: hunter2}")))
