"""How values look in the tables, and come back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import DatabaseError
from proxy.store.models import (
    ApiKeyRow,
    AuditLogRow,
    JsonField,
    ProxyRouteRow,
    TimeField,
    clean_text,
    fields_of,
)

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=10,
)


@given(MOMENTS)
def test_a_time_comes_back_as_the_same_moment(moment: datetime) -> None:
    restored = TimeField().python_value(TimeField().db_value(moment))
    assert restored == moment
    assert restored is not None
    assert restored.utcoffset() == timedelta(hours=8)


@given(MOMENTS, MOMENTS)
def test_the_order_of_stored_times_is_the_order_of_time(one: datetime, other: datetime) -> None:
    stored = [TimeField().db_value(moment) for moment in (one, other)]
    assert (str(stored[0]) < str(stored[1])) == (one < other)


@pytest.mark.parametrize("text", ["yesterday", "", 5, "2026-13-01"])
def test_a_time_that_is_none_is_reported_not_passed_on(text: Any) -> None:
    field = TimeField()
    field.name = "created_at"
    with pytest.raises(DatabaseError, match="created_at"):
        field.python_value(text)


@given(VALUES)
def test_json_comes_back_unchanged(value: object) -> None:
    assert JsonField().python_value(JsonField().db_value(value)) == value


def test_text_that_is_not_json_is_handed_out_as_it_is() -> None:
    assert JsonField().python_value("{oops") == "{oops"
    assert JsonField().python_value("[" * 100_000) == "[" * 100_000


@given(st.text())
def test_cleaned_text_can_always_be_stored(text: str) -> None:
    assert clean_text(text).encode().decode() == clean_text(text)


def test_ordinary_text_is_not_changed_by_cleaning() -> None:
    assert clean_text("prüfung 试 \x7f") == "prüfung 试 \x7f"
    assert clean_text("\udcff") == "\\udcff"


@pytest.mark.parametrize("model", [ApiKeyRow, AuditLogRow, ProxyRouteRow])
def test_no_model_is_bound_to_a_database(model: type[peewee.Model]) -> None:
    assert model._meta.database is None


def test_fields_can_be_left_out() -> None:
    names = [field.name for field in fields_of(ApiKeyRow, without=("key_value",))]
    assert names[0] == "key_id"
    assert "key_value" not in names
