"""Lines are put beside each other, cut and filled, and are as wide as they are meant to be."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from fastgate_cli.dashboard.paper import (
    draw_bars,
    figure,
    fit_line,
    join_parts,
    put_beside,
    put_right,
    title,
)
from tests.fastgate_cli.dashboard.boards import paper

texts = st.text(st.characters(exclude_categories=["C"]), max_size=30)
widths = st.integers(0, 40)


@given(text=st.text(max_size=40), width=widths, plain=st.booleans())
def test_a_cut_text_is_as_wide_as_asked_for_and_safe_on_a_terminal(
    text: str, width: int, plain: bool
) -> None:
    cut = paper(plain=plain).cut(text, width)
    assert cell_len(cut) == width
    assert "\x1b" not in cut
    assert "\n" not in cut
    assert not plain or cut.isascii()


@given(text=texts, width=widths)
def test_a_fitted_line_is_exactly_so_wide(text: str, width: int) -> None:
    assert fit_line(Text(text), width).cell_len == width


@given(blocks=st.lists(st.tuples(st.lists(texts, max_size=4), st.integers(1, 15)), max_size=4))
def test_blocks_side_by_side_keep_their_columns(blocks: list[tuple[list[str], int]]) -> None:
    lines = put_beside([([Text(text) for text in texts], width) for texts, width in blocks])
    assert len(lines) == max((len(texts) for texts, _ in blocks), default=0)
    assert {line.cell_len for line in lines} <= {sum(width + 2 for _, width in blocks) - 2}


@given(parts=st.lists(texts, max_size=6), width=widths)
def test_parts_are_whole_or_left_out_from_the_end(parts: list[str], width: int) -> None:
    line = join_parts([Text(part) for part in parts], width)
    assert line.cell_len <= width
    joined = [
        join_parts([Text(part) for part in parts[:count]], 10_000).plain for count in range(len(parts) + 1)
    ]
    assert line.plain in joined


@given(left=texts, right=texts, width=widths)
def test_what_stands_right_is_never_cut(left: str, right: str, width: int) -> None:
    line = put_right(Text(left), Text(right), width)
    assert line.plain.endswith(right)
    assert line.cell_len == max(width, cell_len(right))


@given(lines=st.lists(st.text(max_size=50), max_size=5), width=st.integers(1, 40), plain=st.booleans())
def test_a_page_holds_only_what_the_paper_can_show(lines: list[str], width: int, plain: bool) -> None:
    fitted = paper(width, plain=plain).fit([Text(line) for line in lines])
    assert all(line.cell_len == width for line in fitted)
    assert not plain or all(line.plain.isascii() for line in fitted)


@given(
    bars=st.lists(st.tuples(st.sampled_from("▁▂▃ "), st.sampled_from(("red", "cyan"))), max_size=30),
    columns=st.integers(1, 3),
)
def test_bars_keep_their_styles_in_as_few_pieces_as_can_be(bars: list[tuple[str, str]], columns: int) -> None:
    line = draw_bars("".join(bar for bar, _ in bars), [style for _, style in bars], columns)
    assert line.plain == "".join(bar * columns for bar, _ in bars)
    seen = [""] * len(line.plain)
    for start, end, style in line.spans:
        seen[start:end] = [str(style)] * (end - start)
    assert seen == [style for _, style in bars for _ in range(columns)]
    changes = sum(one[1] != other[1] for one, other in pairwise(bars))
    assert len(line.spans) == (changes + 1 if bars else 0)


def test_titles_and_figures_say_what_they_are() -> None:
    assert title("latency").plain == "LATENCY"
    assert figure("12", "errors", "red").plain == "12 errors"
