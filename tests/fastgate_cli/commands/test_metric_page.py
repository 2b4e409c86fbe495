"""The page of `metrics now`: whole at 80 by 24, larger where there is room, and nothing beyond its edge."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from fastgate_cli.commands.metric_page import HEIGHT_MIN, WIDTH_MIN, Sheet, build_page
from fastgate_cli.time_axis import choose_step, list_starts
from proxy.store.figures import Figures, Tally
from proxy.store.groups import Group
from proxy.store.metrics import Picture

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIGURES = replace(
    Tally().sum_up(),
    requests=1000,
    errors=50,
    success_rate=95.0,
    in_flight=3,
    bytes_out=5 * 2**30,
    p50_ms=12,
    p99_ms=4200,
    ttfb_p95_ms=990,
    gateway_p50_ms=0.31,
    status_codes={200: 940, 404: 30, 429: 10, 500: 7, 502: 6, 504: 2},
)


def build(
    width: int = 80, height: int = 24, figures: Figures = FIGURES, plain: bool = False, name: str = "/v1/chat"
) -> list[str]:
    starts = list_starts(NOON - HOUR, NOON, choose_step(HOUR, width - 8), UTC)
    intervals = [(start, Group(number, errors=number // 2)) for number, start in enumerate(starts)]
    tops: list[dict[str, Any]] = [
        {"path": name, "source_path": name, "requests": 10**number, "errors": number}
        for number in range(9, -1, -1)
    ]
    picture = Picture(NOON - HOUR, NOON, figures, 16.67, tops, tops, intervals)
    sheet = Sheet(width, max(0, height - HEIGHT_MIN), UTC, plain)
    return [line.plain for line in build_page(picture, sheet)]


def test_it_is_whole_at_80_by_24() -> None:
    lines = build()
    assert len(lines) <= 23  # the prompt needs a line
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "2026-01-31 11:00 to 12:00  +00:00"
    titles = "REQUESTS PER MIN SUCCESS ERRORS STREAMS IN FLIGHT IN OUT"
    assert " ".join(lines[2].split()) == titles
    assert lines[3].split() == ["1000", "16.7", "95.0%", "50", "0", "3", "0B", "5.0G"]
    page = "\n".join(lines)
    assert "duration     12ms      -   4.2s      -" in page
    assert "gateway    0.31ms      -      -" in page
    assert "first byte      -  990ms" in page


def test_what_stands_side_by_side_stands_under_its_title() -> None:
    lines = build()
    place = next(line.index("SOURCES") for line in lines if line.startswith("PATHS"))
    assert [line[place:].split()[0] for line in lines[-3:]] == ["/v1/chat"] * 3
    place = next(line.index("STATUS") for line in lines if line.startswith("LATENCY"))
    assert [line[place:].split()[0] for line in lines if line[:5] in ("durat", "first", "gatew")] == [
        *("200", "404", "429"),
    ]


def test_statuses_that_find_no_room_are_told_together() -> None:
    page = "\n".join(build())
    assert "more" in page
    assert "502" not in page
    # 7 + 6 + 2 of the statuses left out, and 2 that ended with none.
    assert "17   1.7%" in page
    page = "\n".join(build(height=50))
    assert "502" in page
    assert "none" in page


@settings(max_examples=50)
@given(
    st.integers(WIDTH_MIN, 250),
    st.integers(10, 100),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120),
)
def test_no_line_is_wider_than_the_terminal(width: int, height: int, plain: bool, name: str) -> None:
    lines = build(width, height, plain=plain, name=name)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= max(23, height - 1) or width < 80
    if plain:
        assert all(line.isascii() for line in lines)


def test_a_narrow_terminal_has_everything_below_each_other() -> None:
    lines = build(60)
    for title in ("LATENCY", "STATUS", "PATHS", "SOURCES"):
        assert any(line.startswith(title) for line in lines)


def test_a_larger_terminal_is_used() -> None:
    assert len(build(height=50)) > len(build())
    assert max(map(len, build(200))) > 190


def test_what_nothing_is_known_of_is_a_dash() -> None:
    figures = replace(Tally().sum_up(), requests=2, in_flight=2)
    lines = build(figures=figures)
    assert lines[3].split()[2] == "-"
    assert not any("none" in line for line in lines)


@pytest.mark.parametrize(
    ("since", "until", "title"),
    [
        (NOON, NOON + timedelta(minutes=1), "2026-01-31 12:00:00 to 12:01:00"),
        (NOON - 24 * HOUR, NOON, "2026-01-30 12:00 to 2026-01-31 12:00"),
    ],
)
def test_a_time_is_told_as_exactly_as_it_has_to_be(since: datetime, until: datetime, title: str) -> None:
    picture = Picture(since, until, FIGURES, 1.0, [], [], [(since, Group(1))])
    lines = build_page(picture, Sheet(80, 0, UTC, False))
    assert lines[0].plain.startswith(title)
