"""What a worker counts."""

from __future__ import annotations

from proxy.relay.counters import Counters


def test_requests_are_counted_by_class_and_errors_by_reason() -> None:
    counters = Counters()
    for status, error in ((200, None), (204, None), (401, "unknown_api_key"), (None, "client_abort")):
        counters.count(status, error)
    counters.count(401, "unknown_api_key")
    assert counters.requests == {0: 1, 1: 0, 2: 2, 3: 0, 4: 2, 5: 0}
    assert counters.errors == {"unknown_api_key": 2, "client_abort": 1}


def test_two_workers_share_nothing() -> None:
    first = Counters()
    first.count(200, "x")
    assert Counters().requests[2] == 0
    assert Counters().errors == {}
