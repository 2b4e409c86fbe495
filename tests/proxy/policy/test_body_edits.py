"""Fields that a route sets in a body: the value changes as asked, and no other byte does."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError
from proxy.policy.body_edits import Fields, compile_edits, edit_body, edit_text
from proxy.policy.json_text import dump_json, parse_json
from proxy.policy.model import RequestHead

HEAD = RequestHead("POST", b"/", b"", ())
NAMES = st.sampled_from(["a", "b", "model", "é", "x y", '"', "\\", "{", "😀"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
BLANKS = st.text(" \t\r\n", max_size=3)


def edit(text: str, **fields: str) -> str:
    return edit_text(text, compile_edits((name, value.encode()) for name, value in fields.items()))


@st.composite
def spaced(draw: st.DrawFn, value: Any) -> str:
    """Return a value as JSON text, with blanks anywhere and characters escaped or not."""
    gap = draw(BLANKS)
    if isinstance(value, dict):
        members = (
            f"{gap}{json.dumps(name, ensure_ascii=draw(st.booleans()))}{gap}:{draw(spaced(inner))}"
            for name, inner in value.items()
        )
        return gap + "{" + ",".join(members) + gap + "}" + gap
    if isinstance(value, list):
        return gap + "[" + ",".join(draw(spaced(inner)) for inner in value) + gap + "]" + gap
    return gap + json.dumps(value, ensure_ascii=draw(st.booleans())) + gap


@settings(max_examples=200)
@given(data=st.data(), value=OBJECTS, fields=st.dictionaries(NAMES, VALUES, min_size=1, max_size=3))
def test_fields_are_set_and_every_other_byte_survives(
    data: st.DataObject, value: dict[str, Any], fields: dict[str, Any]
) -> None:
    text = data.draw(spaced(value))
    edited = edit_text(text, compile_edits((name, dump_json(wanted)) for name, wanted in fields.items()))
    assert parse_json(edited.encode()) == value | fields
    assert list(parse_json(edited.encode())) == list(value | fields)
    one_by_one = text
    for name, wanted in fields.items():
        one_by_one = edit_text(one_by_one, {name: dump_json(wanted).decode()})
    assert edited == one_by_one


@settings(max_examples=150)
@given(data=st.data(), value=OBJECTS, name=NAMES)
def test_only_the_span_of_one_value_changes(data: st.DataObject, value: dict[str, Any], name: str) -> None:
    text = data.draw(spaced(value))
    before, mark, after = edit_text(text, {name: "\x00"}).partition("\x00")
    assert mark
    if name in value:
        assert text.startswith(before)
        assert text.endswith(after)
        assert parse_json(text[len(before) : len(text) - len(after)].encode()) == value[name]
    else:
        inserted = ("," if value else "") + dump_json(name).decode() + ":"
        assert before.endswith(inserted)
        assert before.removesuffix(inserted) + after == text


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("{}", '{"n":5}'),
        (" { } ", ' {"n":5 } '),
        ('{"a":1}', '{"a":1,"n":5}'),
        ('{\n  "a": 1\n}\n', '{\n  "a": 1,"n":5\n}\n'),
        ('{"n" : "old" , "a":1.0}', '{"n" : 5 , "a":1.0}'),
        ('{"\\u006e": {"n": 1}}', '{"\\u006e": 5}'),
        ('{"a": {"n": 1}}', '{"a": {"n": 1},"n":5}'),
        ('{"a": 123456789012345678901234567890.10}', '{"a": 123456789012345678901234567890.10,"n":5}'),
    ],
)
def test_edit_reads_as_written(text: str, edited: str) -> None:
    assert edit(text, n="5") == edited


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("{}", '{"o":{"a":1,"b":2},"c":3}'),
        ('{"o": {"b": 0, "x": 1.0}}', '{"o": {"b": 2, "x": 1.0,"a":1},"c":3}'),
        ('{"o": null, "c": 0}', '{"o": {"a":1,"b":2}, "c": 3}'),
        ('{"o": [1]}', '{"o": {"a":1,"b":2},"c":3}'),
        ('{"o": { }}', '{"o": {"a":1,"b":2 },"c":3}'),
    ],
)
def test_dots_reach_into_objects_and_make_them_where_there_are_none(text: str, edited: str) -> None:
    assert edit(text, **{"o.a": "1", "o.b": "2", "c": "3"}) == edited


def test_value_is_put_in_as_it_is_written() -> None:
    value = '[1.0, 12345678901234567890123, "\\u00e9"]'
    assert edit("{}", a=value) == f'{{"a":{value}}}'


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"{", b"\xff", b'{"a":1,"a":2}'])
def test_what_is_not_an_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInputError):
        edit_body(Body(HEAD, raw), {"a": "1"})


def test_absent_body_stays_absent_and_an_unread_one_has_to_be_read() -> None:
    fields: Fields = {"a": "1"}
    assert edit_body(Body(HEAD), fields) is None
    assert edit_body(Body(HEAD, b""), fields) == b""
    with pytest.raises(BodyUnreadError):
        edit_body(Body(RequestHead("POST", b"/", b"", [(b"content-length", b"5")])), fields)


@pytest.mark.parametrize(
    "fields",
    [
        [("", b"1")],
        [("a..b", b"1")],
        [("a.", b"1")],
        [("a\n", b"1")],
        [("a\ud800", b"1")],
        [("x" * 201, b"1")],
        [("a", b"")],
        [("a", b"nope")],
        [("a", b"NaN")],
        [("a", b"1"), ("a", b"2")],
        [("a", b"{}"), ("a.b", b"1")],
        [("a.b", b"1"), ("a", b"{}")],
    ],
)
def test_field_that_cannot_be_set_is_refused(fields: list[tuple[str, bytes]]) -> None:
    with pytest.raises(InvalidInputError):
        compile_edits(fields)


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ('{"Model":"a"}', '{"Model":9,"model":9}'),
        ('{"model":"a","Model":"b"}', '{"model":9,"Model":9}'),
        ('{"MODEL":{"x":1},"model":"a", "mOdel" : []}', '{"MODEL":9,"model":9, "mOdel" : 9}'),
        ('{"\\u004dodel":1,"x":{"Model":1}}', '{"\\u004dodel":9,"x":{"Model":1},"model":9}'),
        ('{"model":1,"models":2}', '{"model":9,"models":2}'),
    ],
)
def test_every_spelling_of_a_field_gets_its_value(text: str, edited: str) -> None:
    assert edit(text, model="9") == edited


def test_spellings_that_go_folds_are_known() -> None:
    # encoding/json folds these two besides what differs in case.
    assert edit('{"to\u212aens":1,"\u017fseed":2}', **{"tokens": "9", "sseed": "9"}) == (
        '{"to\u212aens":9,"\u017fseed":9,"tokens":9,"sseed":9}'
    )


def test_spellings_of_a_part_of_an_object_are_edited_within_each() -> None:
    text = '{"Options":{"SEED":1,"x":2},"options":3}'
    assert edit(text, **{"options.seed": "9"}) == '{"Options":{"SEED":9,"x":2,"seed":9},"options":{"seed":9}}'


def read_as_go(text: str, name: str) -> Any:
    """Return what Go's encoding/json reads for a field: the last member of that name in any case."""
    pairs = json.loads(text, object_pairs_hook=list)
    return [value for member, value in pairs if member.casefold() == name][-1]


@settings(max_examples=150)
@given(
    members=st.dictionaries(
        st.sampled_from(["model", "Model", "MODEL", "moDel", "x", "models"]), st.integers(), max_size=5
    )
)
def test_both_readings_see_the_value_of_the_route(members: dict[str, int]) -> None:
    edited = edit(json.dumps(members), model='"set"')
    assert parse_json(edited.encode())["model"] == "set"
    assert read_as_go(edited, "model") == "set"
    assert {name: value for name, value in json.loads(edited).items() if name in ("x", "models")} == {
        name: value for name, value in members.items() if name in ("x", "models")
    }


def test_compressed_body_is_edited_decompressed() -> None:
    head = RequestHead("POST", b"/", b"", [(b"content-encoding", b"gzip")])
    assert edit_body(Body(head, gzip.compress(b'{"a": 0}')), {"a": "1"}) == b'{"a": 1}'
