"""Who asked, in figures: the requests of each source, from the facts alone."""

from __future__ import annotations

from typing import Any

from peewee import Case, fn

from proxy.clock import from_us
from proxy.store.database import Database
from proxy.store.log_filter import FactView, LogFilter, build_condition
from proxy.store.models import PLACES_PER_US, LogFact, LogWord, Row


def list_log_sources(database: Database, wanted: LogFilter) -> list[Row]:
    """Return of each source `source_path`, `requests`, `errors` and `last_request`, the busiest first.

    Errors are what the filter of that name lets through. Requests without a known key have none: None.
    """
    with database.snapshot():
        view = FactView(database)
        failed = build_condition(LogFilter(errors=True), view)
        query: Any = LogFact.select(
            LogFact.source_n,
            fn.COUNT(LogFact.place),
            fn.SUM(Case(None, [(failed, 1)], 0)),
            fn.MAX(LogFact.place),
        )
        grouped = query.where(build_condition(wanted, view)).group_by(LogFact.source_n)
        figures = list(grouped.bind(database.peewee).tuples())
        words = LogWord.select(LogWord.n, LogWord.word).where(LogWord.kind == "source")
        names = {row["n"]: row["word"] for row in database.fetch(words)}
    rows = [
        {
            "source_path": names.get(number),
            "requests": requests,
            "errors": errors,
            "last_request": from_us(place // PLACES_PER_US),
        }
        for number, requests, errors, place in figures
    ]
    return sorted(rows, key=lambda row: (-row["requests"], row["source_path"] or ""))
