"""The figures of each source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from proxy.store.database import open_database
from proxy.store.log_filter import LogFilter
from proxy.store.log_sources import list_log_sources
from tests.proxy.store.rows import NOW, begin, record


def test_each_source_has_its_requests_errors_and_last_request(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        record(database, "a", second=1, source_path="ci")
        record(database, "b", second=3, source_path="ci", status_code=500)
        begin(database, "c", second=2, source_path="ci", error_message="interrupted")
        begin(database, "d", second=9, source_path="app")
        record(database, "e", second=5, status_code=401, error_message="missing_api_key")
        assert list_log_sources(database, LogFilter()) == [
            row("ci", 3, 2, 3),
            row(None, 1, 1, 5),
            row("app", 1, 0, 9),
        ]
        since = LogFilter(since=NOW + timedelta(seconds=3))
        assert [(found["source_path"], found["requests"]) for found in list_log_sources(database, since)] == [
            (None, 1),
            ("app", 1),
            ("ci", 1),
        ]
        assert list_log_sources(database, LogFilter(sources=["nobody"])) == []


def row(source: str | None, requests: int, errors: int, second: int) -> dict[str, object]:
    moment = NOW + timedelta(seconds=second)
    return {"source_path": source, "requests": requests, "errors": errors, "last_request": moment}
