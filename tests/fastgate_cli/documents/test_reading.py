"""Documents as what they want, and every fault of one at its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigurationError
from tests.fastgate_cli.documents.pieces import faults_of, read

ROUTE = "routes:\n  - route_id: chat\n    match_path: /v1/*\n    target_host: a:1\n"
KEY = "keys:\n  - key_id: bot\n"


def test_what_is_left_out_has_its_default() -> None:
    document, faults = read(ROUTE + KEY)
    (route,), (key,) = document.wants("routes"), document.wants("keys")
    assert faults == []
    assert (route.object_id, route.name, key.object_id, key.name) == ("chat", "chat", "bot", None)
    assert (route.values["priority"], route.values["is_active"], route.values["timeout"]) == (100, True, None)
    assert key.values == {
        "source_path": "default",
        "permissions": [],
        "rate_limit": None,
        "rate_burst": None,
        "is_active": True,
    }


def test_an_empty_value_is_as_good_as_none() -> None:
    document, faults = read(ROUTE + "    timeout:\n    match_headers: ~\n    description:\n")
    assert faults == []
    assert document.wants("routes")[0].values == read(ROUTE)[0].wants("routes")[0].values


@pytest.mark.parametrize("text", ["", "# nothing\n", "keys:\nroutes:\n", "{}"])
def test_a_section_that_is_not_there_is_not_an_empty_one(text: str) -> None:
    assert read(text)[0].sections == {}
    assert read("keys: []\n")[0].sections == {"keys": ()}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1]", "1:1: a document holds the sections keys and routes"),
        ("app: {}", "1:1: unknown section 'app'"),
        ("route: []", "1:1: unknown section 'route'; did you mean 'routes'?"),
        ("keys: 5", "1:7: keys must be a list, or [] for none"),
        ("keys: {a: b}", "1:7: keys must be a list, or [] for none"),
        ("keys: [5]", "1:8: each key must be a mapping of its fields"),
        ("keys: [{}]", "1:8: a key needs a key_id"),
        (KEY + "    rate_limt: 1", "3:5: a key has no field 'rate_limt'; did you mean 'rate_limit'?"),
        (KEY + "    usage_count: 1", "3:5: usage_count is the gateway's own and no part of a document"),
        (KEY + "    xyz: 1", "3:5: a key has no field 'xyz'"),
        (ROUTE + "    name: x", "5:5: a route has no field 'name'; did you mean 'route_name'?"),
        (ROUTE + "    match_path: /x", "5:5: 'match_path' is given twice, first in line 3"),
        ("routes: [{match_path: /a, target_host: a}]", "1:10: a route needs a route_id or a route_name"),
        ("routes: [{route_id: a, target_host: a}]", "1:10: this route has no match_path"),
        ("routes: [{route_id: a, match_path: /a}]", "1:10: this route has no target_host"),
        ("routes: [{route_id: a, match_path: ~, target_host: a}]", "1:36: this route has no match_path"),
        ("routes: [{route_id: a, match_path: , target_host: a}]", "1:24: this route has no match_path"),
        (ROUTE.replace("a:1", "\n"), "4:5: this route has no target_host"),
        ("routes: [{route_id: , match_path: /a, target_host: a}]", "1:11: a route needs a route_id or a"),
        ("keys: [{key_id: }]", "1:9: a key needs a key_id"),
        (KEY + "  - key_id: bot", "3:5: the id 'bot' is given twice, first in line 2"),
        (ROUTE + ROUTE[8:].replace("chat", "b\n    route_name: chat"), "6:5: the name 'chat' is given twice"),
        (KEY + "    source_path: &a x", "3:18: anchors and aliases are not used here"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, fault: str) -> None:
    found = faults_of(text)
    assert len(found) == 1, found
    assert found[0].startswith(fault)


def test_every_fault_of_every_object_is_told_at_once() -> None:
    found = faults_of(
        "keys:\n  - key_id: a b\n    rate_limit: -1\n    permissions: [nonsense, 5, '/v1/*']\n"
        "routes:\n  - route_id: r\n    match_path: v1\n    target_host: a/b\n    timeout: 0\n    nme: x\n"
        "  - 7\nother: 1\n"
    )
    assert {fault.partition(": ")[0] for fault in found} == {
        *("2:13", "3:17", "4:19", "4:29", "7:17", "8:18", "9:14", "10:5", "11:5", "12:1"),
    }


def test_an_empty_field_that_a_route_needs_hides_no_other_fault() -> None:
    found = faults_of(
        "routes:\n  - route_id: q\n    match_path:\n    target_host:\n    priority: high\n"
        "  - route_name:\n    match_path: /a\n    target_host: a/b\n"
    )
    assert {fault.partition(": ")[0] for fault in found} == {"3:5", "4:5", "5:15", "6:5", "8:18"}


def test_nothing_of_a_faulty_object_is_taken_for_whole() -> None:
    document, _ = read("keys: [{key_id: a, rate_limit: x}, {key_id: b}]")
    assert [wanted.is_whole for wanted in document.wants("keys")] == [False, True]


def test_no_secret_is_in_a_fault_or_a_repr() -> None:
    headers = '{Authorization: "hunter2\\0", X-A: !hunter2 x, X-B: "hunter2"}'
    text = f"    add_headers: {headers}\n    targets: ['https://user:hunter2@b']\n"
    document, faults = read(ROUTE + text)
    assert len(faults) == 3, faults
    assert "hunter2" not in "".join(faults) + repr(document)


@given(
    st.lists(
        st.sampled_from(
            [*"{}[]:,&*!|>%@`\"'#-?\\\n\t a1", "keys", "routes: ", "- ", "key_id: ", "match_path: /a", "~"]
        ),
        max_size=25,
    )
)
def test_any_text_is_read_or_refused(pieces: list[str]) -> None:
    with suppress(ConfigurationError):
        read("".join(pieces))


def test_a_document_has_a_bound() -> None:
    with pytest.raises(ConfigurationError, match="larger than 8192 KB"):
        read("#" * (8 << 20) + "\n")


def test_relative_files_start_at_the_document(tmp_path: Path) -> None:
    assert "no certificates" in faults_of(ROUTE + "    tls_ca: ca.pem\n", tmp_path)[0]
