"""Whose file it is, which migrations it has, and its revision."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.store.database import PAGE_BYTES, open_database
from proxy.store.keys import create_key, set_keys_active
from proxy.store.state import (
    check_owner,
    check_vacant,
    find_migrations,
    known_migrations,
    read_history,
    read_revision,
)

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def test_the_migrations_are_found_and_ordered() -> None:
    assert (find_migrations() / "0001_initial.py").is_file()
    assert known_migrations()[0] == "0001_initial"
    assert known_migrations() == sorted(known_migrations())


def test_fastgates_own_file_is_accepted_while_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    with open_database(path, create=True) as database, database.transaction():
        check_owner(path)


def test_fastgates_own_file_is_known_in_the_middle_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    open_database(path, create=True).close()
    # A checkpoint writes the first page, which says how many there are, before it appends the last.
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - PAGE_BYTES)
    check_owner(path)
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(path, create=False)


def test_looking_at_a_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="not FastGate's"):
        check_owner(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_only_an_empty_or_an_own_database_is_migrated() -> None:
    path = Path("f.db")
    with closing(sqlite3.connect(":memory:")) as connection:
        check_vacant(path, connection)
        connection.execute("CREATE TABLE notes (text)")
        with pytest.raises(DatabaseError, match="not FastGate's"):
            check_vacant(path, connection)
        connection.execute("PRAGMA application_id = 0x46474154")
        check_vacant(path, connection)


def test_an_empty_database_has_no_history() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert read_history(connection, Path("f.db")) == {}


def test_the_revision_moves_with_keys_and_only_then(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        first = read_revision(database)
        row, _ = create_key(database, key_prefix="fg_", now=NOW)
        second = read_revision(database)
        assert first < second == read_revision(database)
        set_keys_active(database, False, key_ids=[row["key_id"]], now=NOW)
        assert read_revision(database) > second


def test_a_database_without_its_state_is_damaged(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        with database.transaction():
            database.connection().execute("DELETE FROM gateway_state")
        with pytest.raises(DatabaseError, match="damaged"):
            read_revision(database)
