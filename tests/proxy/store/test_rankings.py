"""Rankings equal those that are worked out from the requests one by one, whatever the requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidInputError
from proxy.store import rankings
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.models import Row
from proxy.store.rankings import Kind, read_top
from tests.proxy.store.rows import NOW
from tests.proxy.store.traffic import between, figures_of, is_error, ranking_of, recorded, traffic

HOUR = timedelta(hours=1)
SINCE, UNTIL = NOW - HOUR, NOW + HOUR
# The column that a kind is about, and the field that says it.
COLUMNS: dict[Kind, tuple[str, str]] = {
    "paths": ("path", "path"),
    "sources": ("source_path", "source_path"),
    "keys": ("api_key", "key_id"),
    "routes": ("route_id", "route_id"),
    "methods": ("method", "method"),
    "ips": ("ip_address", "ip_address"),
    "statuses": ("status_code", "status_code"),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_database(tmp_path_factory.mktemp("rankings") / "f.db", create=True) as database:
        yield database


def pick(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


DURATIONS = ("requests", "avg_ms", "p50_ms", "p95_ms", "p99_ms")


@settings(max_examples=100)
@given(rows=traffic, rows_per_reading=st.integers(1, 40), kind=st.sampled_from([*COLUMNS]))
def test_each_group_has_the_figures_of_its_requests(
    database: Database, rows: list[Row], rows_per_reading: int, kind: Kind
) -> None:
    column, field = COLUMNS[kind]
    with recorded(database, rows, rows_per_reading):
        tops = read_top(database, kind, SINCE, UNTIL, limit=0)
    inside = between(rows, SINCE, UNTIL)
    groups = ranking_of(inside, column)
    assert [top["requests"] for top in tops] == sorted(map(len, groups.values()), reverse=True)
    assert {top[field] for top in tops} == set(groups)
    for top in tops:
        figures = figures_of(groups[top[field]])
        names = (*DURATIONS, "errors", "success_rate", "streams")
        assert pick(top, *names) == pick(figures, *names)
        assert top["share"] == round(figures["requests"] / len(inside) * 100, 2)
        assert next(iter(top)) == field


@settings(max_examples=60)
@given(rows=traffic, rows_per_reading=st.integers(1, 40))
def test_errors_are_told_by_their_reasons_or_else_by_their_statuses(
    database: Database, rows: list[Row], rows_per_reading: int
) -> None:
    with recorded(database, rows, rows_per_reading):
        tops = read_top(database, "errors", SINCE, UNTIL, limit=0)
    errors = [
        {**row, "name": reason_of(row) or f"HTTP {row['status_code']}"}
        for row in between(rows, SINCE, UNTIL)
        if is_error(row)
    ]
    groups = ranking_of(errors, "name")
    assert {top["error"] for top in tops} == set(groups)
    for top in tops:
        group = groups[top["error"]]
        assert pick(top, *DURATIONS) == pick(figures_of(group), *DURATIONS)
        assert top["share"] == round(len(group) / len(errors) * 100, 2)
        assert top["status_code"] == (None if reason_of(group[0]) else group[0]["status_code"])
        assert "errors" not in top


def reason_of(row: Row) -> str | None:
    reason: str | None = row["error_message"]
    return None if reason == "client_closed" else reason


def request(path: str, **columns: Any) -> Row:
    return {"path": path, "request_time": NOW, "response_time_ms": 5, **columns}


def test_the_largest_are_told_and_no_more(database: Database) -> None:
    rows = [request(f"/{number}") for number in range(4) for _ in range(number + 1)]
    with recorded(database, rows, 100):
        assert [top["path"] for top in read_top(database, "paths", SINCE, UNTIL, limit=2)] == ["/3", "/2"]
        assert [top["share"] for top in read_top(database, "paths", SINCE, UNTIL, limit=2)] == [40, 30]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_of_no_requests_there_is_nothing_to_rank(database: Database, kind: Kind) -> None:
    with recorded(database, [], 100):
        assert read_top(database, kind, SINCE, UNTIL) == []


def test_more_groups_than_a_statement_lists_have_their_durations(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_NUMBERS_MAX", 3)
    rows = [request(f"/{number}", response_time_ms=number) for number in range(9)]
    with recorded(database, rows, 4):
        tops = read_top(database, "paths", SINCE, UNTIL, limit=0)
    assert {top["path"]: top["p50_ms"] for top in tops} == {f"/{number}": number for number in range(9)}


def test_a_filter_chooses_the_requests(database: Database) -> None:
    rows = [request("/a", method="GET"), request("/a", method="PUT"), request("/b", method="PUT")]
    wanted = LogFilter(methods=["put"], since=UNTIL)
    with recorded(database, rows, 100):
        tops = read_top(database, "paths", SINCE, UNTIL, wanted=wanted)
        with pytest.raises(InvalidInputError):
            read_top(database, "paths", SINCE, UNTIL, wanted=LogFilter(status=["4x"]))
    assert [(top["path"], top["requests"]) for top in tops] == [("/a", 1), ("/b", 1)]


def test_what_took_longer_than_can_be_told_counts_as_the_longest(database: Database) -> None:
    with recorded(database, [request("/a", response_time_ms=2**40)], 100):
        (top,) = read_top(database, "paths", SINCE, UNTIL)
    assert top["p99_ms"] == 2**30 - 1
