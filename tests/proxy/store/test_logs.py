"""Reading the audit trail: lists, and one request whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import NotFoundError
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import get_log, list_logs
from tests.proxy.store.rows import NOW, begin, names, record

EVERYTHING = LogFilter()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        yield database


def find(database: Database, **options: Any) -> list[str]:
    return names(list_logs(database, EVERYTHING, **options))


def test_lists_are_newest_first_and_limited(database: Database) -> None:
    for index, name in enumerate("abcd"):
        record(database, name, second=index)
    assert find(database) == ["d", "c", "b", "a"]
    assert find(database, limit=2) == ["d", "c"]
    assert find(database, limit=2, newest_first=False) == ["a", "b"]
    assert find(database, limit=2**70) == ["d", "c", "b", "a"]


def test_a_list_does_without_headers_and_bodies(database: Database) -> None:
    record(database, "a", request_headers=[["x", "y"]], response_body="{}", is_stream=True)
    (row,) = list_logs(database, EVERYTHING)
    assert list(row)[:4] == ["id", "request_id", "api_key", "source_path"]
    assert not {"request_headers", "request_body", "response_headers", "response_body"} & set(row)
    assert row["is_stream"] is True
    assert row["request_time"] == NOW


def test_one_request_is_found_whole_by_either_id(database: Database) -> None:
    record(database, "a", request_headers=[["x", "y"]], request_body="hello")
    row = get_log(database, "log_a")
    assert row == get_log(database, "req_a")
    assert (row["request_headers"], row["request_body"]) == ([["x", "y"]], "hello")
    for ref in ("a", "", "log_", "bad\udcff"):
        with pytest.raises(NotFoundError):
            get_log(database, ref)


def test_a_list_has_headers_and_bodies_where_they_are_asked_for(database: Database) -> None:
    record(database, "a", request_headers=[["x", "y"]], response_body="{}")
    (headers,) = list_logs(database, EVERYTHING, headers=True)
    (bodies,) = list_logs(database, EVERYTHING, bodies=True)
    assert (headers["request_headers"], "response_body" in headers) == ([["x", "y"]], False)
    assert (bodies["response_body"], "request_headers" in bodies) == ("{}", False)


def test_an_imported_request_is_found_by_the_id_that_it_had(database: Database) -> None:
    record(database, "new", request_id="req_076695e686de", writer_id=None)
    begin(database, "own")
    assert get_log(database, "req_076695e686de")["id"] == "log_new"
    assert get_log(database, "req_own")["id"] == "log_own"


def test_requests_of_one_microsecond_are_all_there(database: Database) -> None:
    for name in "abc":
        record(database, name)
    assert sorted(find(database)) == ["a", "b", "c"]
