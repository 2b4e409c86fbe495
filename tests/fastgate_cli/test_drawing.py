"""Tables fit their terminal, ids stay whole, and data is never taken for markup."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from fastgate_cli.charts import BarChart
from fastgate_cli.columns import Column, Step, style_status
from fastgate_cli.drawing import (
    ELASTIC_WIDTH_MIN,
    GAP,
    MARKS,
    draw_charts,
    draw_lines,
    draw_object,
    draw_remark,
    draw_secret,
    draw_step,
    draw_stream,
    draw_table,
    fit_widths,
    measure_columns,
)

ZONE = timezone.utc  # noqa: UP017
ID = "key_01jd2m5n8r9xq4t7w0z3v6b1ca"
COLUMNS = (
    Column("key_id", "key"),
    Column("source_path", "source", elastic=True),
    Column("status", style=style_status, width=8),
)


def row(**fields: Any) -> dict[str, Any]:
    return {"key_id": ID, "source_path": "default", "status": "active", **fields}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns that wants no colour."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def screen_of(draw: Callable[..., None], *arguments: Any, **options: Any) -> str:
    """Return what a function draws on a terminal."""
    with redirect_stdout(Terminal()) as screen:
        draw(*arguments, **options)
    return screen.getvalue()


def lines_of(screen: str) -> list[str]:
    return [line.rstrip() for line in screen.splitlines()]


def test_a_table_is_aligned_under_its_titles_without_lines_between() -> None:
    screen = screen_of(draw_table, [row(), row(source_path="ci")], COLUMNS, ZONE, wide=False)
    assert lines_of(screen) == [
        "KEY                             SOURCE   STATUS",
        f"{ID}  default  active",
        f"{ID}  ci       active",
    ]


def test_a_long_text_is_cut_with_an_ellipsis_and_the_id_is_not() -> None:
    screen = screen_of(draw_table, [row(source_path="x" * 200)], COLUMNS, ZONE, wide=False)
    assert ID in screen
    assert "x…" in screen
    assert max(map(len, screen.splitlines())) <= 80


def test_wide_shows_it_in_full() -> None:
    screen = screen_of(draw_table, [row(source_path="x" * 200)], COLUMNS, ZONE, wide=True)
    assert "x" * 200 in screen


def test_a_narrow_terminal_never_cuts_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen = screen_of(draw_table, [row()], COLUMNS, ZONE, wide=False)
    assert ID in screen
    assert len(screen.splitlines()) == 2


def test_markup_and_escapes_in_data_are_only_text() -> None:
    screen = screen_of(
        draw_table, [row(source_path="[red]a[/red] :smile: \x1b[2J")], COLUMNS, ZONE, wide=True
    )
    assert "[red]a[/red] :smile: \\x1b[2J" in screen


def test_colour_is_used_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(draw_table, [row()], COLUMNS, ZONE, wide=False)
    assert "\x1b" not in screen
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = screen_of(draw_table, [row()], COLUMNS, ZONE, wide=False)
    assert "\x1b[32mactive" in screen


def test_an_object_is_a_sheet_of_its_fields() -> None:
    columns = (Column("id"), Column("headers"), Column("permissions"), Column("at"), Column("none"))
    moment = datetime(2026, 1, 31, tzinfo=ZONE)
    sheet = {"id": "a", "headers": {"X-Any": None, "X-B": "2"}, "permissions": ["p", "q"], "at": moment}
    screen = screen_of(draw_object, sheet, columns, ZONE)
    assert lines_of(screen) == [
        "id           a",
        "headers      X-Any: (any)",
        "             X-B: 2",
        "permissions  p",
        "             q",
        "at           2026-01-31T00:00:00.000000+00:00",
        "none         -",
    ]


def test_a_secret_stays_on_one_line() -> None:
    screen = screen_of(draw_secret, "new API key", "fg_" + "s" * 512, {"source": "mobile"}, "Shown once.")
    assert "fg_" + "s" * 512 in screen
    assert "Shown once." in screen


def test_the_facts_beside_a_secret_are_whole_where_they_fit_and_folded_where_not() -> None:
    facts = {"key": ID, "old secret": "fg_a…wxyz works until 2026-01-31 12:00"}
    lines = lines_of(screen_of(draw_secret, "new secret", "fg_" + "s" * 36, facts, "Shown once."))
    assert any(f"old secret  {facts['old secret']}" in line for line in lines)
    assert len({len(line) for line in lines}) == 1
    screen = screen_of(draw_secret, "new secret", "fg_" + "s" * 36, {"source": "x" * 100}, "Shown once.")
    assert all(len(line) <= 80 for line in lines_of(screen))
    assert screen.count("x") == 100


def test_charts_stand_beside_each_other_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    charts = [
        BarChart("24 hours: 5", (1,) * 24, "13:00", "12:00"),
        BarChart("30 days: 9", (9,) * 30, "a", "b"),
    ]
    beside = lines_of(screen_of(draw_charts, charts))
    assert len(beside) == 1 + 4 + 2
    assert "24 hours: 5" in beside[0]
    assert "30 days: 9" in beside[0]
    assert all(len(line) <= 80 for line in beside)
    monkeypatch.setenv("COLUMNS", "50")
    below = lines_of(screen_of(draw_charts, charts))
    assert len(below) == 2 * len(beside) + 1
    assert all(len(line) <= 50 for line in below)


def test_a_chart_without_bars_is_its_title() -> None:
    assert lines_of(screen_of(draw_charts, [BarChart("30 days: none", (0, 0), "a", "b")])) == [
        "30 days: none"
    ]


def test_lines_that_are_laid_out_stay_as_they_are() -> None:
    lines = [Text("a  b", "red"), Text(), Text("[b]c[/b]")]
    assert screen_of(draw_lines, lines) == "a  b\n\n[b]c[/b]\n"


def test_columns_are_as_wide_as_their_longest_text() -> None:
    rows = [row(source_path="x" * 40), row(status="disabled")]
    assert measure_columns(rows, COLUMNS, ZONE) == [len(ID), 40, 8]
    assert measure_columns([], COLUMNS, ZONE) == [len("KEY"), len("SOURCE"), len("STATUS")]


def test_a_remark_is_text_that_cannot_act_on_the_terminal() -> None:
    assert lines_of(screen_of(draw_remark, "by [red] \x1b[31m")) == ["by [red] \\x1b[31m"]


def test_streamed_rows_line_up_with_their_titles() -> None:
    rows = (row(source_path="s" * length) for length in (1, 5, 100))
    columns = (Column("key_id", width=len(ID)), *COLUMNS[1:])
    screen = screen_of(draw_stream, rows, columns, ZONE, wide=False)
    lines = lines_of(screen)
    assert len(lines) == 4
    assert {line.index(word) for line, word in zip(lines, ("STATUS", *["active"] * 3), strict=True)} == {72}


@given(st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=1, max_size=8), st.integers(1, 300))
def test_columns_fit_if_they_can_and_only_elastic_ones_give_way(
    sizes: list[tuple[int, bool]], available: int
) -> None:
    natural = [size for size, _ in sizes]
    widths = fit_widths(natural, [Column("c", elastic=elastic) for _, elastic in sizes], available)
    least = [min(size, ELASTIC_WIDTH_MIN) if elastic else size for size, elastic in sizes]
    total = GAP * (len(sizes) - 1)
    assert all(low <= width <= high for low, width, high in zip(least, widths, natural, strict=True))
    assert sum(widths) + total <= max(available, sum(least) + total)
    if sum(natural) + total <= available:
        assert widths == natural


@pytest.mark.parametrize("width", [30, 80])
def test_a_step_goes_on_below_itself_and_leaves_no_blanks(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    draw_step(Step("failed", "match", "one two three four five six\nsecond [b]line[/b]", "do this"), 9)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✗  match      one two")
    assert all(line.startswith(" " * 14) for line in lines[1:])
    assert all(line == line.rstrip() and len(line) <= width for line in lines)
    joined = " ".join(line[14:] for line in lines)
    assert joined == "one two three four five six second [b]line[/b] → do this"


def test_a_step_has_a_mark_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    for status in MARKS:
        draw_step(Step(status, "name", "a\x1b[2Jb"), 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{mark}  name  a\\x1b[2Jb" for mark, _ in MARKS.values()]
