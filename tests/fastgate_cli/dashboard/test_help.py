"""The help names every key, and can be read on the smallest terminal."""

from __future__ import annotations

import pytest

from fastgate_cli.dashboard.help import build_help
from tests.fastgate_cli.dashboard.boards import paper

KEYS = ("q", "p", "space", "1 2 3 4 5", "f", "/", "s", "↑ ↓", "tab", "↵", "esc", "?")


@pytest.mark.parametrize("height", [12, 21, 47])
def test_every_key_is_named_in_60_columns(height: int) -> None:
    lines = [line.plain for line in build_help(paper(60, height))]
    assert all(len(line) <= 60 for line in lines)
    assert len(lines) <= height
    names = " ".join(line[:13] for line in lines)
    assert all(key in names for key in KEYS)


def test_what_the_figures_are_is_said_where_there_is_room() -> None:
    assert "RATES" not in "".join(line.plain for line in build_help(paper(60, 10)))
    assert any(line.plain.startswith("Rates are of") for line in build_help(paper(60, 30)))


def test_ascii_is_enough() -> None:
    assert all(line.plain.isascii() for line in build_help(paper(plain=True)))
