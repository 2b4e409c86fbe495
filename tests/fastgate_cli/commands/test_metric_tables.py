"""Tables of figures fit their line: what can be done without goes, and the bar takes what is left."""

from __future__ import annotations

from contextlib import redirect_stdout
from datetime import UTC
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgate_cli.columns import Row
from fastgate_cli.commands.metric_columns import HOUR_COLUMNS, OPTIONAL, top_columns
from fastgate_cli.commands.metric_tables import (
    BAR_WIDTH_MAX,
    BAR_WIDTH_MIN,
    BarColumn,
    fit_columns,
    print_figures,
)
from fastgate_cli.output import OutputOptions
from tests.fastgate_cli.test_drawing import Terminal


def path_row(requests: int = 10, **columns: Any) -> Row:
    figures = dict.fromkeys(("errors", "avg_ms", "p50_ms", "p95_ms", "p99_ms", "streams"), 5)
    return {
        "path": "/v1/chat",
        "requests": requests,
        "share": 50.0,
        "success_rate": 50.0,
        **figures,
        **columns,
    }


def names_at(width: int, rows: list[Row], kind: str = "paths") -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        return [column.name for column in fit_columns(rows, top_columns(kind), UTC)]


def draw(rows: list[Row], width: int, **options: Any) -> list[str]:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Terminal()) as screen:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("NO_COLOR", "1")
        print_figures(rows, top_columns("paths"), OutputOptions(**options), empty="nothing")
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def test_a_bar_stands_behind_the_requests_and_is_to_scale() -> None:
    lines = draw([path_row(40), path_row(10)], 90)
    assert lines[0].split()[:3] == ["PATH", "REQUESTS", "SHARE"]
    bars = [line.count("#") for line in lines[1:]]
    assert bars[1] == round(bars[0] / 4) > 0


def test_columns_go_in_their_order_until_the_rest_fits() -> None:
    every = names_at(200, [path_row()])
    assert "bar" in every
    before = set(every)
    for width in range(120, 40, -1):
        names = set(names_at(width, [path_row()]))
        assert names <= before
        gone = [name for name in OPTIONAL if name in every and name not in names]
        assert gone == [name for name in OPTIONAL if name in every][: len(gone)]
        before = names
    assert {"path", "requests", "success_rate", "p95_ms"} <= before


@settings(max_examples=50)
@given(st.integers(50, 250), st.integers(0, 10**9), st.text("ab/", min_size=1, max_size=300))
def test_no_line_is_wider_than_the_terminal(width: int, requests: int, path: str) -> None:
    lines = draw([path_row(requests, path=path), path_row()], width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == 3


def test_the_bar_is_neither_too_short_nor_too_long() -> None:
    for width in (60, 80, 120, 400):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", str(width))
            bars = [one for one in fit_columns([path_row()], top_columns("paths"), UTC) if one.name == "bar"]
        assert all(isinstance(bar, BarColumn) and BAR_WIDTH_MIN <= bar.cells <= BAR_WIDTH_MAX for bar in bars)


def test_its_colour_is_the_share_of_errors() -> None:
    bar = BarColumn("bar", peak=10, cells=8)
    styles = [bar.style_of(path_row(errors=errors, requests=100)) for errors in (0, 2, 50)]
    assert styles == ["cyan", "yellow", "red"]
    assert bar.style_of({"error": "client_abort", "requests": 3}) == "red"


def test_chosen_fields_and_data_have_no_bar() -> None:
    assert draw([path_row()], 80, fields=("path", "requests")) == ["PATH      REQUESTS", "/v1/chat        10"]
    lines = draw([path_row()], 80, format="tsv")
    assert lines[0].split("\t") == [column.name for column in top_columns("paths")]
    assert draw([path_row()], 80, format="wide")[0].split()[:4] == ["PATH", "REQUESTS", "SHARE", "ERRORS"]


def test_a_list_without_requests_has_empty_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert draw([path_row(0)], 80)[1].split()[:2] == ["/v1/chat", "0"]
    assert draw([], 80) == []
    assert capsys.readouterr().err == "nothing\n"


def test_a_pipe_has_room_for_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [{**path_row(), "start": None}]
    with redirect_stdout(StringIO()):
        names = [column.name for column in fit_columns(rows, HOUR_COLUMNS, UTC)]
    assert names == [
        *("start", "requests", "bar"),
        *(column.name for column in HOUR_COLUMNS[2:] if column.shown == "always"),
    ]
