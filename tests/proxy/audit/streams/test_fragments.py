"""Parts that grow: text, lists, objects and lists by index, within the room that they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.audit.streams.event_json import encode
from proxy.audit.streams.fragments import Entries, Fields, Pieces, Room, RoomError, add_delta


def build(*deltas: dict[str, Any]) -> Any:
    fields = Fields(Room())
    for delta in deltas:
        add_delta(fields, delta)
    return json.loads(encode(fields.build()))


def test_texts_grow_and_of_other_values_the_last_one_stands() -> None:
    assert build({"a": "x", "n": 1, "o": {"p": 1}}, {"n": 2, "a": "y"}, {"o": {"q": 2}}) == {
        "a": "xy",
        "n": 2,
        "o": {"q": 2},
    }


def test_null_stands_only_until_something_else_comes() -> None:
    assert build({"a": None, "b": "x", "n": 1}, {"a": "y", "b": None, "n": None}) == {
        "a": "y",
        "b": "x",
        "n": 1,
    }


def test_what_names_a_thing_does_not_grow() -> None:
    again = {"id": "call_1", "type": "function", "role": "assistant", "function": {"name": "look"}}

    assert build({"id": ""}, again, again, {"id": "call_2"}) == again


def test_a_name_may_come_in_pieces_or_again() -> None:
    names = [["look", "look"], ["lo", "ok"], ["", "look"], ["look", ""]]

    assert [build(*[{"name": name} for name in pieces])["name"] for pieces in names] == ["look"] * 4


def test_what_is_empty_takes_no_ones_place() -> None:
    assert build({"o": {"a": 1}, "n": 0}, {"o": {}, "n": {}}, {"o": None}) == {"o": {"a": 1}, "n": 0}


def test_lists_grow_by_their_items() -> None:
    assert build({"a": [1]}, {"a": []}, {"a": [{"b": None}, "ü"]}) == {"a": [1, {"b": None}, "ü"]}
    assert build({"a": []}) == {"a": []}


def test_texts_between_lists_are_items() -> None:
    assert build({"a": "x"}, {"a": "y"}, {"a": [1]}, {"a": "z"}, {"a": "z"}) == {"a": ["xy", 1, "zz"]}
    assert build({"a": [1]}, {"a": "x"}, {"a": "y"}, {"a": [2]}) == {"a": [1, "xy", 2]}


def test_reasoning_details_grow_by_index() -> None:
    pieces: list[dict[str, Any]] = [
        {"reasoning_details": [{"type": "reasoning.text", "index": index, "text": text, "format": "f-1"}]}
        for index, text in [(0, "a"), (1, "c"), (0, "b")]
    ]

    assert build(*pieces) == {
        "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "ab", "format": "f-1"},
            {"type": "reasoning.text", "index": 1, "text": "c", "format": "f-1"},
        ]
    }


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-3, 3) | st.integers(), st.text(max_size=3)), max_size=12))
def test_entries_stand_by_index_however_they_come(pieces: list[tuple[int, str]]) -> None:
    entries = Entries(Room())
    for index, text in pieces:
        entries.open(index).append("text", text)

    expected: dict[int, str] = {}
    for index, text in pieces:
        expected[index] = expected.get(index, "") + text
    assert entries.build() == [{"text": expected[index]} for index in sorted(expected)]


@pytest.mark.parametrize("index", [None, "1", 1.0, True, [], {}])
def test_an_index_that_is_no_number_is_the_first(index: object) -> None:
    entries = Entries(Room())
    entries.open(0).put("a", 1)

    entries.open(index).put("b", 2)

    assert entries.build() == [{"a": 1, "b": 2}]


def test_an_entry_can_be_followed_by_another_of_its_index() -> None:
    entries = Entries(Room())
    for index, name in [(1, "c"), (0, "a")]:
        entries.open(index).put("name", name)

    entries.renew(0).put("name", "b")
    entries.open(0).put("more", True)

    assert entries.build() == [{"name": "a"}, {"name": "b", "more": True}, {"name": "c"}]


@pytest.mark.parametrize(
    "grow",
    [
        lambda fields, number: fields.put(f"f{number}", None),
        lambda fields, number: fields.keep(f"f{number}", 1),
        lambda fields, number: fields.append(f"f{number}", "x"),
        lambda fields, number: fields.extend(f"f{number}", [1]),
        lambda fields, number: fields.open("list", Entries).open(number),
        lambda fields, number: fields.open("list", Entries).renew(0),
        lambda fields, number: add_delta(fields, {"function": {f"f{number}": 1}}),
    ],
)
def test_there_is_room_for_so_many_parts_and_what_has_begun_goes_on(
    grow: Callable[[Fields, int], object],
) -> None:
    fields = Fields(Room(4))
    fields.append("text", "a")

    def grow_too_much() -> None:
        for number in range(5):
            grow(fields, number)

    with pytest.raises(RoomError):
        grow_too_much()

    fields.append("text", "b")
    fields.put("text", None)
    assert fields.build()["text"] == "ab"


def test_a_part_of_another_kind_takes_its_place() -> None:
    fields = Fields(Room())
    fields.append("a", "x")
    fields.open("a", Entries).open(0)
    assert fields.build() == {"a": [{}]}

    fields.put("a", 1)
    fields.open("a", Pieces)
    assert fields.build() == {"a": ""}
