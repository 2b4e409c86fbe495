"""Bars are as high as their counts, to an eighth of a line, and whatever is there is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgate_cli.charts import BarChart, build_bar, build_bars, build_sparkline, chart_lines

EIGHTHS = " ▁▂▃▄▅▆▇█"
counts_lists = st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any)


def test_a_chart_has_its_peak_its_bars_and_its_ends() -> None:
    chart = BarChart("requests", (0, 1, 8, 16, 12, 4), "a", "f")
    assert [axis + bars for axis, bars in chart_lines(chart, height=2)] == [
        "16 │   █▄ ",
        "   │ ▁███▄",
        " 0 └──────",
        "    a    f",
    ]


def test_a_terminal_without_blocks_gets_ascii() -> None:
    lines = chart_lines(BarChart("requests", (0, 1, 8, 16), "a", "d"), height=2, plain=True)
    assert [axis + bars for axis, bars in lines] == ["16 |   #", "   | .##", " 0 +----", "    a  d"]
    assert all((axis + bars).isascii() for axis, bars in lines)


@pytest.mark.parametrize("counts", [(), (0,), (0, 0, 0)])
def test_of_nothing_there_is_nothing_to_draw(counts: tuple[int, ...]) -> None:
    assert chart_lines(BarChart("requests", counts, "a", "b")) == []


def test_labels_that_are_longer_than_the_bars_are_told_all_the_same() -> None:
    assert chart_lines(BarChart("requests", (1,), "12:00", "13:00"))[-1][0].split() == ["12:0013:00"]


@given(counts_lists, st.integers(1, 8))
def test_a_bar_grows_with_its_count_and_one_is_as_high_as_the_chart(counts: list[int], height: int) -> None:
    lines = build_bars(counts, height)
    assert [len(line) for line in lines] == [len(counts)] * height
    heights = [sum(EIGHTHS.index(line[place]) for line in lines) for place in range(len(counts))]
    assert max(heights) == height * 8
    for count, tall in zip(counts, heights, strict=True):
        assert (tall > 0) is (count > 0)
        assert 0 <= tall - count * height * 8 / max(counts) < 1 + 1e-6
    for column in zip(*lines, strict=True):
        filled = [EIGHTHS.index(cell) for cell in column]
        assert filled == sorted(filled)
        assert sum(0 < cell < 8 for cell in filled) <= 1


def test_a_sparkline_is_one_line_of_bars() -> None:
    assert build_sparkline((0, 1, 8, 16)) == " ▁▄█"
    assert build_sparkline((0, 0)) == "  "
    assert build_sparkline(()) == ""
    assert build_sparkline((0, 8), plain=True) == " #"


@pytest.mark.parametrize(
    ("value", "peak", "bar", "plain"),
    [
        (4, 4, "████", "####"),
        (3, 4, "███", "###"),
        (0.1, 4, "▏", "#"),
        (5, 8, "██▌", "##"),
        (9, 4, "████", "####"),
        (0, 4, "", ""),
        (0, 0, "", ""),
    ],
)
def test_a_bar_that_lies_is_as_long_as_its_value(value: float, peak: float, bar: str, plain: str) -> None:
    assert build_bar(value, peak, 4) == bar
    assert build_bar(value, peak, 4, plain=True) == plain


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 80))
def test_a_bar_that_lies_fits_its_width_and_more_than_nothing_is_seen(
    value: int, peak: int, width: int
) -> None:
    bar = build_bar(value, peak, width)
    eighths = sum(" ▏▎▍▌▋▊▉█".index(cell) for cell in bar)
    assert 1 <= len(bar) <= width
    assert abs(eighths - min(value / peak, 1) * width * 8) <= 1
    assert 1 <= len(build_bar(value, peak, width, plain=True)) <= width
