"""A source has the database that is at its path now, whatever was there before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from fastgate_cli.dashboard.source import Source
from proxy.errors import DatabaseError
from proxy.store.database import Database, open_database
from proxy.store.log_filter import LogFilter
from proxy.store.logs import list_logs
from tests.proxy.store.rows import names, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f.db"
    make(path, "first")
    return path


@pytest.fixture
def source(path: Path) -> Iterator[Source]:
    source = Source(path, partial(open_database, path, create=False))
    yield source
    source.drop()


def make(path: Path, name: str) -> None:
    with open_database(path, create=True) as database:
        record(database, name)


def listed(database: Database) -> list[str]:
    return names(list_logs(database, LogFilter()))


def test_it_is_opened_once(source: Source) -> None:
    assert source.connect() is source.connect()
    assert listed(source.connect()) == ["first"]


def test_what_is_written_meanwhile_is_seen(source: Source, path: Path) -> None:
    source.connect()
    with open_database(path, create=False) as database:
        record(database, "second", second=1)
    assert listed(source.connect()) == ["second", "first"]


def test_another_file_in_its_place_is_the_database_from_then_on(source: Source, path: Path) -> None:
    before = source.connect()
    other = path.with_name("other.db")
    make(other, "other")
    other.replace(path)
    assert source.connect() is not before
    assert listed(source.connect()) == ["other"]


def test_one_that_is_gone_is_an_error_until_it_is_back(source: Source, path: Path) -> None:
    source.connect()
    path.rename(path.with_name("away.db"))
    for _ in range(2):
        with pytest.raises(DatabaseError, match="there is no database"):
            source.connect()
    make(path, "again")
    assert listed(source.connect()) == ["again"]


def test_a_line_about_it_is_short(source: Source, path: Path) -> None:
    assert source.shorten(f"{path} is locked") == "f.db is locked"


def test_after_it_is_dropped_it_is_opened_anew(source: Source) -> None:
    before = source.connect()
    source.drop()
    source.drop()
    assert source.connect() is not before


def test_a_file_that_may_only_be_read_is_opened_anew_when_it_has_changed(path: Path) -> None:
    def open_for_reading() -> Database:
        return Database(path, query="mode=ro&immutable=1")

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    source = Source(path, open_for_reading)
    before = source.connect()
    assert source.connect() is before
    path.touch()
    assert source.connect() is not before
    source.drop()
