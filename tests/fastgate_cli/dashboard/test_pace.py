"""What costs much is read seldom, whatever the refresh."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.dashboard.pace import Pace

costs = st.lists(st.floats(0, 10), min_size=20, max_size=60)


def test_what_was_never_read_is_due() -> None:
    assert Pace(1.0, 0.01).is_due(0.0)


@given(costs=costs, share=st.floats(0.001, 0.5), interval=st.floats(0.1, 5))
def test_on_the_average_it_takes_no_more_than_its_share(
    costs: list[float], share: float, interval: float
) -> None:
    pace, now = Pace(interval, share), 0.0
    for cost in costs:
        assert pace.is_due(now)
        pace.note_read(now, cost)
        assert not pace.is_due(now)
        now = pace.due_at
    assert sum(costs) <= now * share * (1 + 1e-9)
    assert now >= interval * len(costs) * (1 - 1e-9)


def test_what_costs_nothing_is_read_at_every_refresh() -> None:
    pace = Pace(1.0, 0.01)
    pace.note_read(100.0, 0.002)
    assert pace.due_at == 101.0
