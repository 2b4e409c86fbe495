"""One picture of the dashboard: read once, and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from rich.text import Text

from fastgate_cli.columns import Column, Row
from fastgate_cli.dashboard.board import KINDS, Answer, Beat, Board, take_news
from fastgate_cli.dashboard.page import build_page
from fastgate_cli.dashboard.paper import Paper
from fastgate_cli.dashboard.question import Wish
from fastgate_cli.dashboard.readers import build_jobs, build_source
from fastgate_cli.dashboard.request import SheetPrinter
from fastgate_cli.dashboard.state import State
from proxy.settings import Settings

COLUMNS = tuple(
    Column(name)
    for name in (
        *("time", "range", "since", "gateway", "address", "workers", "version", "started"),
        *("requests_per_second", "errors_per_second", "in_flight", "streams_in_flight"),
        *("journal_lag_ms", "journal_waiting_bytes"),
        *("requests", "errors", "success_rate", "streams", "bytes_in", "bytes_out"),
        *("avg_ms", "p50_ms", "p95_ms", "p99_ms", "ttfb_p50_ms", "ttfb_p95_ms", "ttfb_p99_ms"),
        *("gateway_p50_ms", "gateway_p95_ms", "gateway_p99_ms", "status_codes"),
        *("top_sources", "top_routes", "top_paths", "top_errors", "minutes", "hours", "latest"),
    )
)
_TOP_ROWS, _LATEST_ROWS = 10, 20


def read_board(settings: Settings, wish: Wish, now: datetime) -> Board:
    """Return everything at one time. Raises `DatabaseError` if there is no database to read."""
    board, source = Board(), build_source(settings)
    try:
        source.connect()
        for jobs in build_jobs(settings, 1.0).values():
            for job in jobs:
                if job.find_subject(wish) is not None:
                    value = job.read(source, wish, now)
                    board = take_news(board, Answer(job.part, wish.question, value, now))
    finally:
        source.drop()
    return board


def build_picture(board: Board, state: State, paper: Paper) -> list[Text]:
    """Return the lines of the screen, without the one that says what keys do."""
    lines = [*build_page(board, state, paper, SheetPrinter()).lines]
    if len(lines) > 1:
        lines.pop()
    for line in lines:
        line.rstrip()
    while lines and not lines[-1]:
        lines.pop()
    return lines


def build_row(board: Board, wish: Wish, now: datetime) -> Row:
    """Return the data of the picture as one row, as `COLUMNS` name it."""
    assert board.gateway
    assert board.pulse
    assert board.picture
    assert board.hours
    assert board.latest
    gateway, pulse, picture = board.gateway.value, board.pulse.value, board.picture.value
    in_flight = pulse.in_flight
    if gateway.in_flight is not None and not wish.question.text:
        in_flight = gateway.in_flight
    return {
        "time": now,
        "range": wish.question.range.name,
        "since": picture.since,
        "gateway": "running" if gateway.address else "stopped",
        "address": gateway.address or None,
        "workers": gateway.workers,
        "version": gateway.version or None,
        "started": gateway.started,
        "requests_per_second": round(pulse.requests_per_second, 3),
        "errors_per_second": round(pulse.errors_per_second, 3),
        "journal_lag_ms": gateway.lag_ms,
        "journal_waiting_bytes": gateway.waiting_bytes,
        **asdict(picture.figures),
        "in_flight": in_flight,
        "streams_in_flight": pulse.streams,
        **{f"top_{kind}": [*board.tops[kind].value[:_TOP_ROWS]] for kind in KINDS},
        "minutes": [beat._asdict() for beat in sum_minutes(pulse.beats)],
        "hours": [hour._asdict() for hour in board.hours.value],
        "latest": [*board.latest.value[:_LATEST_ROWS]],
    }


def sum_minutes(beats: Sequence[Beat]) -> list[Beat]:
    """Return beats by the minute, whole ones and the present one."""
    minutes: dict[datetime, Beat] = {}
    for beat in beats:
        start = beat.start.replace(second=0, microsecond=0)
        _, requests, errors = minutes.get(start, Beat(start, 0, 0))
        minutes[start] = Beat(start, requests + beat.requests, errors + beat.errors)
    first = beats[0].start if beats else None
    return [minute for start, minute in minutes.items() if first is None or start >= first]
