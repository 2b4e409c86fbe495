"""What failures are told as: real ones of SQLite and of the operating system."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import peewee
import pytest

from proxy.errors import DatabaseError
from proxy.store.failures import translating, translating_files


def run(path: Path, statements: tuple[str, ...], query: str) -> None:
    with translating(path), closing(sqlite3.connect(f"{path.as_uri()}?{query}", uri=True, timeout=0)) as to:
        for statement in statements:
            to.execute(statement)


def fail(path: Path, *statements: str, query: str = "mode=rwc") -> DatabaseError:
    """Return what it is told as that one of these statements fails."""
    with pytest.raises(DatabaseError) as caught:
        run(path, statements, query)
    assert str(path) in caught.value.message
    return caught.value


def test_a_lock_is_another_programs(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN IMMEDIATE")
        error = fail(path, "INSERT INTO t VALUES (1)")
    assert ("locked by another program" in error.message, "try again" in error.hint) == (True, True)


def test_what_may_only_be_read_names_who_may_write(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")
    error = fail(path, "INSERT INTO t VALUES (1)", query="mode=ro")
    assert ("cannot be written" in error.message, str(path) in error.hint) == (True, True)


def test_a_file_that_is_missing_cannot_be_opened(tmp_path: Path) -> None:
    assert "cannot be opened" in fail(tmp_path / "none.db", "SELECT 1", query="mode=ro").message


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"hello" * 200, "is not a database"), (b"SQLite format 3\x00" + b"\xff" * 5000, "is not a database")],
)
def test_a_file_that_is_no_database_has_been_left_alone(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "f.db"
    path.write_bytes(content)
    assert told in fail(path, "SELECT * FROM sqlite_master").message
    assert path.read_bytes() == content


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    error = fail(
        path,
        "CREATE TABLE t (a)",
        "PRAGMA max_page_count = 2",
        "INSERT INTO t VALUES (zeroblob(100000))",
    )
    assert ("the disk is full" in error.message, error.hint) == (True, "make room on the disk")


def test_any_other_failure_is_told_as_it_is_also_through_peewee(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    assert "no such table: gone" in fail(path, "SELECT * FROM gone").message
    database = peewee.SqliteDatabase(str(path))
    with (
        closing(database),
        pytest.raises(DatabaseError, match="no such table: gone") as caught,
        translating(path),
    ):
        list(peewee.Table("gone", ("a",)).bind(database).select())
    assert caught.value.hint == "run 'fastgate db status'"


def test_what_the_operating_system_refuses_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "f.db"
    with pytest.raises(DatabaseError, match="No such file") as caught, translating_files(path):
        path.open()
    assert str(path) in caught.value.message
    assert str(path) in caught.value.hint


def test_what_is_no_failure_of_a_database_passes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), translating(tmp_path), translating_files(tmp_path):
        _ = 1 / 0
