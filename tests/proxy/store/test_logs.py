"""Reading the audit trail: lists, and one request whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import NotFoundError
from proxy.ids import to_uuid
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import count_logs, get_log, list_logs
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
    assert find(database, limit=2, newest_first=False) == ["c", "d"]
    assert find(database, newest_first=False) == ["a", "b", "c", "d"]
    assert find(database, limit=2**70) == find(database, limit=2**70, newest_first=False)[::-1]


def test_a_list_goes_on_before_or_after_a_request(database: Database) -> None:
    for index, name in enumerate("abcdef"):
        record(database, name, second=index // 2)  # two and two of the same microsecond
    everything = find(database)
    assert sorted(everything) == list("abcdef")
    oldest, newest = f"log_{everything[-1]}", f"req_{everything[0]}"
    assert find(database, before=newest, limit=2) == everything[1:3]
    assert find(database, after=oldest, limit=2) == everything[3:5]
    assert find(database, after=oldest, limit=2, newest_first=False) == everything[4:2:-1]
    assert find(database, after=oldest, before=newest, limit=2) == everything[1:3]
    assert find(database, before=oldest) == find(database, after=newest) == []
    with pytest.raises(NotFoundError):
        list_logs(database, EVERYTHING, before="log_nosuch")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 5))
def test_pages_in_either_direction_hold_every_request_once(
    database: Database, seconds: list[int], size: int
) -> None:
    with database.transaction():
        for table in ("audit_logs", "log_facts"):
            database.connection().execute(f"DELETE FROM {table}")
    for number, second in enumerate(seconds):
        record(database, f"{number}", second=second)
    everything, backwards, forwards = find(database), list[str](), list[str]()
    if everything:
        backwards, forwards = everything[:1], everything[-1:]
    while page := find(database, before=f"log_{backwards[-1]}", limit=size) if backwards else []:
        backwards += page
    while page := find(database, after=f"log_{forwards[0]}", limit=size) if forwards else []:
        forwards = page + forwards
    assert backwards == forwards == everything
    assert len(everything) == len(seconds)


def test_requests_are_counted_as_they_are_listed(database: Database) -> None:
    assert count_logs(database, EVERYTHING) == 0
    record(database, "a")
    record(database, "b", second=1, status_code=500)
    assert count_logs(database, EVERYTHING) == 2
    assert count_logs(database, LogFilter(errors=True)) == 1


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


ULID = "01m8mcc6tb7xtvgmd04x7pxqe1"


@pytest.mark.parametrize("spell", [str, str.upper], ids=["as sent", "in capitals"])
def test_a_request_is_found_by_the_uuid_that_its_backend_was_sent(
    database: Database, spell: Callable[[str], str]
) -> None:
    """Issue 11, row 20."""
    record(database, ULID)
    record(database, "other", second=1)
    uuid = spell(to_uuid(ULID))
    assert get_log(database, uuid)["id"] == f"log_{ULID}"
    assert find(database, after=uuid) == ["other"]
    for ref in (uuid[:-1], uuid.replace("-", ""), f"req_{uuid}", str(UUID(int=0))):
        with pytest.raises(NotFoundError):
            get_log(database, ref)


@pytest.mark.parametrize("given", ["from-the-proxy", "req_01aryz6s41tsv4rrffq69g5fav", to_uuid(ULID)])
def test_a_request_is_found_by_the_id_that_a_trusted_proxy_gave_it(database: Database, given: str) -> None:
    for second, name in enumerate("abc"):
        record(database, name, second=second, request_id=given if name != "c" else "req_c")
    assert get_log(database, given)["id"] == "log_b"  # the newest
    assert get_log(database, "log_a")["request_id"] == given
    assert find(database, after=given) == ["c"]


def test_no_id_has_every_row_looked_at(database: Database) -> None:
    statements: list[str] = []
    database.connection().set_trace_callback(statements.append)
    with pytest.raises(NotFoundError):
        get_log(database, "req_nosuch")
    database.connection().set_trace_callback(None)
    plans = [
        str([tuple(row) for row in database.connection().execute(f"EXPLAIN QUERY PLAN {statement}")])
        for statement in statements
        if statement.startswith("SELECT")
    ]
    assert len(plans) == 3
    assert not any("SCAN" in plan for plan in plans), plans


def test_requests_of_one_microsecond_are_all_there(database: Database) -> None:
    for name in "abc":
        record(database, name)
    assert sorted(find(database)) == ["a", "b", "c"]
