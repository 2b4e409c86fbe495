"""The clock and the number of open files."""

from __future__ import annotations

import os
import resource
from datetime import UTC, datetime, timedelta

import pytest

from proxy.checks.machine import check_clock, check_open_files, judge_open_files, read_file_limit
from proxy.open_files import FILES_FOR_ITSELF, fit_connections
from proxy.settings import ProxySettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PROXY = ProxySettings(max_connections=1000, max_in_flight=500)
NEEDED = 1500 + FILES_FOR_ITSELF


@pytest.mark.parametrize(
    ("now", "newest", "status"),
    [
        (NOW, None, "passed"),
        (NOW, NOW - timedelta(days=1), "passed"),
        (NOW, NOW + timedelta(minutes=5), "passed"),
        (NOW, NOW + timedelta(minutes=6), "warning"),
        (datetime(1970, 1, 1, tzinfo=UTC), None, "failed"),
        (datetime(2023, 12, 31, tzinfo=UTC), NOW, "failed"),
    ],
)
def test_a_clock_before_our_time_or_before_the_newest_row_is_told(
    now: datetime, newest: datetime | None, status: str
) -> None:
    (check,) = check_clock(now, newest)
    assert check.status == status
    assert bool(check.fix) is (status != "passed")


@pytest.mark.parametrize(
    ("limit", "status"),
    [(NEEDED, "passed"), (-1, "passed"), (NEEDED - 1, "warning"), (FILES_FOR_ITSELF, "failed")],
)
def test_a_limit_below_what_the_connections_need_has_its_ulimit(limit: int, status: str) -> None:
    check = judge_open_files(PROXY, limit, "the gateway may open")
    assert check.status == status
    if status != "passed":
        assert f"ulimit -n {NEEDED}" in check.fix
        assert f"enough for {fit_connections(PROXY, limit)} connections" in check.detail


def test_the_limit_is_that_of_the_process_that_serves() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert read_file_limit(os.getpid()) == soft
    assert read_file_limit(2**22 + 1) is None
    (here,) = check_open_files(PROXY, None)
    assert "a gateway started here" in here.detail
    (there,) = check_open_files(PROXY, os.getpid())
    assert "the gateway may open" in there.detail
    (gone,) = check_open_files(PROXY, 2**22 + 1)
    assert gone == here
