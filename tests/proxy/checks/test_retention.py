"""A trail that grows without an end is told of, with the setting that ends it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from proxy.checks import retention
from proxy.checks.retention import check_retention, judge_growth
from proxy.settings import Settings, database_path
from proxy.store.database import open_database
from proxy.store.models import PLACES_PER_US, LogFact

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MB = 1 << 20


@pytest.mark.parametrize(
    ("bytes_per_day", "free_bytes", "detail"),
    [
        (0, 1, None),
        (MB, 1000 * MB, None),
        (20 * MB, 100_000 * MB, "requests are kept for ever, and take 20 MB a day"),
        (20 * MB, 60 * MB, "requests are kept for ever, and take 20 MB a day: the disk is full in 3 days"),
        (MB, 2 * MB, "requests are kept for ever, and take 1.0 MB a day: the disk is full in 2 days"),
        (MB, 0, "requests are kept for ever, and take 1.0 MB a day: the disk is full in 0 seconds"),
    ],
)
def test_growth_is_told_where_it_matters(bytes_per_day: int, free_bytes: int, detail: str | None) -> None:
    checks = list(judge_growth(bytes_per_day, free_bytes))
    assert [check.detail for check in checks] == ([] if detail is None else [detail])
    assert all(check.status == "warning" and "audit.retention_days" in check.fix for check in checks)


def test_only_a_trail_that_is_kept_for_ever_is_told_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "GROWTH_BYTES_MIN", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))
    kept = replace(settings, audit=replace(settings.audit, retention_days=30))
    off = replace(settings, audit=replace(settings.audit, enabled=False))
    with open_database(database_path(settings), create=True) as database:
        assert not list(check_retention(settings, database, NOW))
        came = int((NOW - timedelta(hours=1)).timestamp() * 1_000_000)
        LogFact.insert(place=came * PLACES_PER_US, id="log_1").execute(database.peewee)
        (check,) = check_retention(settings, database, NOW)
        assert check.check == "retention"
        assert not list(check_retention(kept, database, NOW))
        assert not list(check_retention(off, database, NOW))
