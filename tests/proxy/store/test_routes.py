"""Routes in the database: added, found by id or name, handed to policy, or left out with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.policy.model import Route
from proxy.store.database import Database, open_database
from proxy.store.routes import NewRoute, add_route, delete_routes, get_route, list_routes, load_routes

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PLAIN = NewRoute(match_path="/v1/*", target_host="127.0.0.1:8000")
COLUMNS = (
    "route_id route_name description match_path match_method match_headers match_body_schema target_host "
    "target_path target_protocol strip_path_prefix add_headers add_body_fields remove_headers timeout "
    "retry_count is_active priority created_at updated_at targets balance retry_statuses total_timeout "
    "http_version tls_ca tls_verify on_client_abort pass_credential encoded_slash keep_redirects"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def change(database: Database, column: str, value: object) -> None:
    with database.transaction():
        database.connection().execute(f"UPDATE proxy_routes SET {column} = ?", [value])


def test_a_plain_route_has_the_defaults_of_the_contract(database: Database) -> None:
    row = add_route(database, PLAIN, NOW)
    assert list(row) == COLUMNS.split()
    assert row["route_id"].startswith("rt_")
    assert row["route_name"] == row["route_id"]
    assert (row["match_method"], row["target_protocol"], row["priority"]) == ("ANY", "http", 100)
    assert (row["timeout"], row["retry_count"], row["target_path"]) == (None, 0, "")
    assert (row["is_active"], row["strip_path_prefix"]) == (True, False)
    assert (row["created_at"], row["updated_at"]) == (NOW, NOW)


def test_everything_that_was_asked_for_reaches_policy(database: Database) -> None:
    asked = NewRoute(
        route_id="chat",
        route_name="Chat completions",
        description="for the app",
        match_path="/v1/chat/*",
        match_method="GET,POST",
        match_headers={"x-team": "a*", "x-any": None},
        target_host="api.example.com",
        target_path="/base",
        target_protocol="https",
        strip_path_prefix=True,
        add_headers={"Authorization": "${env:TOKEN}"},
        remove_headers=("x-debug",),
        timeout=7,
        priority=5,
        is_active=False,
        match_body_schema={"required": ["model"]},
        add_body_fields={"seed": 10**30, "options.mode": "é"},
        pass_credential=True,
        encoded_slash=True,
        keep_redirects=True,
    )
    add_route(database, asked, NOW)
    assert load_routes(database) == (
        (
            Route(
                route_id="chat",
                route_name="Chat completions",
                match_path="/v1/chat/*",
                match_methods=frozenset({"GET", "POST"}),
                match_headers=(("x-team", "a*"), ("x-any", None)),
                target_host="api.example.com",
                target_path="/base",
                target_protocol="https",
                strip_path_prefix=True,
                add_headers=(("Authorization", "${env:TOKEN}"),),
                remove_headers=frozenset({"x-debug"}),
                timeout_seconds=7,
                priority=5,
                is_active=False,
                created_at_us=int(NOW.timestamp()) * 1_000_000,
                match_body_schema={"required": ["model"]},
                add_body_fields=(("seed", b"1" + b"0" * 30), ("options.mode", '"é"'.encode())),
                pass_credential=True,
                encoded_slash=True,
                keep_redirects=True,
            ),
        ),
        (),
    )


def test_an_empty_schema_is_no_condition(database: Database) -> None:
    add_route(database, replace(PLAIN, match_body_schema={}), NOW)
    assert load_routes(database)[0][0].match_body_schema is None


def test_any_method_is_no_condition(database: Database) -> None:
    add_route(database, PLAIN, NOW)
    assert load_routes(database)[0][0].match_methods == frozenset()


def test_a_secret_in_a_header_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(replace(PLAIN, add_headers={"Authorization": "hunter2"}))


def test_an_id_or_a_name_is_taken_once(database: Database) -> None:
    add_route(database, replace(PLAIN, route_id="one", route_name="first"), NOW)
    for route_id, name in (("one", "x"), ("x", "first"), ("x", "one"), ("first", "x")):
        with pytest.raises(ConflictError):
            add_route(database, replace(PLAIN, route_id=route_id, route_name=name), NOW)
    assert len(list_routes(database)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"route_id": "with space"},
        {"route_id": "x" * 51},
        {"route_id": "a/b"},
        {"route_name": "x" * 101},
        {"route_name": "new\nline"},
        {"route_name": "bad\udcff"},
    ],
)
def test_a_bad_id_or_name_is_refused(database: Database, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        add_route(database, replace(PLAIN, **fields), NOW)
    assert list_routes(database) == []


def test_routes_come_by_priority_then_age(database: Database) -> None:
    for route_id, priority, age in (("late", 100, 0), ("early", 100, 5), ("first", 1, 0)):
        route = replace(PLAIN, route_id=route_id, priority=priority)
        add_route(database, route, NOW - timedelta(days=age))
    assert [row["route_id"] for row in list_routes(database)] == ["first", "early", "late"]


def test_a_route_is_found_by_id_or_by_name(database: Database) -> None:
    add_route(database, replace(PLAIN, route_id="one", route_name="Chat"), NOW)
    assert get_route(database, "one") == get_route(database, "Chat")


def test_what_is_not_found_is_suggested(database: Database) -> None:
    add_route(database, replace(PLAIN, route_id="one", route_name="ollama"), NOW)
    with pytest.raises(NotFoundError) as caught:
        get_route(database, "olama")
    assert "ollama" in caught.value.hint
    with pytest.raises(NotFoundError):
        get_route(database, "bad\udcff")


def test_deleting_is_all_or_nothing(database: Database) -> None:
    for route_id in ("one", "two", "three"):
        add_route(database, replace(PLAIN, route_id=route_id), NOW)
    with pytest.raises(NotFoundError):
        delete_routes(database, ["one", "nosuch"])
    assert len(list_routes(database)) == 3
    assert [row["route_id"] for row in delete_routes(database, ["two", "one", "two"])] == ["two", "one"]
    assert [row["route_id"] for row in list_routes(database)] == ["three"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("match_body_schema", "[]"),
        ("match_body_schema", "{oops"),
        ("match_body_schema", "0"),
        ("add_body_fields", "[1]"),
        ("add_body_fields", "{oops"),
        ("add_body_fields", '{"a": NaN}'),
        ("match_headers", "{oops"),
        ("match_headers", '["a"]'),
        ("match_headers", '{"a": 1}'),
        ("add_headers", '{"a": null}'),
        ("remove_headers", '{"a": "b"}'),
        ("remove_headers", "[1]"),
    ],
)
def test_a_route_that_cannot_be_honoured_is_left_out_and_named(
    database: Database, column: str, value: str
) -> None:
    add_route(database, replace(PLAIN, route_id="one"), NOW)
    change(database, column, value)
    routes, problems = load_routes(database)
    assert routes == ()
    assert len(problems) == 1
    assert "one" in problems[0]


@pytest.mark.parametrize(
    "column",
    ["match_method", "target_protocol", "strip_path_prefix", "priority", "created_at", "add_headers"],
)
def test_an_empty_column_means_its_default(database: Database, column: str) -> None:
    add_route(database, PLAIN, NOW)
    (expected,), _ = load_routes(database)
    change(database, column, None)
    (route,), problems = load_routes(database)
    assert problems == ()
    assert replace(route, created_at_us=0) == replace(expected, created_at_us=0)
