"""What the page says of limits is the gateway's arithmetic."""

from __future__ import annotations

import pytest

from fastgate_cli.help.limits import HEADERS, LIMITS, LimitExample, build_page
from proxy.policy.limits import build_limit, format_duration, judge, resolve_limit
from proxy.policy.model import ApiKey
from proxy.settings import RateLimitingSettings
from tests.fastgate_cli.examples import parse_call


def count_admitted(example: LimitExample, arrival_ns: int, now_ns: int) -> tuple[int, int]:
    """Return how many requests pass at one moment, and the state that they leave."""
    limit, admitted = build_limit(example.rate, example.burst), 0
    while (verdict := judge(limit, arrival_ns, now_ns)).is_admitted:
        arrival_ns, admitted = verdict.arrival_ns, admitted + 1
    return admitted, arrival_ns


@pytest.mark.parametrize("example", LIMITS, ids=lambda example: example.options)
def test_a_key_may_send_what_the_page_says(example: LimitExample) -> None:
    limit, now_ns = build_limit(example.rate, example.burst), 10**15
    assert format_duration(limit.interval_ns) == example.then_every.encode()
    admitted, arrival_ns = count_admitted(example, 0, now_ns)
    assert admitted == example.at_once
    for _ in range(3):
        now_ns += limit.interval_ns
        admitted, arrival_ns = count_admitted(example, arrival_ns, now_ns)
        assert admitted == 1


@pytest.mark.parametrize("example", LIMITS, ids=lambda example: example.options)
def test_the_options_are_those_of_a_key(example: LimitExample) -> None:
    parse_call(["keys", "create", *example.options.split()])


def test_a_refused_request_takes_nothing() -> None:
    limit = build_limit(1)
    first = judge(limit, 0, 10**15)
    assert judge(limit, first.arrival_ns, 10**15).arrival_ns == first.arrival_ns


def test_zero_is_no_limit() -> None:
    assert resolve_limit(ApiKey("key_1", "", rate_limit=0), rate_default=100, burst_default=0) is None


def test_the_headers_are_those_of_a_refusal() -> None:
    limit = build_limit(1)
    refusal = judge(limit, judge(limit, 0, 10**15).arrival_ns, 10**15)
    assert [name.decode() for name, _ in refusal.headers()] == list(HEADERS)


def test_the_default_is_the_one_in_force() -> None:
    page = " ".join(block.text for block in build_page().blocks if hasattr(block, "text"))
    assert f"which is {RateLimitingSettings().default_requests_per_minute} unless it is set" in page
