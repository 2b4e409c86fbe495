"""A backup is consistent, checked, private and complete, or it is not there."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import ConflictError, DatabaseError, InvalidInputError
from proxy.store.backup import PAGES_PER_STEP, back_up
from proxy.store.database import PAGE_BYTES, Database, open_database
from proxy.store.keys import create_key, list_keys

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
BACK_UP = """
import resource, sys
from pathlib import Path
from proxy.store.backup import back_up
from proxy.store.database import PAGE_BYTES, open_database
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
with open_database(Path(sys.argv[1]), create=False) as database:
    back_up(database, Path(sys.argv[2]), replace=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "data" / "f.db", create=True) as opened:
        create_key(opened, key_prefix="fg_", source="kept", now=NOW)
        yield opened


def fill(database: Database, pages: int) -> None:
    """Make a database larger, by about as many pages."""
    with database.transaction():
        database.connection().execute(
            "INSERT INTO audit_logs (id, request_id, method, path, request_time, request_body) "
            "VALUES ('l', 'r', 'GET', '/', '2026-01-31T08:00:00.000000+08:00', zeroblob(?))",
            (pages * PAGE_BYTES,),
        )


def test_a_backup_is_one_private_file_that_opens_as_a_database(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    umask = os.umask(0)
    try:
        size = back_up(database, target)
    finally:
        os.umask(umask)
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "data"]
    with open_database(target, create=False) as copy:
        assert [row["source_path"] for row in list_keys(copy, now=NOW)] == ["kept"]


def test_what_is_written_meanwhile_neither_stops_nor_changes_it(database: Database, tmp_path: Path) -> None:
    fill(database, PAGES_PER_STEP * 3)
    steps: list[tuple[int, int]] = []

    def write(copied: int, total: int) -> None:
        steps.append((copied, total))
        with open_database(database.path, create=False) as other:
            create_key(other, key_prefix="fg_", source="late", now=NOW)

    back_up(database, tmp_path / "backup.db", on_progress=write)
    assert [copied for copied, _ in steps] == sorted({copied for copied, _ in steps})
    assert steps[-1][0] == steps[-1][1]
    with open_database(tmp_path / "backup.db", create=False) as copy:
        assert [row["source_path"] for row in list_keys(copy, now=NOW)] == ["kept"]


def test_what_is_there_is_replaced_only_if_asked(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    target.write_text("precious")
    with pytest.raises(ConflictError, match="there already"):
        back_up(database, target)
    assert target.read_text() == "precious"
    back_up(database, target, replace=True)
    assert target.read_bytes().startswith(b"SQLite format 3")


def test_a_file_that_appears_meanwhile_is_not_replaced(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"

    def appear(_copied: int, _total: int) -> None:
        target.write_text("precious")

    with pytest.raises(ConflictError):
        back_up(database, target, on_progress=appear)
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "data"]


def test_without_links_the_file_gets_its_name_all_the_same(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    back_up(database, tmp_path / "backup.db")
    assert (tmp_path / "backup.db").exists()


@pytest.mark.parametrize("place", ["data/f.db", "data", "missing/backup.db"])
@pytest.mark.parametrize("replace", [True, False])
def test_places_where_no_backup_can_go(database: Database, tmp_path: Path, place: str, replace: bool) -> None:
    with pytest.raises(InvalidInputError) as caught:
        back_up(database, tmp_path / place, replace=replace)
    assert caught.value.hint
    assert len(list_keys(database, now=NOW)) == 1


def test_a_link_to_the_database_is_the_database(database: Database, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(database.path)
    with pytest.raises(InvalidInputError, match="itself"):
        back_up(database, tmp_path / "link.db", replace=True)


def test_an_interruption_leaves_nothing(database: Database, tmp_path: Path) -> None:
    def interrupt(_copied: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(database, tmp_path / "backup.db", on_progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_full_disk_leaves_nothing_and_the_old_backup(database: Database, tmp_path: Path) -> None:
    fill(database, 100)
    (tmp_path / "backup.db").write_text("the old one")
    command = [sys.executable, "-c", BACK_UP, str(database.path), str(tmp_path / "backup.db"), str(64 * 1024)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DatabaseError" in done.stderr
    assert (tmp_path / "backup.db").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "data"]


def test_a_copy_that_is_not_sound_is_deleted(database: Database, tmp_path: Path) -> None:
    fill(database, 100)
    database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = database.path
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'api_keys_source_path'"
        ).fetchone()[0]
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    with pytest.raises(DatabaseError, match=r"not sound|damaged"):
        back_up(database, tmp_path / "backup.db")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_database_that_cannot_be_written_can_be_backed_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    # Asked instead of set: the tests may run as root, who may write anything.
    monkeypatch.setattr("os.access", lambda path, _: path != database.path)
    with open_database(database.path, create=False) as read_only:
        back_up(read_only, tmp_path / "backup.db")
    assert (tmp_path / "backup.db").exists()
