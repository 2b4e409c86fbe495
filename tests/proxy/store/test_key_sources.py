"""Sources add up what their keys are and did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.store.database import Database, open_database
from proxy.store.key_sources import list_key_sources
from proxy.store.keys import list_keys
from proxy.store.models import ApiKeyRow

NOW = datetime(2026, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def add(database: Database, name: str, source: str, **columns: Any) -> None:
    query = ApiKeyRow.insert(key_id=name, key_value=name, source_path=source, created_at=NOW, **columns)
    query.execute(database.peewee)


def test_a_source_has_its_keys_by_status_and_their_use(database: Database) -> None:
    add(database, "k1", "b", usage_count=5, last_used_at=NOW - DAY)
    add(database, "k2", "b", usage_count=7, last_used_at=NOW, expires_at=NOW)
    add(database, "k3", "b", is_active=False, usage_count=None, expires_at=NOW - DAY)
    add(database, "k4", "a")
    assert list_key_sources(database, now=NOW) == [
        {
            "source_path": "a",
            "keys": 1,
            "active": 1,
            "disabled": 0,
            "expired": 0,
            "usage_count": 0,
            "last_used_at": None,
        },
        {
            "source_path": "b",
            "keys": 3,
            "active": 1,
            "disabled": 1,
            "expired": 1,
            "usage_count": 12,
            "last_used_at": NOW,
        },
    ]


def test_without_keys_there_are_no_sources(database: Database) -> None:
    assert list_key_sources(database, now=NOW) == []


KEYS = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["a", "b", "日本"]),
            "is_active": st.sampled_from([True, False, None]),
            "expires_at": st.sampled_from([None, NOW - DAY, NOW, NOW + DAY]),
            "usage_count": st.none() | st.integers(0, 2**40),
        }
    ),
    max_size=8,
)


@settings(max_examples=25)
@given(KEYS)
def test_sources_agree_with_the_list_of_keys(
    tmp_path_factory: pytest.TempPathFactory, keys: list[dict[str, Any]]
) -> None:
    with open_database(tmp_path_factory.mktemp("keys") / "f.db", create=True) as database:
        for number, columns in enumerate(keys):
            add(database, f"k{number}", **columns)
        listed = list_keys(database, now=NOW)
        for source in list_key_sources(database, now=NOW):
            own = [row for row in listed if row["source_path"] == source["source_path"]]
            statuses = [row["status"] for row in own]
            assert source["keys"] == len(own) == sum(source[status] for status in set(statuses))
            assert all(
                source[status] == statuses.count(status) for status in ("active", "disabled", "expired")
            )
            assert source["usage_count"] == sum(row["usage_count"] or 0 for row in own)
