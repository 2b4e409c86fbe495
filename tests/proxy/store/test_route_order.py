"""The order of rows is that of the route table, and moving a route changes that and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidInputError, NotFoundError
from proxy.policy.routing import compile_route, order_routes
from proxy.store.database import Database, open_database
from proxy.store.models import Row
from proxy.store.route_order import Side, move_route, order_rows
from proxy.store.routes import NewRoute, add_route, build_route, list_routes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ROW = {
    "match_method": None,
    "match_headers": None,
    "match_body_schema": None,
    "target_host": "h",
    "target_path": "",
    "target_protocol": "http",
    "strip_path_prefix": False,
    "add_headers": None,
    "add_body_fields": None,
    "remove_headers": None,
    "timeout": None,
    "retry_count": 0,
    "is_active": True,
    "targets": None,
    "balance": None,
    "retry_statuses": None,
    "total_timeout": None,
    "http_version": None,
    "tls_ca": None,
    "tls_verify": True,
    "on_client_abort": None,
    "pass_credential": None,
    "encoded_slash": None,
    "keep_redirects": None,
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "fastgate.db", create=True) as opened:
        for number, name in enumerate(("a", "b", "c", "d")):
            add_route(opened, NewRoute("/v1/*", "h", route_id=name), NOW + timedelta(seconds=number))
        yield opened


def names(database: Database) -> str:
    return "".join(row["route_id"] for row in order_rows(list_routes(database)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 1, 100]),
            st.sampled_from(["/*", "/v1/*", "/v1/{id}", "/v1/x", "/v1/*.json"]),
            st.sampled_from([None, NOW, LATER]),
        ),
        max_size=8,
    )
)
def test_rows_are_in_the_order_of_the_route_table(
    cases: list[tuple[int, str, datetime]],
) -> None:
    rows: list[Row] = [
        {**ROW, "route_id": f"rt_{number}", "route_name": "", "priority": p, "match_path": m, "created_at": c}
        for number, (p, m, c) in enumerate(cases)
    ]
    table = order_routes(compile_route(build_route(row)) for row in rows)
    assert [row["route_id"] for row in order_rows(rows)] == [one.route.route_id for one in table]


def test_a_row_that_the_gateway_leaves_out_has_a_place_too() -> None:
    rows = [{**ROW, "route_id": "rt", "priority": 5, "match_path": "no-slash", "created_at": None}]
    assert order_rows(rows) == rows


@pytest.mark.parametrize(
    ("ref", "side", "other", "order"),
    [
        ("d", "before", "b", "adbc"),
        ("a", "after", "c", "bcad"),
        ("c", "before", None, "cabd"),
        ("b", "after", None, "acdb"),
        ("a", "before", "b", "abcd"),
    ],
)
def test_a_route_goes_where_it_is_told(
    database: Database, ref: str, side: Side, other: str | None, order: str
) -> None:
    before = {row["route_id"]: row for row in list_routes(database)}
    changed, moved = move_route(database, ref, side, other, LATER)
    after = {row["route_id"]: row for row in list_routes(database)}
    assert names(database) == order
    assert moved == after[ref]
    assert {row["route_id"] for row in changed} == {name for name in after if after[name] != before[name]}
    for row in changed:
        assert row == after[row["route_id"]]
        assert row["updated_at"] == LATER
        assert row | {"priority": 100} == before[row["route_id"]] | {"updated_at": LATER}


def test_a_route_that_is_there_already_changes_nothing(database: Database) -> None:
    changed, moved = move_route(database, "a", "before", None, LATER)
    assert (changed, moved["route_id"]) == ([], "a")


@pytest.mark.parametrize(
    ("ref", "other", "error"),
    [("nosuch", "a", NotFoundError), ("a", "nosuch", NotFoundError), ("a", "a", InvalidInputError)],
)
def test_what_cannot_be_moved_stays(database: Database, ref: str, other: str, error: type[Exception]) -> None:
    before = list_routes(database)
    with pytest.raises(error):
        move_route(database, ref, "before", other, LATER)
    assert list_routes(database) == before
