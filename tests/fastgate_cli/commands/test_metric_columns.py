"""Columns of figures: in the contract's order, and each value brief where people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.commands.metric_columns import (
    DAY_COLUMNS,
    HOUR_COLUMNS,
    OPTIONAL,
    PICTURE_COLUMNS,
    bucket_row,
    format_own_ms,
    format_percent,
    picture_row,
    top_columns,
)
from fastgate_cli.commands.metrics import TopKind
from proxy.store.figures import Tally
from proxy.store.metrics import Bucket, Picture
from proxy.store.rankings import Kind

NOW = datetime(2026, 1, 31, 18, 30, tzinfo=UTC)
EAST = timezone(timedelta(hours=8))
CONTRACT = (
    "requests errors success_rate requests_per_minute avg_ms p50_ms p95_ms p99_ms ttfb_p50_ms ttfb_p95_ms "
    "streams bytes_in bytes_out status_codes top_paths top_sources"
)


def test_a_picture_has_the_fields_of_the_contract_first() -> None:
    names = [column.name for column in PICTURE_COLUMNS]
    assert names[: len(CONTRACT.split())] == CONTRACT.split()
    picture = Picture(NOW, NOW, Tally().sum_up(), 0.0, [], [], [])
    assert picture_row(picture).keys() == set(names)


def test_a_bucket_begins_with_its_start() -> None:
    row = bucket_row(Bucket(NOW, Tally().sum_up()))
    for columns in (HOUR_COLUMNS, DAY_COLUMNS):
        names = [column.name for column in columns]
        assert names[:4] == ["start", "requests", "errors", "success_rate"]
        assert row.keys() == set(names)
    assert HOUR_COLUMNS[0].cell_of(row, EAST, full=False) == "02-01 02:30"
    assert DAY_COLUMNS[0].cell_of(row, EAST, full=False) == "2026-02-01 Sun"


def test_every_kind_can_be_printed() -> None:
    assert get_args(TopKind) == get_args(Kind)
    for kind in get_args(TopKind):
        names = [column.name for column in top_columns(kind)]
        assert {"requests", "share", "p95_ms"} <= set(names)
        assert ("errors" in names) is (kind != "errors")


def test_what_a_table_can_do_without_is_a_column() -> None:
    columns = {column.name for column in (*HOUR_COLUMNS, *top_columns("keys"))}
    assert set(OPTIONAL) <= columns


def test_a_route_without_a_name_of_its_own_is_told_once() -> None:
    name = next(column for column in top_columns("routes") if column.name == "name")
    rows: list[dict[str, Any]] = [
        {"route_id": "rt_1", "route_name": "ollama"},
        {"route_id": "rt_1", "route_name": "rt_1"},
        {"route_id": "rt_1", "route_name": None},
    ]
    assert [name.cell_of(row, EAST, full=False) for row in rows] == ["ollama", "-", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0%"), (0.01, "<0.1%"), (0.05, "0.1%"), (50, "50.0%"), (99.95, "99.95%"), (99.999, "99.99%")],
)
def test_a_share_is_told_in_few_characters(value: float, text: str) -> None:
    assert format_percent(value, EAST) == text


@given(st.integers(1, 5_000), st.data())
def test_a_rate_with_two_digits_and_a_share_with_all_are_told_alike(count: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, count)) / count * 100
    assert format_percent(share, EAST) == format_percent(round(share, 2), EAST) or share > 99.99


@given(st.floats(0, 100))
def test_only_all_of_it_is_100_percent(value: float) -> None:
    text = format_percent(value, EAST)
    assert len(text) <= 6
    assert (text == "100.0%") is (value == 100)
    assert (text == "0.0%") is (value == 0)


def test_the_gateways_own_share_is_a_part_of_a_millisecond() -> None:
    assert [format_own_ms(value, EAST) for value in (0.034, 9.99, 12.3, 1500)] == [
        "0.03ms",
        "9.99ms",
        "12ms",
        "1.5s",
    ]
