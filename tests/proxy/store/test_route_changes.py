"""Routes that are there, changed: the columns that are named, all routes or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ConflictError, InvalidInputError, NotFoundError
from proxy.store.database import Database, open_database
from proxy.store.route_changes import set_routes_active, update_routes
from proxy.store.routes import NewRoute, add_route, list_routes
from proxy.store.state import read_revision

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PLAIN = NewRoute(match_path="/v1/*", target_host="127.0.0.1:8000", add_headers={"x-a": "1"})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        for route_id in ("one", "two"):
            add_route(database, replace(PLAIN, route_id=route_id, route_name=route_id.upper()), NOW)
        yield database


def test_only_the_named_columns_change_and_the_gateway_is_told(database: Database) -> None:
    before = list_routes(database)
    revision = read_revision(database)
    columns = {"timeout": 9, "add_body_fields": {"n": 10**30}, "match_body_schema": {"required": ["é"]}}
    (row,) = update_routes(database, ["ONE", "one"], lambda row: columns, LATER)
    assert row == {**before[0], **columns, "updated_at": LATER}
    assert list_routes(database) == [row, before[1]]
    assert read_revision(database) > revision


def test_change_is_told_the_row_as_it_is(database: Database) -> None:
    rows = update_routes(database, ["one", "two"], lambda row: {"description": row["route_id"] * 2}, LATER)
    assert [row["description"] for row in rows] == ["oneone", "twotwo"]


@pytest.mark.parametrize(
    ("refs", "columns", "error"),
    [
        (["one", "nosuch"], {"timeout": 9}, NotFoundError),
        (["one"], {"timeout": 9, "route_name": "two"}, ConflictError),
        (["one", "two"], {"timeout": 9, "route_name": "both"}, ConflictError),
        (["one"], {"timeout": 9, "route_name": "a\nb"}, InvalidInputError),
    ],
)
def test_changing_is_all_or_nothing(
    database: Database, refs: list[str], columns: dict[str, Any], error: type[Exception]
) -> None:
    before = list_routes(database)
    with pytest.raises(error):
        update_routes(database, refs, lambda row: columns, LATER)
    assert list_routes(database) == before


def test_a_route_keeps_its_own_name(database: Database) -> None:
    (row,) = update_routes(database, ["one"], lambda row: {"route_name": "ONE"}, LATER)
    assert row["route_name"] == "ONE"


def test_what_a_change_refuses_changes_nothing(database: Database) -> None:
    def refuse_two(row: Any) -> dict[str, int]:
        if row["route_id"] == "two":
            raise InvalidInputError("not this one")
        return {"timeout": 9}

    before = list_routes(database)
    with pytest.raises(InvalidInputError):
        update_routes(database, ["one", "two"], refuse_two, LATER)
    assert list_routes(database) == before


def test_routes_are_switched_on_off_or_over(database: Database) -> None:
    def states() -> list[bool]:
        return [row["is_active"] for row in list_routes(database)]

    set_routes_active(database, ["one"], False, LATER)
    assert states() == [False, True]
    set_routes_active(database, ["one", "two"], None, LATER)
    assert states() == [True, False]
    rows = set_routes_active(database, ["TWO"], True, LATER)
    assert states() == [True, True]
    assert [row["route_id"] for row in rows] == ["two"]
