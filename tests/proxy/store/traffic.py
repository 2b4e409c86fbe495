"""Requests of every kind for the tests of figures, and the figures worked out from them the plain way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from hypothesis import strategies as st

from proxy.store import fact_scan
from proxy.store.database import Database
from proxy.store.facts import WordBook, fact_of, write_facts
from proxy.store.models import Row
from tests.proxy.store.rows import NOW

SPAN_US = 4 * 3_600_000_000  # of the requests, around NOW
SOURCES = (None, "ci", "app")
PATHS = ("/v1/chat", "/v1/models", "/other")


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def requests(draw: st.DrawFn) -> Row:
    """A request as it may be in the audit trail: ended, failed, cut, in flight or imported with gaps."""
    began = NOW + timedelta(microseconds=draw(st.integers(-SPAN_US // 2, SPAN_US // 2)))
    ttfb_ms = draw(maybe(st.integers(0, 40)))
    return {
        "request_time": began,
        "api_key": draw(st.sampled_from((None, "key_1", "key_2"))),
        "source_path": draw(st.sampled_from(SOURCES)),
        "route_id": draw(st.sampled_from((None, "rt_1"))),
        "method": draw(st.sampled_from(("GET", "POST"))),
        "path": draw(st.sampled_from(PATHS)),
        "ip_address": draw(st.sampled_from((None, "::1"))),
        "status_code": draw(maybe(st.sampled_from((200, 204, 302, 400, 429, 502, 599)))),
        "error_message": draw(maybe(st.sampled_from(("client_abort", "upstream_timeout", "client_closed")))),
        "is_stream": draw(st.booleans()),
        "response_time_ms": draw(maybe(st.integers(0, 50) | st.integers(0, 10**7))),
        "first_response_time": None if ttfb_ms is None else began + timedelta(milliseconds=ttfb_ms),
        "gateway_ms": draw(maybe(st.integers(0, 5000).map(lambda us: us / 1000))),
        "request_size": draw(maybe(st.integers(0, 2**40))),
        "response_size": draw(maybe(st.integers(0, 2**40))),
    }


traffic = st.lists(requests(), max_size=30)


@contextmanager
def recorded(database: Database, rows: Sequence[Row], rows_per_reading: int) -> Iterator[None]:
    """Let the database hold these requests and no others, and have so many of them read at once."""
    connection = database.connection()
    before, fact_scan.ROWS_PER_READING = fact_scan.ROWS_PER_READING, rows_per_reading
    try:
        with database.transaction():
            connection.execute("DELETE FROM log_facts")
            connection.execute("DELETE FROM log_words")
            facts = [fact_of({**row, "id": f"log_{turn}"}, turn) for turn, row in enumerate(rows)]
            write_facts(database, WordBook(), facts)
        yield
    finally:
        fact_scan.ROWS_PER_READING = before


def between(rows: Sequence[Row], since: datetime, until: datetime) -> list[Row]:
    return [row for row in rows if since <= row["request_time"] < until]


def is_error(row: Row) -> bool:
    return (row["status_code"] or 0) >= 400 or row["error_message"] not in (None, "client_closed")


def is_in_flight(row: Row) -> bool:
    return row["response_time_ms"] is None and not is_error(row)


def rank(values: Sequence[Any], percent: int) -> Any:
    """Return a percentile: the least value that so many percent of all do not exceed."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1] if values else None


def rate(rows: Sequence[Row]) -> float | None:
    ended = [row for row in rows if not is_in_flight(row)]
    good = [row for row in ended if not is_error(row)]
    return round(len(good) / len(ended) * 100, 2) if ended else None


def figures_of(rows: Sequence[Row]) -> Row:
    """Return the figures of requests, as `Figures` has them."""

    def values(name: str) -> list[Any]:
        return [row[name] for row in rows if row[name] is not None]

    took, gateway = values("response_time_ms"), values("gateway_ms")
    ttfb = [
        round((row["first_response_time"] - row["request_time"]).total_seconds() * 1000)
        for row in rows
        if row["first_response_time"] is not None
    ]
    return {
        "requests": len(rows),
        "errors": sum(map(is_error, rows)),
        "success_rate": rate(rows),
        "in_flight": sum(map(is_in_flight, rows)),
        "streams": sum(values("is_stream")),
        "bytes_in": sum(values("request_size")),
        "bytes_out": sum(values("response_size")),
        "avg_ms": round(sum(took) / len(took), 2) if took else None,
        **{f"p{percent}_ms": rank(took, percent) for percent in (50, 95, 99)},
        **{f"ttfb_p{percent}_ms": rank(ttfb, percent) for percent in (50, 95, 99)},
        **{f"gateway_p{percent}_ms": rank(gateway, percent) for percent in (50, 95, 99)},
        "status_codes": dict(sorted(Counter(values("status_code")).items())),
    }


def ranking_of(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    """Return the requests by what they have in a column, without those that have nothing there."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row[name] is not None:
            groups.setdefault(row[name], []).append(row)
    return groups
