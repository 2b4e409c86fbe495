"""A tally: readings add up, whatever pieces they come in, and come apart by source and time."""

from __future__ import annotations

from proxy.store.fact_scan import Reading
from proxy.store.figures import Tally
from proxy.store.groups import Group

FLAGS, STATUSES, SOURCES = 8, 1000, 2**31
ERROR, RUNNING, STREAM = 1, 2, 4


def outcome(source: int, status: int, flags: int = 0, interval: int = 0) -> str:
    return str(((interval * SOURCES + source) * STATUSES + status) * FLAGS + flags)


def reading(outcomes: list[str], took: str = "", ttfb: str = "", gateway: str = "") -> Reading:
    return Reading(
        0, [",".join(values) for values in (outcomes, took.split(), ttfb.split(), gateway.split())], [10, 100]
    )


def test_readings_add_up_to_figures() -> None:
    tally = Tally()
    tally.add(reading([outcome(7, 200), outcome(7, 502, ERROR)], "4 8", "3", "250 350"))
    tally.add(reading([outcome(0, 0, RUNNING | STREAM), outcome(8, 200, STREAM)], "6", "1 2"))
    figures = tally.sum_up()
    assert (figures.requests, figures.errors, figures.in_flight, figures.streams) == (4, 1, 1, 2)
    assert (figures.bytes_in, figures.bytes_out) == (20, 200)
    assert (figures.avg_ms, figures.p50_ms, figures.p99_ms) == (6.0, 6, 8)
    assert (figures.ttfb_p50_ms, figures.gateway_p50_ms, figures.gateway_p95_ms) == (2, 0.25, 0.35)
    assert figures.status_codes == {200: 2, 502: 1}
    assert figures.success_rate == 66.67


def test_of_nothing_nothing_is_known() -> None:
    figures = Tally().sum_up()
    assert (figures.requests, figures.bytes_in, figures.status_codes) == (0, 0, {})
    assert figures.success_rate is figures.avg_ms is figures.p50_ms is figures.gateway_p99_ms is None


def test_a_tally_comes_apart_by_source_and_by_part_of_time() -> None:
    tally = Tally()
    tally.add(reading([outcome(7, 200), outcome(0, 401, ERROR), outcome(7, 500, ERROR, interval=2)]))
    tally.add(reading([outcome(SOURCES - 1, 200, STREAM, interval=2)]))
    assert tally.group_sources() == {7: Group(2, errors=1), SOURCES - 1: Group(1, streams=1)}
    assert tally.group_intervals() == {0: Group(2, errors=1), 2: Group(2, errors=1, streams=1)}
    assert tally.sum_up().status_codes == {200: 2, 401: 1, 500: 1}


def test_values_beyond_those_of_a_tally_do_not_count() -> None:
    tally = Tally()
    more = Reading(0, [outcome(7, 200), "5", "", "", "99"], [0, 0])
    tally.add(more)
    assert tally.sum_up().p99_ms == 5
