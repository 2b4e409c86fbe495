"""The whole check: everything that is wrong is found in one run, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.store.checking import FAULTS_PER_CHECK_MAX, check_database
from proxy.store.database import PAGE_BYTES, Database, open_database
from proxy.store.downgrade import choose_downgrade, downgrade
from proxy.store.row_checks import Fault
from proxy.store.state import known_migrations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    open_database(tmp_path / "f.db", create=True).close()
    return tmp_path / "f.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def overwrite_page(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)


def test_a_fresh_database_is_sound_and_stays_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    assert check_database(path) == []
    assert path.read_bytes() == before


def test_a_database_that_went_back_and_forth_is_sound(path: Path) -> None:
    with open_database(path, create=False) as database:
        downgrade(database, choose_downgrade(database, known_migrations()[0]))
    pending = check_database(path)
    assert {fault.check for fault in pending} == {"migrations"}
    assert [fault.place for fault in pending] == known_migrations()[1:]
    open_database(path, create=True).close()
    assert check_database(path) == []


def test_faults_of_every_kind_are_found_in_one_run(path: Path) -> None:
    execute(
        path,
        "DROP INDEX api_keys_source_path",
        "DROP TABLE journal_segments",
        "UPDATE schema_migration SET applied = 'x' WHERE name LIKE '0001%'",
        "INSERT INTO api_keys (key_id, key_value, created_at) VALUES ('k', 'clear', 'x')",
    )
    faults = check_database(path)
    assert {fault.check for fault in faults} == {"migrations", "schema", "rows"}
    assert all(fault.hint and "\n" not in fault.message + fault.hint for fault in faults)
    by_place = {fault.message: fault.hint for fault in faults}
    assert by_place["the index api_keys_source_path is missing"].startswith("make it again: CREATE INDEX")
    assert "backup" in by_place["the table journal_segments is missing"]


def test_an_index_is_mended_by_the_statement_that_is_given(path: Path) -> None:
    execute(path, "DROP INDEX api_keys_source_path", "DROP TRIGGER proxy_routes_update")
    for fault in check_database(path):
        execute(path, fault.hint.removeprefix("make it again: "))
    assert check_database(path) == []


@pytest.mark.parametrize("part", ["api_keys", "api_keys_source_path"])
def test_damage_is_told_and_does_not_end_the_check(path: Path, part: str) -> None:
    overwrite_page(path, part)
    execute(path, "DELETE FROM gateway_state")
    faults = check_database(path)
    assert "integrity" in {fault.check for fault in faults}
    assert "it has lost its row" in {fault.message for fault in faults}


def test_a_file_that_is_cut_short_is_told(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
    assert [(fault.check, "damaged" in fault.message) for fault in check_database(path)] == [
        ("integrity", True)
    ]


@pytest.mark.parametrize("content", [None, b"not a database " * 300])
def test_what_is_no_database_of_ours_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "f.db"
    if content is None:
        execute(path, "CREATE TABLE notes (text)")
    else:
        path.write_bytes(content)
    with pytest.raises(DatabaseError):
        check_database(path)


def test_many_faults_of_one_kind_are_bounded(path: Path) -> None:
    rows = ", ".join(f"('k{n}', 'v{n}', 'x')" for n in range(FAULTS_PER_CHECK_MAX + 50))
    execute(path, f"INSERT INTO api_keys (key_id, key_value, created_at) VALUES {rows}")
    faults = [fault for fault in check_database(path) if "is not a time" in fault.message]
    assert len(faults) == FAULTS_PER_CHECK_MAX
    assert "there are more like these" in {fault.message for fault in check_database(path)}


def test_a_migration_of_a_newer_program_is_told(path: Path) -> None:
    execute(path, "INSERT INTO schema_migration (name, applied) VALUES ('0999_future', '2030-01-01')")
    assert [(fault.check, fault.place) for fault in check_database(path)] == [("migrations", "0999_future")]


def test_an_empty_file_has_everything_pending(tmp_path: Path) -> None:
    (tmp_path / "f.db").touch()
    assert [fault.place for fault in check_database(tmp_path / "f.db")] == known_migrations()


def test_an_interrupt_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_long(database: Database) -> Iterator[Fault]:
        # What Ctrl-C does to a statement that runs: the handler asks SQLite to stop.
        database.connection().set_progress_handler(lambda: 1, 1)
        query = "SELECT count(*) FROM sqlite_master AS a, sqlite_master AS b"
        yield Fault("rows", "", str(database.connection().execute(query).fetchone()), "")

    monkeypatch.setattr("proxy.store.checking.check_values", check_long)
    with pytest.raises(KeyboardInterrupt):
        check_database(path)
