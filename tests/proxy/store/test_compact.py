"""Compacting gives room back, changes nothing else, and can be broken off."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.store.compact import check_space, compact, find_temporary_folder, measure_room
from proxy.store.database import Database, open_database
from proxy.store.keys import create_key, list_keys
from tests.proxy.store.rows import NOW

Usage = namedtuple("Usage", "total used free")
FILL = """
    INSERT INTO audit_logs (id, request_id, method, path, request_time, request_body)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    SELECT 'log_' || i, 'req_' || i, 'GET', '/', '2026-01-31T08:00:00.000000+08:00', hex(zeroblob(50)) FROM n
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "data" / "f.db", create=True) as database:
        create_key(database, key_prefix="fg_", source="kept", now=NOW)
        with database.transaction():
            database.connection().execute(FILL)
        yield database


def delete_most(database: Database) -> None:
    with database.transaction():
        database.connection().execute("DELETE FROM audit_logs WHERE id <> 'log_7'")


def sound(database: Database) -> bool:
    return bool(database.connection().execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_the_room_of_deleted_rows_goes_back_to_the_disk(database: Database) -> None:
    delete_most(database)
    room = measure_room(database)
    assert room.free > room.size / 4
    mode = database.path.stat().st_mode
    after = compact(database)
    assert after == database.path.stat().st_size
    assert after <= room.size - room.free
    assert measure_room(database).free == 0
    assert database.path.stat().st_mode == mode
    assert [row["source_path"] for row in list_keys(database, now=NOW)] == ["kept"]
    assert database.connection().execute("SELECT id FROM audit_logs").fetchall() == [("log_7",)]
    database.close()
    open_database(database.path, create=False).close()  # still FastGate's


def test_ctrl_c_is_heard_and_leaves_the_database_as_it_was(database: Database) -> None:
    begun = threading.Event()

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    database.connection().set_trace_callback(lambda _: begun.set())
    with pytest.raises(KeyboardInterrupt):
        compact(database)
    thread.join()
    assert sound(database)
    assert database.connection().execute("SELECT COUNT(*) FROM audit_logs").fetchone() == (60_000,)
    assert compact(database) > 0


def test_it_waits_for_whoever_is_writing(database: Database) -> None:
    writing, begun = threading.Event(), threading.Event()

    def write() -> None:
        with open_database(database.path, create=False) as other, other.transaction():
            other.connection().execute("UPDATE audit_logs SET path = '/late' WHERE id = 'log_7'")
            writing.set()
            begun.wait()

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait()
    database.connection().set_trace_callback(lambda _: begun.set())
    compact(database)
    thread.join()
    found = database.connection().execute("SELECT path FROM audit_logs WHERE id = 'log_7'").fetchone()
    assert found == ("/late",)


def test_a_reader_goes_on_and_sees_what_it_saw(database: Database) -> None:
    with open_database(database.path, create=False) as other, other.snapshot():
        count = "SELECT COUNT(*) FROM audit_logs"
        assert other.connection().execute(count).fetchone() == (60_000,)
        delete_most(database)
        database.connection().execute("PRAGMA busy_timeout = 0")
        compact(database)
        assert other.connection().execute(count).fetchone() == (60_000,)
    assert sound(database)


def test_a_disk_without_room_is_told_beforehand(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    check_space(database, os.environ)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1_000_000))
    with pytest.raises(DatabaseError, match="no room"):
        check_space(database, os.environ)
    delete_most(database)  # what is left is not much to write
    compact(database)
    check_space(database, os.environ)


def test_temporary_files_go_where_sqlite_puts_them(tmp_path: Path) -> None:
    environ = {"SQLITE_TMPDIR": str(tmp_path / "absent"), "TMPDIR": str(tmp_path)}
    assert find_temporary_folder(environ) == tmp_path
    assert find_temporary_folder({}).is_dir()
