"""The choice of a backend: order, health and balance, with a clock and a die of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.upstream.balance import (
    ASIDE_SECONDS_MAX,
    FAILURES_MAX,
    ORIGINS_MAX,
    Backend,
    Backends,
    Group,
)


class World:
    """Three backends, a clock that stands still, and a die that always shows 1."""

    def __init__(self, balance: str = "failover", count: int = 3) -> None:
        self.now = 1000.0
        self.backends = Backends(lambda: self.now, lambda: 1.0)
        self.all = [self.backends.get(f"http://b{number}:80") for number in range(count)]
        self.group = Group(self.all, balance)

    def choose(self, *tried: Backend) -> Backend | None:
        return self.backends.choose(self.group, tried)

    def number(self, *tried: Backend) -> int:
        chosen = self.choose(*tried)
        assert chosen is not None
        return self.all.index(chosen)

    def fail(self, backend: Backend, times: int = 1) -> None:
        for _ in range(times):
            self.backends.begin(backend)
            self.backends.fail(backend)


def test_failover_takes_the_first_that_is_well_and_each_only_once() -> None:
    world = World()
    first, second, third = world.all
    assert world.choose() is first
    assert world.choose(first) is second
    assert world.choose(first, second) is third
    assert world.choose(first, second, third) is None


def test_round_robin_takes_turns() -> None:
    world = World("round-robin")
    assert [world.number() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_the_least_busy_is_taken_and_of_equals_each_in_turn() -> None:
    world = World("least-in-flight")
    world.backends.begin(world.all[0])
    world.backends.begin(world.all[2])
    assert world.number() == 1
    world.backends.begin(world.all[1])
    assert {world.number() for _ in range(3)} == {0, 1, 2}
    world.backends.finish(world.all[2])
    assert world.number() == 2


@pytest.mark.parametrize("balance", ["failover", "round-robin", "least-in-flight"])
def test_one_that_fails_in_a_row_is_set_aside_and_comes_back_after_a_single_probe(balance: str) -> None:
    world = World(balance)
    bad = world.all[0]
    world.fail(bad, FAILURES_MAX - 1)
    assert bad.is_usable(world.now)
    world.fail(bad)
    assert 0 not in {world.number() for _ in range(6)}
    world.now = bad.aside_until
    assert 0 in {world.number() for _ in range(6)}
    world.backends.begin(bad)  # the probe
    assert 0 not in {world.number() for _ in range(6)}
    world.backends.succeed(bad)
    world.backends.finish(bad)
    assert 0 in {world.number() for _ in range(6)}


def test_a_success_between_failures_starts_the_count_again() -> None:
    world = World()
    for _ in range(5):
        world.fail(world.all[0], FAILURES_MAX - 1)
        world.backends.begin(world.all[0])
        world.backends.succeed(world.all[0])
        world.backends.finish(world.all[0])
    assert world.number() == 0


def test_a_probe_whose_client_left_lets_another_one_probe() -> None:
    world = World()
    bad = world.all[0]
    world.fail(bad, FAILURES_MAX)
    world.now = bad.aside_until
    world.backends.begin(bad)
    world.backends.give_up(bad)
    assert world.choose() is bad


def test_each_failed_probe_sets_it_aside_for_longer_up_to_a_bound() -> None:
    world = World()
    bad = world.all[0]
    world.fail(bad, FAILURES_MAX)
    times = []
    for _ in range(10):
        times.append(bad.aside_until - world.now)
        world.now = bad.aside_until
        world.fail(bad)
    assert times == sorted(times)
    assert times[:3] == [1.0, 2.0, 4.0]
    assert times[-1] == ASIDE_SECONDS_MAX


def test_many_requests_that_fail_together_count_once() -> None:
    world = World()
    world.fail(world.all[0], 100)
    assert world.all[0].failures == FAILURES_MAX
    assert world.all[0].aside_until == world.now + 1.0


def test_when_all_are_set_aside_they_are_tried_all_the_same_in_order() -> None:
    world = World()
    for backend in world.all:
        world.fail(backend, FAILURES_MAX)
    first, second, third = world.all
    assert world.choose() is first
    assert world.choose(first) is second
    assert world.choose(first, second) is third


def test_the_only_backend_of_a_route_is_never_passed_over() -> None:
    world = World(count=1)
    world.fail(world.all[0], FAILURES_MAX)
    assert world.number() == 0
    assert world.choose(world.all[0]) is None


def test_state_belongs_to_the_origin_whichever_route_leads_to_it() -> None:
    world = World()
    world.fail(world.all[0], FAILURES_MAX)
    other = Group([world.backends.get("http://b0:80"), world.backends.get("http://other")], "failover")
    chosen = world.backends.choose(other)
    assert chosen is not None
    assert chosen.origin == "http://other"


def test_what_is_remembered_is_bounded() -> None:
    world = World()
    for number in range(ORIGINS_MAX * 2):
        world.backends.get(f"http://host{number}")
    assert len(world.backends._by_origin) <= ORIGINS_MAX


@pytest.mark.parametrize("origin", ["http://host:port", "http://[::1"])
def test_an_address_that_is_none_is_an_error(origin: str) -> None:
    with pytest.raises(UpstreamError):
        World().backends.get(origin)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["succeed", "fail", "give_up", "wait"])), max_size=40
    )
)
def test_whatever_happens_there_is_always_a_backend_to_try_and_nothing_stays_in_flight(
    steps: list[tuple[int, str]],
) -> None:
    world = World("least-in-flight")
    for number, outcome in steps:
        backend = world.all[number]
        if outcome == "wait":
            world.now += 10
            continue
        world.backends.begin(backend)
        getattr(world.backends, outcome)(backend)
        if outcome == "succeed":
            world.backends.finish(backend)
        assert world.choose() is not None
    assert [backend.in_flight for backend in world.all] == [0, 0, 0]
    world.now += ASIDE_SECONDS_MAX
    assert {world.number(*world.all[:tried]) for tried in range(3)} <= {0, 1, 2}
    assert all(backend.is_usable(world.now) for backend in world.all)
