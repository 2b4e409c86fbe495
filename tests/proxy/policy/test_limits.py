"""Rate limits: how many requests pass, when the next one does, and what the client is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.limits import (
    FULL_NS_MAX,
    Limit,
    Verdict,
    build_limit,
    format_duration,
    judge,
    resolve_limit,
)
from proxy.policy.model import ApiKey

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
START_NS = 5_000 * SECOND_NS
RATES = st.integers(1, 1_000_000_000)
BURSTS = st.integers(0, 1_000_000_000)
LIMITS = st.builds(build_limit, RATES, BURSTS)
SMALL_LIMITS = st.builds(build_limit, st.integers(1, 200), st.integers(1, 8))


class Caller:
    """Asks again and again under one limit, as a table would remember it."""

    def __init__(self, limit: Limit, now_ns: int = START_NS) -> None:
        self.limit = limit
        self.now_ns = now_ns
        self.arrival_ns = 0

    def ask(self, *, after_ns: int = 0) -> Verdict:
        self.now_ns += after_ns
        verdict = judge(self.limit, self.arrival_ns, self.now_ns)
        self.arrival_ns = verdict.arrival_ns
        return verdict

    def ask_until_refused(self) -> int:
        admitted = 0
        while self.ask().is_admitted:
            admitted += 1
            assert admitted <= self.limit.burst
        return admitted


def key(rate_limit: int | None = None, rate_burst: int | None = None) -> ApiKey:
    return ApiKey("key_1", "sha256:0", rate_limit=rate_limit, rate_burst=rate_burst)


@pytest.mark.parametrize(("rate", "burst", "at_once"), [(60, 0, 60), (60, 5, 5), (1, 0, 1), (7, 100, 100)])
def test_an_idle_key_may_use_its_burst_at_once(rate: int, burst: int, at_once: int) -> None:
    caller = Caller(build_limit(rate, burst))
    assert caller.ask_until_refused() == at_once
    caller.now_ns += 1000 * MINUTE_NS
    assert caller.ask_until_refused() == at_once


def test_after_the_burst_one_request_passes_every_interval() -> None:
    caller = Caller(build_limit(60))
    caller.ask_until_refused()
    for _ in range(3):
        assert not caller.ask(after_ns=SECOND_NS - 1).is_admitted
        assert caller.ask(after_ns=1).is_admitted
        assert not caller.ask().is_admitted


def test_a_refused_request_costs_nothing() -> None:
    caller = Caller(build_limit(60, 1))
    caller.ask()
    assert [caller.ask(after_ns=1).retry_ns for _ in range(3)] == [
        SECOND_NS - 1,
        SECOND_NS - 2,
        SECOND_NS - 3,
    ]


@settings(max_examples=200)
@given(SMALL_LIMITS, st.lists(st.integers(0, 20 * SECOND_NS), max_size=60))
def test_no_more_pass_between_any_two_times_than_burst_and_rate_allow(limit: Limit, steps: list[int]) -> None:
    caller = Caller(limit)
    admitted = [caller.now_ns for step in steps if caller.ask(after_ns=step).is_admitted]
    for first, since in enumerate(admitted):
        for count, until in enumerate(admitted[first:], 1):
            assert count <= limit.burst + (until - since) // limit.interval_ns


@settings(max_examples=200)
@given(RATES)
def test_a_minute_never_brings_more_than_the_rate_and_hardly_less(rate: int) -> None:
    interval_ns = build_limit(rate).interval_ns
    assert interval_ns * rate >= MINUTE_NS
    assert (interval_ns - 1) * rate < MINUTE_NS


@settings(max_examples=200)
@given(SMALL_LIMITS, st.lists(st.integers(0, 20 * SECOND_NS), max_size=40))
def test_one_that_waits_as_told_is_admitted_and_not_much_earlier(limit: Limit, steps: list[int]) -> None:
    caller = Caller(limit)
    for step in steps:
        verdict = caller.ask(after_ns=step)
        if not verdict.is_admitted:
            assert not judge(limit, caller.arrival_ns, caller.now_ns + verdict.retry_ns - 1).is_admitted
            told = int(dict(verdict.headers())[b"retry-after"]) * SECOND_NS
            assert verdict.retry_ns <= told < verdict.retry_ns + SECOND_NS
            assert caller.ask(after_ns=told).is_admitted


@settings(max_examples=200)
@given(SMALL_LIMITS, st.lists(st.integers(0, 20 * SECOND_NS), min_size=1, max_size=40))
def test_as_many_as_are_said_to_remain_do_remain(limit: Limit, steps: list[int]) -> None:
    caller = Caller(limit)
    for step in steps:
        verdict = caller.ask(after_ns=step)
    assert (verdict.retry_ns == 0) == (verdict.remaining > 0)
    rest = Caller(limit, caller.now_ns)
    rest.arrival_ns = caller.arrival_ns
    assert rest.ask_until_refused() == verdict.remaining


@settings(max_examples=200)
@given(SMALL_LIMITS, st.integers(1, 10))
def test_when_the_reset_is_over_the_whole_burst_is_back_and_not_before(limit: Limit, asked: int) -> None:
    caller = Caller(limit)
    for _ in range(asked):
        verdict = caller.ask()
    early = Caller(limit, caller.now_ns + verdict.reset_ns - 1)
    early.arrival_ns = caller.arrival_ns
    assert early.ask_until_refused() == limit.burst - 1
    caller.now_ns += verdict.reset_ns
    assert caller.ask_until_refused() == limit.burst


@settings(max_examples=200)
@given(LIMITS, st.integers(-(2**63), 2**63 - 1), st.integers(0, FULL_NS_MAX))
def test_whatever_a_slot_holds_no_number_is_negative_too_large_or_a_lock_out(
    limit: Limit, arrival_ns: int, now_ns: int
) -> None:
    verdict = judge(limit, arrival_ns, now_ns)
    assert 0 <= verdict.remaining < limit.burst
    assert 0 <= verdict.reset_ns <= limit.full_ns <= FULL_NS_MAX
    assert 0 <= verdict.retry_ns <= limit.interval_ns
    assert now_ns <= verdict.arrival_ns < 2**63
    assert not any(b"-" in value for _, value in verdict.headers())


def test_a_key_whose_limit_was_raised_waits_for_its_new_interval_at_most() -> None:
    caller = Caller(build_limit(1, 1000))
    caller.ask_until_refused()
    caller.limit = build_limit(60)
    refused = caller.ask()
    assert (refused.is_admitted, refused.retry_ns) == (False, SECOND_NS)
    assert caller.ask(after_ns=SECOND_NS).is_admitted


def test_a_clock_that_goes_back_gives_nothing_away_and_locks_nobody_out() -> None:
    caller = Caller(build_limit(60))
    caller.ask_until_refused()
    assert not caller.ask(after_ns=-3600 * SECOND_NS).is_admitted
    assert caller.ask(after_ns=SECOND_NS).is_admitted
    assert not caller.ask().is_admitted


@pytest.mark.parametrize(
    ("own", "defaults", "burst", "interval_ns"),
    [
        (key(), (100, 0), 100, 600_000_000),
        (key(), (100, 7), 7, 600_000_000),
        (key(60), (100, 0), 60, SECOND_NS),
        (key(60), (100, 7), 7, SECOND_NS),
        (key(60, 5), (100, 7), 5, SECOND_NS),
        (key(60, 0), (100, 7), 60, SECOND_NS),
        (key(None, 5), (100, 7), 5, 600_000_000),
        (key(60), (0, 0), 60, SECOND_NS),
        (key(-1, -1), (60, 7), 7, SECOND_NS),
    ],
)
def test_what_a_key_does_not_say_is_the_default(
    own: ApiKey, defaults: tuple[int, int], burst: int, interval_ns: int
) -> None:
    limit = resolve_limit(own, rate_default=defaults[0], burst_default=defaults[1])
    assert limit == Limit(burst, interval_ns, burst * interval_ns)


@pytest.mark.parametrize(("own", "rate"), [(key(0), 100), (key(0, 5), 100), (key(), 0), (key(None, 5), 0)])
def test_a_rate_of_0_is_no_limit(own: ApiKey, rate: int) -> None:
    assert resolve_limit(own, rate_default=rate, burst_default=0) is None


def test_an_admitted_request_is_told_what_is_left() -> None:
    caller = Caller(build_limit(60, 10))
    caller.ask()
    assert caller.ask().headers() == [
        (b"x-ratelimit-limit-requests", b"10"),
        (b"x-ratelimit-remaining-requests", b"8"),
        (b"x-ratelimit-reset-requests", b"2s"),
    ]


def test_a_refused_request_is_told_when_to_come_back() -> None:
    caller = Caller(build_limit(2))
    caller.ask_until_refused()
    assert caller.ask(after_ns=500_000_000).headers() == [
        (b"x-ratelimit-limit-requests", b"2"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", b"59.5s"),
        (b"retry-after", b"30"),
    ]


def test_a_wait_of_less_than_a_second_is_told_as_one() -> None:
    caller = Caller(build_limit(60_000, 1))
    caller.ask()
    assert dict(caller.ask().headers())[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, b"0s"),
        (1, b"1ms"),
        (120_000_000, b"120ms"),
        (999_000_000, b"999ms"),
        (999_000_001, b"1s"),
        (SECOND_NS, b"1s"),
        (8_640_000_000, b"8.64s"),
        (10_001_000_000, b"10.001s"),
        (59_999_000_001, b"1m0s"),
        (90 * SECOND_NS, b"1m30s"),
        (360 * SECOND_NS, b"6m0s"),
        (90_951_000_000, b"1m30.951s"),
        (3600 * SECOND_NS, b"1h0m0s"),
        (100 * 3600 * SECOND_NS + 61 * SECOND_NS, b"100h1m1s"),
    ],
)
def test_a_duration_reads_as_openai_writes_it(duration_ns: int, text: bytes) -> None:
    assert format_duration(duration_ns) == text
