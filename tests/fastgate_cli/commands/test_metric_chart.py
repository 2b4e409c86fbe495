"""The chart: a bar for each part of the time, errors in numbers and in colour, and times below."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fastgate_cli.commands.metric_chart import AXIS_WIDTH, build_chart, format_step
from proxy.store.figures import Tally
from proxy.store.groups import Group
from proxy.store.metrics import Picture

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def picture(*groups: Group, step: timedelta = MINUTE) -> Picture:
    intervals = [(NOON + step * number, group) for number, group in enumerate(groups)]
    return Picture(NOON, NOON + step * len(groups), Tally().sum_up(), 0.0, [], [], intervals)


def test_a_bar_is_as_high_as_its_requests_and_errors_have_a_line() -> None:
    groups = [Group(16), Group(8, errors=1), Group(0), Group(4, errors=4)] * 3
    lines = [line.plain for line in build_chart(picture(*groups), UTC, 80, 2, plain=False)]
    wide = 6  # columns for each bar
    assert lines[0] == "REQUESTS, EACH BAR 1m"
    assert lines[1].startswith("    16 │██████      ")
    assert lines[2].startswith("       │████████████      ▄▄▄▄▄▄")
    assert lines[3] == "     0 └" + "─" * wide * 12
    assert lines[4].startswith("errors        ▂▂▂▂▂▂      ██████")
    assert lines[5].split() == ["12:00", "12:02", "12:04", "12:06", "12:08", "12:10"]
    assert all(len(line) <= 80 for line in lines)


def test_without_errors_there_is_no_line_for_them() -> None:
    lines = [line.plain for line in build_chart(picture(Group(1), Group(0)), UTC, 60, 3, plain=True)]
    assert len(lines) == 1 + 3 + 2
    assert all(line.isascii() for line in lines)


def test_a_bar_has_the_colour_of_its_share_of_errors() -> None:
    groups = [Group(100), Group(100, errors=5), Group(100, errors=50)]
    bars = build_chart(picture(*groups), UTC, AXIS_WIDTH + 3, 1, plain=False)[1]
    assert [str(span.style) for span in bars.spans if span.start >= AXIS_WIDTH] == ["cyan", "yellow", "red"]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (timedelta(seconds=30), "30s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(hours=2), "2h"),
        (timedelta(days=7), "7d"),
    ],
)
def test_a_step_is_told_in_its_largest_whole_unit(step: timedelta, text: str) -> None:
    assert format_step(step) == text
