"""A route comes over: the same request reaches the same URL as it did with the predecessor."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.credentials import digest_secret
from proxy.policy.decide import Forward, KeyEntry, Snapshot, decide
from proxy.policy.model import ApiKey, RequestHead
from proxy.policy.routing import build_route_table
from proxy.predecessor.notes import Note
from proxy.predecessor.order import keep_order
from proxy.predecessor.routes import convert_route
from proxy.store.routes import build_route
from tests.proxy.predecessor.old_database import ROUTE, SECRET
from tests.proxy.predecessor.old_gateway import find_url

PATTERNS = (
    "/v1/*",
    "/v1/**",
    "/v1*",
    "/v1/chat",
    "/v1/chat/",
    "/u/{id}/x",
    "/u/{id}/*",
    "*",
    "/f/*.json",
    "/",
)
PATHS = (
    "/v1/chat",
    "/v1/chat/",
    "/v1/chat/completions",
    "/v1/",
    "/v1",
    "/v1x/y",
    "/u/7/x",
    "/f/a.json",
    "/f/a/b.json",
    "/",
)
TARGETS = ("/v1/", "/v1", "/", "", "/base/{id}", "/deep/path/")


def convert(**changes: object) -> tuple[dict[str, Any], list[Note]]:
    return convert_route({**ROUTE, **changes}, retries_max=3)


def told(notes: list[Note]) -> list[tuple[str, str]]:
    return [(note.level, note.column) for note in notes]


def send(rows: list[dict[str, Any]], method: str, path: str, body: object = None) -> str | None:
    """Return where our gateway sends a request."""
    raw = b"" if body is None else json.dumps(body).encode()
    headers = [(b"host", b"gw"), (b"x-api-key", SECRET.encode())]
    if raw:
        headers.append((b"content-length", str(len(raw)).encode()))
    key = ApiKey("k", digest_secret(SECRET.encode()))
    table = build_route_table(build_route(row) for row in rows)
    snapshot = Snapshot(keys={key.digest: KeyEntry(key)}, routes=table)
    decision = decide(RequestHead(method, path.encode(), b"", headers), snapshot, 0, "req", raw)
    return decision.target_url if isinstance(decision, Forward) else None


def test_a_plain_route_needs_no_note() -> None:
    row, notes = convert()
    assert notes == []
    assert (row["match_path"], row["target_host"], row["target_path"]) == ("/v1/*", "127.0.0.1:9110", "/v1/")
    assert (row["strip_path_prefix"], row["timeout"], row["priority"]) == (True, 30, 100)
    assert row["created_at"].isoformat() == "2026-01-31T08:00:01+08:00"


@pytest.mark.parametrize(
    ("changes", "path", "url"),
    [
        ({}, "/v1/models", "http://127.0.0.1:9110/v1/models"),
        ({"match_path": "/v1/.*"}, "/v1/chat/completions", "http://127.0.0.1:9110/v1/chat/completions"),
        ({"target_path": "/api"}, "/v1/models", "http://127.0.0.1:9110/api/models"),
        ({"target_path": ""}, "/v1/models", "http://127.0.0.1:9110/models"),
        ({"target_path": "", "strip_path_prefix": 0}, "/v1/models", "http://127.0.0.1:9110/"),
        ({"strip_path_prefix": 0}, "/v1/models", "http://127.0.0.1:9110/v1/"),
        ({"match_path": "/v1*"}, "/v1x/a", "http://127.0.0.1:9110/v1/x/a"),
        ({"match_path": "/v1/{id}/*"}, "/v1/a/b", "http://127.0.0.1:9110/v1/"),
        ({"target_host": "h:1/base", "target_path": "/x"}, "/v1/a", "http://h:1/base/x/a"),
        ({"target_path": "/{id}/é"}, "/v1/a", "http://127.0.0.1:9110/%7Bid%7D/%C3%A9/a"),
        ({"target_protocol": "HTTPS"}, "/v1/a", "https://127.0.0.1:9110/v1/a"),
    ],
)
def test_requests_go_where_they_went(changes: dict[str, object], path: str, url: str) -> None:
    row, notes = convert(**changes)
    assert [note for note in notes if note.level == "refused"] == []
    assert send([row], "GET", path) == url


@settings(max_examples=150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "match_path": st.sampled_from(PATTERNS),
                "match_method": st.sampled_from(("ANY", "GET", "POST,GET", "post")),
                "match_body_schema": st.sampled_from((None, '{"model": "a"}', '{"model": "b"}')),
                "target_path": st.sampled_from(TARGETS[:4]),
                "strip_path_prefix": st.sampled_from((0, 1)),
                "is_active": st.sampled_from((1, 1, 1, 0)),
                "priority": st.sampled_from((50, 100, 101)),
            }
        ),
        max_size=6,
    ),
    st.sampled_from(("GET", "POST")),
    st.sampled_from(PATHS),
    st.sampled_from(({"model": "a"}, {"model": "b"}, {"model": "c"})),
)
def test_a_whole_table_answers_as_the_old_one_did(
    changes: list[dict[str, Any]], method: str, path: str, body: dict[str, str]
) -> None:
    old = [
        {**ROUTE, **change, "route_id": f"r{n}", "route_name": f"r{n}", "target_host": f"host{n}:80"}
        for n, change in enumerate(changes)
    ]
    rows = keep_order([convert_route(route, retries_max=3)[0] for route in old])[0]
    assert send(rows, method, path, body) == find_url(old, method, path, body)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"route_id": "a b/c"}, [("changed", "route_id")]),
        ({"route_id": "日本"}, [("refused", "route_id")]),
        ({"route_name": " x "}, [("changed", "route_name")]),
        ({"match_path": "v1"}, [("refused", "")]),
        ({"match_path": "/v1?x=1"}, [("refused", "")]),
        ({"target_host": "user:pw@host"}, [("refused", "target_host")]),
        ({"target_path": "/a?b=c"}, [("refused", "")]),
        ({"target_path": "/a/../b"}, [("refused", "")]),
        ({"retry_count": 5}, [("warning", "retry_count")]),
        ({"timeout": 0}, [("warning", "timeout")]),
        ({"timeout": None}, []),
        ({"priority": "high"}, [("warning", "priority")]),
        ({"priority": None}, []),
        ({"remove_headers": '["host", "X-Secret", "no name"]'}, [("changed", "remove_headers")] * 2),
        ({"remove_headers": "{}"}, [("refused", "remove_headers")]),
        ({"add_headers": '{"Connection": "close"}'}, [("warning", "add_headers")]),
        ({"add_headers": '{"X": "${env:HOME}"}'}, [("warning", "add_headers")]),
        ({"add_headers": '{"X": 1}'}, [("refused", "add_headers")]),
        ({"add_headers": '{"X": "a\\nb"}'}, [("refused", "")]),
        ({"add_body_fields": '{"source": "fastgate"}'}, [("warning", "add_body_fields")]),
        ({"add_body_fields": '{"a.b": 1}'}, [("refused", "add_body_fields"), ("warning", "add_body_fields")]),
        ({"match_body_schema": '{"type": 5}'}, [("warning", "match_body_schema"), ("refused", "")]),
    ],
)
def test_what_cannot_be_taken_as_it_is_gets_its_note(
    changes: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    assert told(convert(**changes)[1]) == expected


def test_removed_headers_that_the_gateway_states_are_dropped() -> None:
    assert convert(remove_headers='["host", "X-Secret"]')[0]["remove_headers"] == ["X-Secret"]


def test_a_literal_secret_is_kept_and_quoted_in_no_note() -> None:
    headers = json.dumps({"Authorization": "Bearer sk-backend-secret", "X": "sk-backend-secret\n"})
    row, notes = convert(add_headers=headers)
    assert row["add_headers"]["Authorization"] == "Bearer sk-backend-secret"
    assert "sk-backend-secret" not in repr(notes)


@settings(max_examples=100)
@given(
    st.fixed_dictionaries(
        {
            column: st.none()
            | st.integers(-5, 500)
            | st.text(max_size=20)
            | st.sampled_from(('{"a": 1}', "[]"))
            for column in ROUTE
        }
    )
)
def test_any_row_is_converted_or_refused(old: dict[str, object]) -> None:
    row, notes = convert_route(old, retries_max=3)
    if all(note.level != "refused" for note in notes):
        build_route_table([build_route(row)])
