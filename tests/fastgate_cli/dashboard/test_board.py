"""The board takes what readers tell, part by part."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.dashboard.board import KINDS, Answer, Board, Kind, Known, Opened, Trouble, take_news
from tests.fastgate_cli.dashboard.boards import NOW, QUESTION, top

PARTS = ("gateway", "pulse", "latest", "picture", "hours")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_replaced_and_the_others_stay(part: str) -> None:
    board = take_news(Board(), Answer("latest", QUESTION, ["before"], NOW))
    board = take_news(board, Answer(part, QUESTION, "new", NOW))
    assert getattr(board, part) == Known("new", QUESTION, NOW)
    others = {field.name for field in fields(Board)} - {part, "latest"}
    assert all(getattr(board, name) == getattr(Board(), name) for name in others)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_table_is_a_part(kind: Kind) -> None:
    before, new = [top("before", 1)], [top("new", 2)]
    board = take_news(Board(), Answer("paths", QUESTION, before, NOW))
    board = take_news(board, Answer(kind, QUESTION, new, NOW))
    assert board.tops[kind].value == new
    assert board.tops["paths"].value == (new if kind == "paths" else before)


def test_an_opened_request_knows_itself_which_it_is() -> None:
    opened = Opened("log_1", None)
    assert take_news(Board(), Answer("opened", QUESTION, opened, NOW)).opened == opened


@given(told=st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(("", "locked", "gone")))))
def test_there_is_trouble_as_long_as_any_part_has_it(told: list[tuple[str, str]]) -> None:
    board = Board()
    for part, text in told:
        board = take_news(board, Trouble(part, text))
    last = dict(told)
    assert dict(board.troubles) == {part: text for part, text in last.items() if text}
    assert bool(board.trouble) == any(last.values())
