"""Filters: the same requests whether facts are searched or rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.errors import InvalidInputError
from proxy.store.database import Database, open_database
from proxy.store.log_filter import FactView, LogFilter, RowView, build_condition
from proxy.store.logs import list_logs
from proxy.store.models import AuditLogRow, LogFact
from proxy.store.routes import NewRoute, add_route
from tests.proxy.store.rows import NOW, begin, names, record

FIRST_TIME, LAST_TIME = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def find_rows(database: Database, wanted: LogFilter) -> list[str]:
    query = AuditLogRow.select(AuditLogRow.id).where(build_condition(wanted, RowView()))
    return names(database.fetch(query.order_by(AuditLogRow.request_time)))


def test_a_client_that_closes_its_stream_is_found_by_its_reason_and_is_no_error(database: Database) -> None:
    record(database, "closed", error_message="client_closed", is_stream=True)
    record(database, "failed", second=1, error_message="client_closed", status_code=500)
    record(database, "aborted", second=2, error_message="client_abort")
    for wanted, expected in (
        (LogFilter(errors=True), ["failed", "aborted"]),
        (LogFilter(grep="client_closed"), ["closed", "failed"]),
    ):
        assert find_rows(database, wanted) == expected
        query = LogFact.select(LogFact.id).where(build_condition(wanted, FactView(database)))
        assert names(database.fetch(query.order_by(LogFact.place))) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(), "chat models refused running"),
        (LogFilter(since=NOW + timedelta(seconds=1)), "models refused running"),
        (LogFilter(until=NOW + timedelta(seconds=1)), "chat"),
        (LogFilter(since=FIRST_TIME, until=LAST_TIME), "chat models refused running"),
        (LogFilter(keys=["key_1", "key_9"]), "chat models"),
        (LogFilter(sources=["ci"]), "models"),
        (LogFilter(routes=["rt_1"]), "chat"),
        (LogFilter(routes=["Models"]), "models"),
        (LogFilter(methods=["get"]), "models"),
        (LogFilter(status=["404"]), "refused"),
        (LogFilter(status=["2xx"]), "chat models"),
        (LogFilter(status=["4XX", "201-299"]), "models refused"),
        (LogFilter(path_glob="/v1/*"), "chat models running"),
        (LogFilter(path_glob="/v1/m?dels"), "models"),
        (LogFilter(stream=True), "chat"),
        (LogFilter(stream=False), "models refused running"),
        (LogFilter(min_ms=100), "chat"),
        (LogFilter(errors=True), "refused"),
        (LogFilter(ip="10.0.0.1"), "chat"),
        (LogFilter(ip="0:0:0:0:0:0:0:1"), "models"),
        (LogFilter(grep="NO_ROUTE"), "refused"),
        (LogFilter(grep="50%"), "models"),
        (LogFilter(grep="curl"), "chat"),
        (LogFilter(grep="nothing of this"), ""),
        (LogFilter(grep="v1"), "chat models running"),
        (LogFilter(keys=["key_1"], methods=["POST"]), "chat"),
        (LogFilter(keys=["bad\udcff"]), ""),
    ],
)
def test_a_filter_lets_through_what_it_says(database: Database, wanted: LogFilter, expected: str) -> None:
    add_route(database, NewRoute("/", "h", route_id="rt_2", route_name="Models"), NOW)
    record(
        database,
        "chat",
        api_key="key_1",
        route_id="rt_1",
        is_stream=True,
        response_time_ms=100,
        ip_address="10.0.0.1",
        user_agent="curl/8",
    )
    record(
        database,
        "models",
        second=1,
        api_key="key_1",
        source_path="ci",
        route_id="rt_2",
        method="GET",
        path="/v1/models",
        status_code=201,
        response_time_ms=99,
        ip_address="::1",
        target_url="http://h/50%25",
    )
    record(
        database,
        "refused",
        second=2,
        path="/nowhere",
        status_code=404,
        response_time_ms=1,
        error_message="no_route",
    )
    begin(database, "running", second=3)
    assert names(list_logs(database, wanted, newest_first=False)) == expected.split()
    assert find_rows(database, wanted) == expected.split()


@pytest.mark.parametrize(
    "wanted",
    [
        LogFilter(status=["4x"]),
        LogFilter(status=["40"]),
        LogFilter(status=["599-500"]),
        LogFilter(status=["٤٠٤"]),
        LogFilter(status=[""]),
        LogFilter(ip="localhost"),
        LogFilter(path_glob=""),
        LogFilter(path_glob="*a" * 251),
        LogFilter(grep="x" * 501),
        LogFilter(min_ms=2**63),
        LogFilter(min_ms=-1),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_at_once(database: Database, wanted: LogFilter) -> None:
    with pytest.raises(InvalidInputError):
        list_logs(database, wanted)
    with pytest.raises(InvalidInputError):
        build_condition(wanted, RowView())


def test_more_words_than_a_statement_lists_are_searched_too(database: Database) -> None:
    for number in range(600):
        record(database, f"n{number:03}", second=number, path=f"/user/{number}")
    record(database, "other", second=1000)
    assert len(names(list_logs(database, LogFilter(path_glob="/user/*")))) == 600
    assert names(list_logs(database, LogFilter(path_glob="/user/1?", methods=["POST"]))) == [
        f"n0{number}" for number in range(19, 9, -1)
    ]
