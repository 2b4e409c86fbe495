"""When a request may be sent again: tables and properties, no I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.model import Route
from proxy.upstream.retries import (
    BACKOFF_SECONDS_MAX,
    BACKOFF_SECONDS_MIN,
    IDEMPOTENT_METHODS,
    RETRY_AFTER_SECONDS_MAX,
    Failure,
    Retries,
    backoff_seconds,
    build_retries,
    is_renewal,
    may_retry,
)

METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH", "PROPFIND")
RETRIES = st.builds(
    Retries, st.integers(1, 5), st.integers(0, 4), st.integers(0, 4), st.just(frozenset((503,)))
)


@given(
    retries=RETRIES,
    failure=st.sampled_from(Failure),
    method=st.sampled_from(METHODS),
    tries=st.integers(1, 6),
    received=st.integers(0, 6),
)
def test_what_may_have_been_received_is_sent_again_only_if_the_method_or_the_route_allows_it(
    retries: Retries, failure: Failure, method: str, tries: int, received: int
) -> None:
    if may_retry(retries, failure, method, tries=tries, received=received):
        assert tries < retries.tries_max
        if failure in (Failure.SENT, Failure.STALE):
            assert method in IDEMPOTENT_METHODS
            assert received <= retries.resends_max
        if failure is Failure.STATUS:
            assert received <= retries.answers_max
    if is_renewal(retries, failure, method):
        assert failure is Failure.STALE
        assert method in ("GET", "HEAD", "OPTIONS")
        assert retries.resends_max == 0


def test_a_connect_failure_is_retried_for_any_method_and_a_status_because_the_route_says_so() -> None:
    retries = Retries(tries_max=2, resends_max=0, answers_max=1, statuses=frozenset((503,)))
    for failure in (Failure.UNSENT, Failure.STATUS):
        assert may_retry(retries, failure, "POST", tries=1, received=1)
        assert not may_retry(retries, failure, "POST", tries=2, received=1)


@pytest.mark.parametrize(
    ("targets", "retry_count", "bound", "tries", "resends", "answers"),
    [
        (0, 0, 3, 1, 0, 0),
        (2, 0, 3, 3, 0, 2),
        (0, 2, 3, 3, 2, 2),
        (2, 1, 3, 4, 1, 1),
        (2, 5, 3, 4, 3, 3),
        (5, 5, 0, 1, 0, 0),
    ],
)
def test_tries_are_bounded_by_the_other_backends_the_route_and_the_configuration(
    targets: int, retry_count: int, bound: int, tries: int, resends: int, answers: int
) -> None:
    others = tuple(f"http://b{number}" for number in range(targets))
    retries = build_retries(Route("r", "r", "/*", "b", targets=others, retry_count=retry_count), bound)
    assert retries[:3] == (tries, resends, answers)


@given(number=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_back_off_grows_to_a_bound_and_is_spread_over_all_of_it(number: int, chance: float) -> None:
    longest = backoff_seconds(number, 1.0)
    assert longest is not None
    assert BACKOFF_SECONDS_MIN <= longest <= BACKOFF_SECONDS_MAX
    assert backoff_seconds(number, chance) == pytest.approx(chance * longest)
    assert (backoff_seconds(number + 1, 1.0) or 0) >= longest


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"3", 3.0),
        (b"0", 0.0),
        (b"%d" % RETRY_AFTER_SECONDS_MAX, float(RETRY_AFTER_SECONDS_MAX)),
        (b"%d" % (RETRY_AFTER_SECONDS_MAX + 1), None),
        (b"9" * 5000, None),
        (b"-1", 0.0),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        (b"", 0.0),
    ],
)
def test_retry_after_is_honoured_up_to_a_bound(value: bytes, seconds: float | None) -> None:
    assert backoff_seconds(1, 0.0, value) == seconds
