"""What a worker counts, and what several have counted together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.relay.counters import (
    DURATION_BOUNDS_US,
    GATEWAY_BOUNDS_US,
    NO_ROUTE,
    REASONS_MAX,
    ROUTES_MAX,
    Counters,
    metrics_directory,
    open_counters,
)
from proxy.settings import RateLimitingSettings, Settings

BOUNDS = (*DURATION_BOUNDS_US, *GATEWAY_BOUNDS_US)


def count(counters: Counters, **other: Any) -> None:
    request: dict[str, Any] = {
        "route_id": "rt_1",
        "status": 200,
        "is_stream": False,
        "error": None,
        "total_us": 20_000,
        "first_byte_us": 10_000,
        "gateway_us": 60,
    }
    counters.count(**{**request, **other})


def test_requests_are_counted_by_class_and_errors_by_reason() -> None:
    counters = Counters()
    assert counters.requests == {0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0}
    for status, error in ((200, None), (204, None), (401, "unknown_api_key"), (None, "client_abort")):
        count(counters, status=status, error=error)
    count(counters, status=401, error="unknown_api_key")
    count(counters, status=200, error="client_closed")
    assert counters.requests == {0: 1, 1: 0, 2: 3, 3: 0, 4: 2, 5: 0}
    assert counters.errors == {"unknown_api_key": 2, "client_abort": 1}


def test_a_reason_is_counted_by_its_code_whatever_its_detail() -> None:
    counters = Counters()
    for detail in ("", ": refused", ": no such host"):
        count(counters, status=502, error=f"upstream_unreachable{detail}")
    assert counters.errors == {"upstream_unreachable": 3}


def test_two_workers_share_nothing() -> None:
    first = Counters()
    count(first, error="x")
    assert Counters().requests[2] == 0
    assert Counters().errors == {}


def test_a_request_is_counted_with_its_route_and_whether_it_streamed() -> None:
    counters = Counters()
    count(counters, is_stream=True)
    count(counters, route_id=None, status=404, first_byte_us=None)
    totals = counters.read_totals()
    assert totals.routes["rt_1"].requests == [[0] * 6, [0, 0, 1, 0, 0, 0]]
    assert totals.routes[NO_ROUTE].requests == [[0, 0, 0, 0, 1, 0], [0] * 6]
    assert sum(totals.routes[NO_ROUTE].duration.buckets) == 1
    assert sum(totals.routes[NO_ROUTE].first_byte.buckets) == 0


@settings(max_examples=200)
@given(times=st.lists(st.one_of(st.integers(0, 10**10), st.sampled_from(BOUNDS)), max_size=20))
def test_a_histogram_has_every_time_in_the_first_bound_that_it_does_not_exceed(times: list[int]) -> None:
    counters = Counters()
    for time_us in times:
        count(counters, total_us=time_us, first_byte_us=time_us, gateway_us=time_us)
    totals = counters.read_totals()
    route = totals.routes.get("rt_1")
    for bounds, histogram in (
        (DURATION_BOUNDS_US, route.duration if route else None),
        (DURATION_BOUNDS_US, route.first_byte if route else None),
        (GATEWAY_BOUNDS_US, totals.gateway),
    ):
        if histogram is None:
            assert not times
            continue
        assert histogram.sum_us == sum(times)
        for place, bound in enumerate(bounds):
            assert sum(histogram.buckets[: place + 1]) == sum(time <= bound for time in times)
        assert sum(histogram.buckets) == len(times)


def test_labels_are_bounded_and_nothing_goes_uncounted() -> None:
    counters = Counters()
    for number in range(ROUTES_MAX + 50):
        count(counters, route_id=f"rt_{number}", error=f"reason_{number}")
    totals = counters.read_totals()
    assert len(totals.routes) == ROUTES_MAX + 1
    assert sum(route.requests[0][2] for route in totals.routes.values()) == ROUTES_MAX + 50
    assert totals.routes["other"].requests[0][2] == 50
    assert len(totals.errors) == REASONS_MAX + 1
    assert sum(totals.errors.values()) == ROUTES_MAX + 50


def test_workers_are_added_up_by_name_not_by_place(tmp_path: Path) -> None:
    first, second = open_counters(tmp_path, "a"), open_counters(tmp_path, "b")
    count(first, route_id="rt_a", total_us=6_000)
    count(first, route_id="rt_b", error="x")
    count(second, route_id="rt_b", error="y", total_us=1)
    count(second, route_id="rt_b", error="x", status=502)
    for counters in (first, second):
        totals = counters.read_totals()
        assert totals.routes["rt_a"].requests[0] == [0, 0, 1, 0, 0, 0]
        assert totals.routes["rt_b"].requests[0] == [0, 0, 2, 0, 0, 1]
        assert totals.routes["rt_b"].duration.sum_us == 40_001
        assert totals.routes["rt_a"].duration.buckets[:3] == [0, 1, 0]
        assert totals.errors == {"x": 2, "y": 1}
        assert (sum(totals.gateway.buckets), totals.gateway.sum_us) == (4, 240)
    first.close()
    second.close()


def test_gauges_end_with_their_worker_and_counts_stay(tmp_path: Path) -> None:
    first, second = open_counters(tmp_path, "a"), open_counters(tmp_path, "b")
    for counters, in_flight, revision in ((first, 3, 7), (second, 4, 8)):
        counters.in_flight, counters.connections = in_flight, 10
        counters.publish(revision=revision, events_lost=2)
        count(counters)
        counters.count_unserved("overloaded")
    totals = second.read_totals()
    assert (totals.workers, totals.in_flight, totals.connections) == (2, 7, 20)
    assert (totals.revision, totals.events_lost) == (7, 4)
    first.close()
    totals = second.read_totals()
    assert (totals.workers, totals.in_flight, totals.connections, totals.revision) == (1, 4, 10, 8)
    assert (totals.events_lost, totals.unserved) == (4, {"overloaded": 2})
    assert totals.routes["rt_1"].requests[0][2] == 2
    # The next worker takes the counts over and counts on; its gauges are its own.
    third = open_counters(tmp_path, "c")
    totals = third.read_totals()
    assert (totals.workers, totals.in_flight, totals.revision, totals.events_lost) == (2, 4, 0, 4)
    third.publish(revision=9, events_lost=1)
    count(third)
    totals = second.read_totals()
    assert (totals.revision, totals.events_lost) == (8, 5)
    assert totals.routes["rt_1"].requests[0][2] == 3
    second.close()
    third.close()


def test_where_there_can_be_no_file_a_worker_counts_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    counters = open_counters(in_the_way, "a")
    count(counters)
    assert counters.read_totals().routes["rt_1"].requests[0][2] == 1
    assert "metrics are of one worker only" in caplog.text
    counters.close()


def test_the_files_are_beside_those_of_the_limits(tmp_path: Path) -> None:
    configured = Settings(rate_limiting=RateLimitingSettings(file=tmp_path / "data" / "limits"))
    assert metrics_directory(configured) == tmp_path / "data" / "metrics"
