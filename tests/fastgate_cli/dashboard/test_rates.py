"""Rates, their last minutes, and what is under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rich.text import Text

from fastgate_cli.dashboard.board import Beat, Board, Gateway, Pulse
from fastgate_cli.dashboard.question import Question
from fastgate_cli.dashboard.rates import build_rates
from tests.fastgate_cli.dashboard.boards import NOW, full_board, known, paper


def rates(board: Board, width: int = 80, height: int = 1, *, plain: bool = False) -> list[str]:
    return [line.plain for line in build_rates(board, paper(width, plain=plain), height)]


def styles_of(line: Text, text: str) -> set[str]:
    start = line.plain.index(text)
    return {str(span.style) for span in line.spans if span.start <= start < span.end}


def pulse(requests: list[int], errors: list[int] | None = None, **rest: float) -> Pulse:
    errors = errors or [0] * len(requests)
    beats = [
        Beat(NOW - timedelta(seconds=5 * back), *counts)
        for back, counts in enumerate(reversed([*zip(requests, errors, strict=True)]))
    ]
    figures: dict[str, float] = {"requests_per_second": 12.4, "errors_per_second": 0.5, **rest}
    return Pulse(beats[::-1], figures["requests_per_second"], figures["errors_per_second"], 3, 1, 11.9)


def test_two_lines_say_what_matters_at_80_columns() -> None:
    lines = rates(full_board())
    assert lines[0].startswith("requests/s   12.4  ")
    assert lines[0].rstrip().endswith("in flight     7  streams     2")
    assert lines[1].startswith("errors/s      0.5  ")
    assert lines[1].rstrip().endswith("journal    12ms  waiting  2.0K")


def test_a_higher_one_has_the_peak_and_the_rate_of_rows() -> None:
    lines = rates(full_board(pulse=known(pulse([5, 60, 30]))), height=4)
    assert len(lines) == 6
    assert lines[1].strip().startswith("most 12.0")
    assert "rows/s     11.9" in lines[2]


def test_the_bars_are_of_one_scale_and_end_at_the_present() -> None:
    requests, errors = rates(full_board(pulse=known(pulse([8, 4, 8], [0, 1, 4]))))
    assert "█▄█  in flight" in requests
    assert " ▁▄  journal" in errors


def test_bars_have_the_colour_of_their_share_of_errors() -> None:
    (line, _) = build_rates(full_board(pulse=known(pulse([8, 4, 8], [0, 4, 0]))), paper(), 1)
    assert styles_of(line, "▄") == {"red"}


def test_what_is_in_flight_is_what_the_workers_count_but_with_a_filter_what_was_recorded() -> None:
    assert "in flight     7" in rates(full_board())[0]
    filtered = full_board(pulse=known(pulse([1]), Question(text="--source ci")))
    assert "in flight     3" in rates(filtered)[0]
    stopped = full_board(gateway=known(Gateway()), pulse=known(pulse([1])))
    assert "in flight     3" in rates(stopped)[0]


def test_a_recorder_that_is_late_is_seen() -> None:
    for lag_ms, style in ((12, "bold"), (2_500, "bold yellow"), (15_000, "bold red")):
        board = full_board()
        assert board.gateway
        gateway = replace(board.gateway.value, lag_ms=lag_ms, waiting_bytes=2048)
        lines = build_rates(full_board(gateway=known(gateway)), paper(), 1)
        assert styles_of(lines[1], "2.0K") == {style}


def test_no_errors_are_quiet() -> None:
    for rate, style in ((0.0, "bold dim"), (0.5, "bold red")):
        lines = build_rates(full_board(pulse=known(pulse([1], errors_per_second=rate))), paper(), 1)
        assert styles_of(lines[1], f"{rate:.1f}") == {style}


def test_what_is_not_known_yet_is_a_dash() -> None:
    lines = rates(Board())
    assert lines[0].startswith("requests/s      -")
    assert lines[0].rstrip().endswith("in flight     -  streams     -")
    assert lines[1].rstrip().endswith("journal       -  waiting     -")


def test_ascii_is_enough() -> None:
    assert all(line.isascii() for line in rates(full_board(), height=3, plain=True))
