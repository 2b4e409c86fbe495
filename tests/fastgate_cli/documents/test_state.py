"""From a database to a document and back: the same bytes, whatever is in the keys and routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.documents.fields import Reading
from fastgate_cli.documents.plan import Change, plan_changes
from fastgate_cli.documents.reading import read_document
from fastgate_cli.documents.state import EMPTY, check_readable, read_state, write_changes
from fastgate_cli.documents.writing import write_document
from proxy.clock import STORAGE_TIMEZONE, from_us
from proxy.documents.tree import Faults
from proxy.errors import ConflictError, InvalidInputError
from proxy.store.database import Database, open_database
from proxy.store.keys import create_key, list_keys, load_keys, set_keys_active
from proxy.store.routes import NewRoute, add_route, list_routes
from tests.fastgate_cli.documents.pieces import DIGEST, KEY, ROUTE

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TRAPS = [
    "no",
    "~",
    "1e3",
    "0o7",
    "null",
    "12:30",
    "a: b",
    "#",
    "- x",
    "'\"",
    "é",
    "😀",
    "\\",
    "${keep} x",
    "=",
    "<<",
]
LINES = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)
TEXTS = LINES | st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.just("a\n  b\n\nc #\n")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
HEADER_NAMES = st.sampled_from(["X-A", "X-Api-Key", "Authorization", "no", "1e3"])
HEADER_VALUES = st.text(st.sampled_from([*" #:'\"\\é\t~!&*{}[],%|>@`-", *"abc01"]), max_size=9).map(str.strip)
ADDED = HEADER_VALUES | st.sampled_from(["${env:TOKEN}", "Bearer ${file:/run/x}", "no", "0o7"])
FIELD_NAMES = st.sampled_from(["seed", "no", "1e3", "api_key", "a b", "é", "0o7"])
PERMISSIONS = st.sampled_from(["/v1/*", "POST /a", "route:no", "model:1e3", "*"])
MOMENTS = st.integers(1_600_000_000_000_000, 4_000_000_000_000_000).map(from_us)
KEYS = st.fixed_dictionaries(
    {
        "source": LINES,
        "permissions": st.lists(
            st.sampled_from(["/v1/*", "POST /a", "route:no", "model:1e3", "*"]), max_size=3
        ),
        "rate_limit": st.none() | st.integers(1, 10**9),
        "rate_burst": st.none() | st.integers(0, 10**9),
        "expires_at": st.none() | MOMENTS,
    }
)
ROUTES = st.builds(
    NewRoute,
    match_path=st.sampled_from(["/v1/*", "/user/{id}", "/exact", "/a/**"]),
    target_host=st.sampled_from(["127.0.0.1:8000", "no", "[::1]:80", "a.example"]),
    description=TEXTS,
    match_method=st.sampled_from(["ANY", "GET,POST", "PUT"]),
    match_headers=st.dictionaries(HEADER_NAMES, HEADER_VALUES | st.none(), max_size=3),
    match_body_schema=st.none() | st.booleans() | st.fixed_dictionaries({"const": JSON}),
    target_path=st.sampled_from(["", "/x", "/%C3", "/no"]),
    target_protocol=st.just("https"),
    strip_path_prefix=st.booleans(),
    targets=st.sampled_from([(), ("http://b:2",), ("http://b:2", "https://c")]),
    balance=st.sampled_from(["failover", "round-robin", "least-in-flight"]),
    add_headers=st.dictionaries(HEADER_NAMES, ADDED, max_size=3),
    add_body_fields=st.dictionaries(FIELD_NAMES, JSON, max_size=3),
    remove_headers=st.lists(HEADER_NAMES, max_size=2),
    timeout=st.none() | st.integers(1, 86400),
    total_timeout=st.none() | st.integers(1, 86400),
    retry_count=st.integers(0, 100),
    retry_statuses=st.sampled_from([[], [429], [429, *range(500, 600)], [500, 503]]),
    http_version=st.sampled_from(["1.1", "2"]),
    tls_verify=st.booleans(),
    on_client_abort=st.sampled_from(["cancel", "drain"]),
    pass_credential=st.booleans(),
    encoded_slash=st.booleans(),
    keep_redirects=st.booleans(),
    priority=st.integers(0, 10000),
    is_active=st.booleans(),
)


@contextmanager
def new_database() -> Iterator[Database]:
    with TemporaryDirectory() as folder, open_database(Path(folder) / "f.db", create=True) as database:
        yield database


@pytest.fixture
def database() -> Iterator[Database]:
    with new_database() as database:
        yield database


def export(database: Database, *, with_secrets: bool = False) -> str:
    current = read_state(database, NOW)
    check_readable(current)
    lines = write_document(current, ("keys", "routes"), STORAGE_TIMEZONE, with_secrets=with_secrets)
    return "".join(f"{line}\n" for line in lines)


def apply(database: Database, text: str) -> list[Change]:
    reading = Reading(Faults("d.yaml"), LATER)
    document = read_document(text.encode(), reading)
    changes = plan_changes(document, read_state(database, LATER), reading.faults, prune=True, expires_at=None)
    assert list(map(str, reading.faults.problems)) == []
    write_changes(database, changes, key_prefix="fg_", now=LATER)
    return changes


def dump(rows: Sequence[dict[str, Any]], *without: str) -> str:
    return json.dumps([{k: v for k, v in row.items() if k not in without} for row in rows], default=str)


@settings(max_examples=40)
@given(st.lists(KEYS, max_size=3), st.lists(ROUTES, max_size=3), st.data())
def test_a_document_makes_the_same_keys_and_routes_here_and_elsewhere(
    keys: list[dict[str, Any]], routes: list[NewRoute], data: st.DataObject
) -> None:
    names = data.draw(st.lists(LINES, min_size=len(routes), max_size=len(routes), unique=True))
    with new_database() as here, new_database() as there:
        for number, key in enumerate(keys):
            create_key(here, key_prefix="fg_", now=NOW + timedelta(seconds=number), **key)
        for number, (route, name) in enumerate(zip(routes, names, strict=True)):
            columns = {field: getattr(route, field) for field in route.__slots__}
            add_route(here, NewRoute(**{**columns, "route_name": name}), NOW + timedelta(seconds=number))
        before = dump(list_keys(here, now=NOW)), dump(list_routes(here))
        without, complete = export(here), export(here, with_secrets=True)
        assert apply(here, without) == []
        assert apply(here, complete) == []
        assert (dump(list_keys(here, now=NOW)), dump(list_routes(here))) == before
        assert (export(here), export(here, with_secrets=True)) == (without, complete)
        apply(there, complete)
        assert (export(there), export(there, with_secrets=True)) == (without, complete)
        counted = ("created_at", "updated_at", "status")
        assert dump(list_routes(there), *counted) == dump(list_routes(here), *counted)
        assert dump(list_keys(there, now=NOW), *counted) == dump(list_keys(here, now=NOW), *counted)
        assert {key.digest for key in load_keys(there)} == {key.digest for key in load_keys(here)}


def test_routes_of_one_priority_keep_their_order_elsewhere(database: Database) -> None:
    for number, route_id in enumerate(("z", "a", "m")):
        route = NewRoute(match_path="/v1/*", target_host="a:1", route_id=route_id)
        add_route(database, route, NOW + timedelta(seconds=number))
    with new_database() as there:
        apply(there, export(database))
        assert [row["route_id"] for row in list_routes(there)] == ["z", "a", "m"]


def test_a_change_is_written_whole_and_tells_the_secret_of_a_new_key(database: Database) -> None:
    create_key(database, key_prefix="fg_", key_id="old", now=NOW)
    changes = [
        Change("key", "remove", "old", KEY),
        Change(
            "key", "add", "new", after={k: v for k, v in KEY.items() if k not in ("value_hash", "key_hint")}
        ),
        Change("key", "add", "moved", after={**KEY, "value_hash": DIGEST}),
        Change("route", "add", None, after=ROUTE),
    ]
    written = write_changes(database, changes, key_prefix="fg_", now=NOW)
    assert [change for change, _, _ in written] == changes
    ids, secrets = [object_id for _, object_id, _ in written], [secret for _, _, secret in written]
    assert ids[:3] == ["old", "new", "moved"]
    assert ids[3] == list_routes(database)[0]["route_id"]
    assert [secret is not None and secret.startswith("fg_") for secret in secrets] == [
        False,
        True,
        False,
        False,
    ]
    assert [row["key_id"] for row in list_keys(database, now=NOW)] == ["new", "moved"]


def test_what_is_removed_leaves_its_name_to_what_is_added(database: Database) -> None:
    add_route(database, NewRoute(match_path="/a", target_host="a", route_id="one", route_name="chat"), NOW)
    changes = [
        Change("route", "add", "two", after={**ROUTE, "route_name": "chat"}),
        Change("route", "remove", "one", ROUTE),
    ]
    write_changes(database, changes, key_prefix="fg_", now=NOW)
    assert [row["route_id"] for row in list_routes(database)] == ["two"]


def test_a_change_that_fails_leaves_nothing_of_the_others(database: Database) -> None:
    create_key(database, key_prefix="fg_", key_id="one", now=NOW)
    create_key(database, key_prefix="fg_", key_id="two", now=NOW)
    before = read_state(database, NOW)
    changes = [
        Change("key", "change", "one", KEY, {**KEY, "rate_limit": 9}),
        Change("key", "change", "two", {}, {"value_hash": before.sections["keys"]["one"]["value_hash"]}),
    ]
    with pytest.raises(ConflictError):
        write_changes(database, changes, key_prefix="fg_", now=NOW)
    assert read_state(database, NOW) == before


@pytest.mark.parametrize(
    ("table", "column", "text"),
    [("api_keys", "permissions", "{oops"), ("proxy_routes", "match_headers", "{oops")],
)
def test_what_cannot_be_told_in_a_document_is_refused_by_name(
    database: Database, table: str, column: str, text: str
) -> None:
    create_key(database, key_prefix="fg_", key_id="one", now=NOW)
    add_route(database, NewRoute(match_path="/a", target_host="a", route_id="one"), NOW)
    with database.transaction():
        database.connection().execute(f"UPDATE {table} SET {column} = ?", [text])
    with pytest.raises(InvalidInputError, match="'one' cannot be written into a document"):
        export(database)


def test_an_empty_database_is_an_empty_state(database: Database) -> None:
    assert read_state(database, NOW) == EMPTY
    create_key(database, key_prefix="fg_", key_id="one", now=NOW)
    set_keys_active(database, False, everything=True, now=NOW)
    assert read_state(database, NOW).sections["keys"]["one"]["is_active"] is False
