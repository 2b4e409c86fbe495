"""The ranges that a dashboard can be asked for."""

from __future__ import annotations

from itertools import pairwise

from fastgate_cli.dashboard.question import RANGES, Question, Wish
from proxy.clock import parse_duration
from proxy.store.log_filter import LogFilter


def test_a_range_is_as_long_as_its_name_says_and_each_key_chooses_one() -> None:
    assert [(one.key, parse_duration(one.name)) for one in RANGES] == [
        (str(turn), one.length) for turn, one in enumerate(RANGES, 1)
    ]
    assert all(one.length < next_one.length for one, next_one in pairwise(RANGES))


def test_questions_that_are_written_alike_are_equal() -> None:
    wanted = LogFilter(status=("5xx",))
    assert Question(wanted=wanted, text="x") == Question(wanted=LogFilter(status=("5xx",)), text="x")
    assert Wish(Question(RANGES[1])) != Wish(Question(RANGES[2]))
    assert hash(Question(wanted=wanted)) == hash(Question(wanted=wanted))
