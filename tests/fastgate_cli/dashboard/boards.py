"""Boards for the tests of drawing and of keys: full ones, empty ones, and any that hypothesis thinks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from fastgate_cli.columns import Row
from fastgate_cli.dashboard.board import KINDS, Beat, Board, Gateway, Known, Opened, Pulse
from fastgate_cli.dashboard.paper import Paper
from fastgate_cli.dashboard.pulse import list_beats
from fastgate_cli.dashboard.question import Question
from proxy.clock import list_hours
from proxy.store.figures import Figures, Tally
from proxy.store.metrics import Picture

NOW = datetime(2026, 1, 31, 12, 30, 17, tzinfo=UTC)
QUESTION = Question()
NO_FIGURES = Tally().sum_up()
FIGURES = replace(
    NO_FIGURES,
    requests=3600,
    errors=36,
    success_rate=99.0,
    in_flight=4,
    streams=120,
    bytes_in=70_000,
    bytes_out=3_000_000,
    avg_ms=240.5,
    p50_ms=82,
    p95_ms=1500,
    p99_ms=4200,
    ttfb_p50_ms=80,
    ttfb_p95_ms=95,
    ttfb_p99_ms=110,
    gateway_p50_ms=0.21,
    gateway_p95_ms=0.5,
    gateway_p99_ms=1.25,
    status_codes={200: 3560, 429: 20, 502: 16},
)


def paper(width: int = 80, height: int = 24, *, plain: bool = False) -> Paper:
    return Paper(width, height, UTC, NOW, plain)


def request(name: str, second: float = 0, **columns: Any) -> Row:
    """Return a request that has been answered, as a list has it."""
    moment = NOW - timedelta(minutes=1) + timedelta(seconds=second)
    row = {
        "id": f"log_{name}",
        "request_id": f"req_{name}",
        "api_key": "key_1",
        "source_path": "ci",
        "method": "POST",
        "path": "/v1/chat/completions",
        "target_url": "http://127.0.0.1:8000/v1/chat/completions",
        "status_code": 200,
        "request_time": moment,
        "first_response_time": moment + timedelta(milliseconds=80),
        "response_time": moment + timedelta(milliseconds=82),
        "response_time_ms": 82,
        "request_size": 66,
        "response_size": 461,
        "user_agent": "curl/8",
        "ip_address": "127.0.0.1",
        "is_stream": False,
        "stream_chunks": 0,
        "error_message": None,
        "created_at": moment,
        "route_id": "rt_1",
        "gateway_ms": 0.2,
        "writer_id": "w",
        "sequence": 1,
    }
    return {**row, **columns}


def running(name: str, second: float = 0) -> Row:
    """Return a request that is in flight."""
    return request(
        name,
        second,
        status_code=None,
        response_time=None,
        response_time_ms=None,
        response_size=None,
        first_response_time=None,
    )


def whole(row: Row, **columns: Any) -> Row:
    """Return a request as `logs show` has it."""
    details = {
        "request_headers": [["accept", "*/*"], ["x-tag", "one"]],
        "request_body": '{"a":\n1}',
        "response_headers": [["content-type", "application/json"]],
        "response_body": "ok",
    }
    return {**row, **details, **columns}


def known(value: Any, question: Question = QUESTION, at: datetime = NOW) -> Known[Any]:
    return Known(value, question, at)


def top(name: str, requests: int, errors: int = 0, p95_ms: int | None = 100, **fields: Any) -> Row:
    """Return a row that all tables can show, whatever they call what names it."""
    names = {"source_path": name, "route_name": name, "route_id": f"rt_{name}", "path": name, "error": name}
    return {**names, "requests": requests, "errors": errors, "p95_ms": p95_ms, **fields}


def picture(figures: Figures = FIGURES) -> Picture:
    return Picture(NOW - QUESTION.range.length, NOW, figures, 12.0, (), (), ())


def full_board(latest: Sequence[Row] | None = None, **parts: Any) -> Board:
    """Return a board on which every part is known."""
    beats = [Beat(start, turn % 7, turn % 3) for turn, start in enumerate(list_beats(NOW))]
    hours = [Beat(start, 100 * turn, turn) for turn, start in enumerate(list_hours(NOW, UTC, 24))]
    rows = [request(str(turn), -turn) for turn in range(40)] if latest is None else latest
    board = Board(
        gateway=known(
            Gateway(
                "http://127.0.0.1:8514", 2, "0.1.0", NOW - timedelta(hours=3, minutes=12), 7, 12, 2048, ""
            )
        ),
        pulse=known(Pulse(beats, 12.4, 0.5, 4, 2, 11.9)),
        latest=known(rows),
        picture=known(picture()),
        hours=known(hours),
        tops={kind: known([top(f"{kind}-{turn}", 90 - turn, turn) for turn in range(20)]) for kind in KINDS},
        opened=Opened(rows[0]["id"], whole(rows[0])) if rows else None,
    )
    return replace(board, **parts)


_names = st.none() | st.text(max_size=60)
_counts = st.integers(0, 10**9)
_maybe_ms = st.none() | st.integers(0, 10**9)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """A request with anything in its columns that a client can have sent."""
    row = request(draw(st.text("abc", min_size=1, max_size=4)), draw(st.integers(-200_000, 60)))
    return {
        **row,
        "path": draw(st.text(max_size=80)),
        "method": draw(st.sampled_from(("GET", "POST", "PROPFIND"))),
        "source_path": draw(_names),
        "error_message": draw(_names),
        "status_code": draw(st.none() | st.integers(100, 599)),
        "response_time": draw(st.none() | st.just(NOW)),
        "response_time_ms": draw(_maybe_ms),
        "response_size": draw(st.none() | _counts),
    }


@st.composite
def boards(draw: st.DrawFn) -> Board:
    """A board of which anything may be missing."""
    maybe = st.booleans()
    figures = replace(
        FIGURES,
        requests=draw(_counts),
        errors=draw(_counts),
        success_rate=draw(st.none() | st.floats(0, 100)),
        p50_ms=draw(_maybe_ms),
        gateway_p95_ms=draw(st.none() | st.floats(0, 1e6)),
        status_codes=draw(st.dictionaries(st.integers(100, 599), st.integers(1, 10**6), max_size=12)),
    )
    figures = replace(figures, requests=max(figures.requests, sum(figures.status_codes.values())))
    tops = [top(draw(st.text(max_size=50)), draw(_counts), draw(_counts), draw(_maybe_ms)) for _ in range(3)]
    board = full_board(draw(st.lists(rows(), max_size=5)), picture=known(picture(figures)))
    board = replace(board, tops={kind: known(tops) for kind in KINDS if draw(maybe)})
    if draw(maybe):
        board = replace(board, troubles={"pulse": draw(st.text(max_size=200))})
    missing = draw(st.sets(st.sampled_from(("gateway", "pulse", "latest", "picture", "hours", "opened"))))
    nothing: dict[str, Any] = dict.fromkeys(missing)
    return replace(board, **nothing)
