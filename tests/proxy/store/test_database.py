"""Opening, creating and refusing databases, on real files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import ConflictError, DatabaseError
from proxy.store import database as database_module
from proxy.store.database import (
    Database,
    migration_status,
    open_database,
    open_for_reading,
    upgrade,
)
from proxy.store.keys import create_key, list_keys
from proxy.store.models import ApiKeyRow, GatewayState
from proxy.store.state import known_migrations

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
CREATE_KEYS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from proxy.store.database import open_database
from proxy.store.keys import create_key
sys.stdin.read(1)
with open_database(Path(sys.argv[1]), create=True) as database:
    for _ in range(5):
        create_key(database, key_prefix="fg_", now=datetime.now(UTC))
"""
KILLED_HALF_WAY = """
import os, sys
from pathlib import Path
from proxy.store.database import open_database
with open_database(Path(sys.argv[1]), create=True) as database, database.transaction():
    database.connection().execute("INSERT INTO api_keys (key_id, key_value) VALUES ('half', 'written')")
    os._exit(9)
"""


def snapshot_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_sqlite(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def create_twice(database: Database) -> None:
    with database.transaction():
        for _ in range(2):
            create_key(database, key_prefix="fg_", value="the-same-key", now=NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "fastgate.db"


@pytest.fixture
def existing(path: Path) -> Path:
    open_database(path, create=True).close()
    return path


def test_reading_what_does_not_exist_says_so_and_creates_nothing(path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database") as caught:
        open_database(path, create=False)
    assert "fastgate init" in caught.value.hint
    assert not path.parent.exists()


def test_creating_applies_every_migration(path: Path) -> None:
    with open_database(path, create=True) as database:
        status = migration_status(database)
        assert [row["name"] for row in status] == known_migrations()
        assert all(abs(row["applied"] - datetime.now(UTC)).total_seconds() < 60 for row in status)
        assert database.connection().execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        with open_database(path, create=True) as database:
            create_key(database, key_prefix="fg_", now=NOW)
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
            folder_mode = path.parent.stat().st_mode & 0o777
    finally:
        os.umask(umask)
    assert modes == {"fastgate.db": 0o600, "fastgate.db-wal": 0o600, "fastgate.db-shm": 0o600}
    assert folder_mode == 0o700


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_database(tmp_path / "f.db", create=True).close()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_an_empty_file_counts_as_new_and_becomes_private(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o644)
    with pytest.raises(DatabaseError, match="no database"):
        open_database(path, create=False)
    assert path.stat().st_size == 0
    with open_database(path, create=True) as database:
        assert list_keys(database, now=NOW) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_many_threads_may_create_at_once(path: Path) -> None:
    barrier, failures = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        try:
            with open_database(path, create=True) as database:
                create_key(database, key_prefix="fg_", now=NOW)
        except DatabaseError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_database(path, create=False) as database:
        assert len(list_keys(database, now=NOW)) == 8
    assert [file.name for file in path.parent.iterdir()] == ["fastgate.db"]


def test_two_processes_may_create_at_once(path: Path) -> None:
    command = [sys.executable, "-c", CREATE_KEYS, str(path)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, env=environ) for _ in range(2)]
    for process in processes:
        assert process.stdin
        process.stdin.close()
    assert [process.wait(20) for process in processes] == [0, 0]
    with open_database(path, create=False) as database:
        assert len(list_keys(database, now=NOW)) == 10


def test_a_process_killed_half_way_leaves_nothing_half_written(path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", KILLED_HALF_WAY, str(path)], env=environ, check=False)
    assert killed.returncode == 9
    with open_database(path, create=True) as database:
        assert list_keys(database, now=NOW) == []


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("content", [b"hello", b"x" * 5000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_untouched(
    tmp_path: Path, content: bytes, create: bool
) -> None:
    (tmp_path / "f.db").write_bytes(content)
    before = snapshot_folder(tmp_path)
    with pytest.raises(DatabaseError):
        open_database(tmp_path / "f.db", create=create, allow_pending=True)
    assert snapshot_folder(tmp_path) == before


@pytest.mark.parametrize("create", [True, False])
def test_the_predecessors_database_is_refused_untouched(tmp_path: Path, create: bool) -> None:
    path = make_sqlite(
        tmp_path / "old.db",
        "CREATE TABLE api_keys (key_id VARCHAR(50) PRIMARY KEY, key_value VARCHAR(100))",
        "CREATE TABLE audit_logs (id VARCHAR(50) PRIMARY KEY)",
        "INSERT INTO api_keys VALUES ('k', 'fg_plain')",
    )
    before = snapshot_folder(tmp_path)
    with pytest.raises(DatabaseError) as caught:
        open_database(path, create=create)
    assert f"fastgate db import {path}" in caught.value.hint
    assert snapshot_folder(tmp_path) == before


@pytest.mark.parametrize("create", [True, False])
def test_a_foreign_database_is_refused_untouched(tmp_path: Path, create: bool) -> None:
    path = make_sqlite(tmp_path / "f.db", "PRAGMA application_id = 77", "CREATE TABLE notes (text)")
    before = snapshot_folder(tmp_path)
    with pytest.raises(DatabaseError, match="not FastGate's"):
        open_database(path, create=create)
    assert snapshot_folder(tmp_path) == before


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_schema_is_refused_untouched(existing: Path, create: bool) -> None:
    make_sqlite(existing, "INSERT INTO schema_migration (name, applied) VALUES ('0999_future', '2030-01-01')")
    before = snapshot_folder(existing.parent)
    with pytest.raises(DatabaseError, match=r"newer FastGate.*0999_future"):
        open_database(existing, create=create, allow_pending=True)
    assert snapshot_folder(existing.parent) == before


@pytest.mark.parametrize("table", ["audit_logs", "schema_migration"])
def test_a_database_that_lost_a_table_is_damaged(existing: Path, table: str) -> None:
    make_sqlite(existing, f"DROP TABLE {table}")
    with pytest.raises(DatabaseError, match=rf"damaged.*{table}"):
        open_database(existing, create=True)


def test_a_database_cut_short_is_damaged(existing: Path) -> None:
    os.truncate(existing, 4096)
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(existing, create=False)
    assert existing.stat().st_size == 4096


def copy_migrations(folder: Path) -> None:
    """Give a folder the migrations that there are."""
    for script in (ROOT / "migrations").glob("*.py"):
        (folder / script.name).write_bytes(script.read_bytes())


def test_pending_migrations_are_refused_shown_and_applied(
    existing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    copy_migrations(folder)
    (folder / "0009_more.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE more (x)')\n"
    )
    monkeypatch.setattr("proxy.store.state.find_migrations", lambda: folder)
    monkeypatch.setattr(database_module, "find_migrations", lambda: folder)

    with pytest.raises(DatabaseError, match="pending") as caught:
        open_database(existing, create=False)
    assert "fastgate db upgrade" in caught.value.hint
    with open_database(existing, create=False, allow_pending=True) as database:
        assert [bool(row["applied"]) for row in migration_status(database)][-2:] == [True, False]
        assert upgrade(database) == ["0009_more"]
        assert upgrade(database) == []
    open_database(existing, create=False).close()


def test_an_upgrade_keeps_the_mode_of_the_file(
    existing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing.chmod(0o640)
    folder = tmp_path / "migrations"
    folder.mkdir()
    copy_migrations(folder)
    (folder / "0009_more.py").write_text("def up(migrator, db):\n    pass\n")
    monkeypatch.setattr("proxy.store.state.find_migrations", lambda: folder)
    monkeypatch.setattr(database_module, "find_migrations", lambda: folder)
    open_database(existing, create=True).close()
    assert existing.stat().st_mode & 0o777 == 0o640


def test_a_migration_that_fails_changes_nothing(
    existing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    copy_migrations(folder)
    (folder / "0009_bad.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE more (x)')\n    db.execute_sql('oops')\n"
    )
    monkeypatch.setattr("proxy.store.state.find_migrations", lambda: folder)
    monkeypatch.setattr(database_module, "find_migrations", lambda: folder)
    with pytest.raises(DatabaseError, match="oops"):
        open_database(existing, create=True)
    with open_database(existing, create=False, allow_pending=True) as database:
        tables = database.connection().execute("SELECT name FROM sqlite_master WHERE name = 'more'")
        assert tables.fetchall() == []


def test_a_folder_or_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="not a file"):
        open_database(tmp_path, create=True)
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError):
        open_database(tmp_path / "file" / "f.db", create=True)
    with pytest.raises(DatabaseError, match="no database"):
        open_database(tmp_path / "file" / "f.db", create=False)


@pytest.mark.parametrize("name", ["with space.db", "a?b#c%20.db", "ключ.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    open_database(tmp_path / name, create=True).close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_lock_that_lasts_is_told(existing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_SECONDS", 0.05)
    with open_database(existing, create=False) as database, closing(sqlite3.connect(existing)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked") as caught, database.transaction():
            pass
        assert caught.value.hint
        assert list_keys(database, now=NOW) == []


def test_a_transaction_undoes_everything_on_an_error(existing: Path) -> None:
    with open_database(existing, create=False) as database:
        with pytest.raises(ConflictError):
            create_twice(database)
        assert list_keys(database, now=NOW) == []


def test_two_databases_in_one_process_do_not_mix(tmp_path: Path) -> None:
    with (
        open_database(tmp_path / "one.db", create=True) as one,
        open_database(tmp_path / "two.db", create=True) as two,
    ):
        create_key(one, key_prefix="fg_", now=NOW)
        assert (len(list_keys(one, now=NOW)), len(list_keys(two, now=NOW))) == (1, 0)


def test_a_database_can_be_used_from_several_threads(existing: Path) -> None:
    counts: list[int] = []

    def read(database: Database) -> None:
        counts.append(len(list_keys(database, now=NOW)))
        database.close()

    with open_database(existing, create=False) as database:
        create_key(database, key_prefix="fg_", now=NOW)
        thread = threading.Thread(target=read, args=[database])
        thread.start()
        thread.join()
        assert len(list_keys(database, now=NOW)) == 1
    assert counts == [1]


def test_a_database_that_is_deleted_is_not_made_again(existing: Path) -> None:
    with open_database(existing, create=False) as database:
        database.close()
        existing.unlink()
        with pytest.raises(DatabaseError, match="cannot be opened"):
            list_keys(database, now=NOW)
    assert not existing.exists()


def test_durable_commits_are_flushed_to_the_disk(existing: Path) -> None:
    for durable, level in ((False, 1), (True, 2)):
        with open_database(existing, create=False, durable=durable) as database:
            assert database.connection().execute("PRAGMA synchronous").fetchone() == (level,)


def test_a_rollback_journal_database_is_taken_to_wal(existing: Path) -> None:
    make_sqlite(existing, "PRAGMA journal_mode = DELETE")
    with open_database(existing, create=False) as database:
        assert database.connection().execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("read_only", ["file", "folder"])
def test_what_cannot_be_written_can_be_read(
    existing: Path, monkeypatch: pytest.MonkeyPatch, read_only: str
) -> None:
    # Asked instead of set: the tests may run as root, who may write anything.
    target = existing if read_only == "file" else existing.parent
    monkeypatch.setattr("os.access", lambda path, _: path != target)
    before = snapshot_folder(existing.parent)
    with open_database(existing, create=False) as database:
        assert list_keys(database, now=NOW) == []
        with pytest.raises(DatabaseError, match="cannot be written"):
            create_key(database, key_prefix="fg_", now=NOW)
    assert snapshot_folder(existing.parent) == before
    with pytest.raises(DatabaseError, match="cannot be written"):
        open_database(existing, create=True)


def test_the_migration_runner_is_not_loaded_to_read(existing: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from proxy.store.database import open_database\n"
        "open_database(Path(sys.argv[1]), create=False).close(); assert 'playhouse' not in sys.modules"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(existing)], env=environ, check=True)


def test_reading_alone_makes_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fastgate.db"
    with pytest.raises(DatabaseError, match="no database"):
        open_for_reading(path)
    open_database(path, create=True).close()
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    with open_for_reading(path) as database:
        assert not database.is_writable
        assert migration_status(database)
        with pytest.raises(DatabaseError), database.transaction():
            ApiKeyRow.delete().execute(database.peewee)
        assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def test_reading_alone_sees_what_a_writer_has_committed(tmp_path: Path) -> None:
    path = tmp_path / "fastgate.db"
    with open_database(path, create=True) as writer:
        GatewayState.update(revision=77).execute(writer.peewee)
        with open_for_reading(path) as database:
            assert database.fetch(GatewayState.select(GatewayState.revision)) == [{"revision": 77}]
