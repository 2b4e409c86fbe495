"""Changes as they are shown, to programs and to people: what changes, and no secret."""

from __future__ import annotations

from typing import Any

from fastgate_cli.documents.plan import Change
from fastgate_cli.documents.showing import describe_change, draw_changes, summarize
from proxy.clock import STORAGE_TIMEZONE
from tests.fastgate_cli.documents.pieces import DIGEST, EXPIRY, KEY, OTHER_DIGEST, ROUTE

SECRETS = {"add_headers": {"X-Key": "sk-hunter2hunter2"}, "add_body_fields": {"api_key": "hunter2"}}


def changed(**fields: Any) -> Change:
    return Change("route", "change", "rt_1", ROUTE, {**ROUTE, **fields})


def drawn(*changes: Change) -> list[str]:
    return [text for text, _ in draw_changes(changes, STORAGE_TIMEZONE)]


def test_a_row_says_what_changes_from_what_to_what() -> None:
    assert describe_change(changed(timeout=9, priority=5)) == {
        "id": "rt_1",
        "kind": "route",
        "name": "chat",
        "change": "changed",
        "fields": {"timeout": {"from": None, "to": 9}, "priority": {"from": 100, "to": 5}},
    }


def test_of_an_added_object_what_is_not_by_default_and_of_a_removed_one_nothing() -> None:
    added = describe_change(Change("route", "add", None, after={**ROUTE, "timeout": 9}))
    assert (added["id"], added["change"]) == (None, "added")
    assert list(added["fields"]) == ["route_name", "match_path", "target_host", "timeout"]
    removed = describe_change(Change("key", "remove", "bot", KEY))
    assert (removed["name"], removed["change"], removed["fields"]) == ("ci", "removed", {})


def test_no_secret_and_no_digest_is_shown() -> None:
    new_secrets = {"add_headers": {"X-Key": "sk-hunter3hunter3"}, "add_body_fields": {"api_key": "hunter3"}}
    changes = [
        Change("route", "change", "rt_1", {**ROUTE, **SECRETS}, {**ROUTE, **new_secrets}),
        Change("route", "add", None, after={**ROUTE, **SECRETS}),
        Change("route", "remove", "rt_2", {**ROUTE, **SECRETS}),
        Change("key", "change", "bot", KEY, {**KEY, "value_hash": OTHER_DIGEST}),
    ]
    shown = repr([describe_change(change) for change in changes]) + repr(drawn(*changes))
    for secret in ("hunter2", "hunter3", DIGEST[7:], OTHER_DIGEST[7:]):
        assert secret not in shown


def test_a_person_reads_what_happens_to_each_field() -> None:
    schema = {"type": "object", "properties": {"model": {"enum": ["qwen3"]}}}
    change = changed(
        description="a\nb",
        timeout=9,
        match_headers={"X-B": None},
        match_body_schema=schema,
        retry_statuses=list(range(500, 600)),
    )
    old = {
        **ROUTE,
        "match_headers": {"X-A": "1"},
        "timeout": 7,
        "match_body_schema": {**schema, "x": "y" * 30},
    }
    lines = drawn(Change("route", "change", "rt_1", old, change.after))
    assert lines == [
        "routes",
        "  ~ chat  rt_1",
        '      description: "" -> a\\nb',
        "      match_headers.X-A: 1 is dropped",
        "      match_headers.X-B: any value",
        "      match_body_schema:",
        '        - {"type": "object", "properties": {"model": {"enum": ["qwen3"]}}, "x": "' + "y" * 30 + '"}',
        '        + {"type": "object", "properties": {"model": {"enum": ["qwen3"]}}}',
        "      timeout: 7 -> 9",
        "      retry_statuses: none -> 5xx",
    ]


def test_a_secret_that_looks_the_same_is_told_to_be_another() -> None:
    old, new = ({**ROUTE, "add_headers": {"X-Key": f"{n}-123456789-same"}} for n in (1, 2))
    assert drawn(Change("route", "change", "rt_1", old, new))[-1] == (
        "      add_headers.X-Key: •••same, another than before"
    )


def test_one_and_true_can_be_told_apart() -> None:
    old, new = ({**ROUTE, "add_body_fields": {"a": value}} for value in ("1", 1))
    assert drawn(Change("route", "change", "rt_1", old, new))[-1] == '      add_body_fields.a: "1" -> 1'


def test_keys_have_their_end_and_marks_say_what_happens() -> None:
    lines = drawn(
        Change("key", "change", "bot", KEY, {**KEY, "expires_at": EXPIRY}),
        Change("key", "add", "new", after={**KEY, "source_path": "new"}),
        Change("key", "remove", "old", KEY),
    )
    assert lines == [
        "keys",
        "  ~ ci  bot",
        "      expires_at: never -> 2027-01-31T08:00:00+08:00",
        "  + new",
        "      source_path: new",
        "      value_hash: •••",
        "      key_hint: fg_a…wxyz",
        "  - ci  old",
    ]


def test_nothing_in_a_name_acts_on_a_terminal() -> None:
    assert "\x1b" not in "".join(drawn(changed(route_name="\x1b[2J", match_headers={"\x1b": "\x1b"})))


def test_the_summary_counts() -> None:
    words = {"add": "added", "change": "changed", "remove": "removed"}
    assert summarize([changed(timeout=1), changed(timeout=2)], words) == "2 changed"  # type: ignore[arg-type]
    assert summarize([], words) == "no changes"  # type: ignore[arg-type]
