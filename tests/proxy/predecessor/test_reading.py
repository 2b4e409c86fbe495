"""The predecessor's file is recognised and read; any other is refused, and none is ever touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from proxy.errors import DatabaseError
from proxy.predecessor.reading import open_predecessor
from proxy.store.database import open_database
from tests.proxy.predecessor.old_database import KEY, LOG, ROUTE, build_old_database, insert_row


def snapshot_folder(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()
    }


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")


def make_older(path: Path) -> None:
    build_old_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE proxy_routes DROP COLUMN match_path")


def make_headless(path: Path) -> None:
    build_old_database(path)
    path.write_bytes(b"x" * 100 + path.read_bytes()[100:])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no database at"),
        (lambda path: path.touch(), "it is empty"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.write_text("hello " * 500), "not a database"),
        (make_headless, "not a database"),
        (make_foreign, "no table api_keys"),
        (make_older, "no column match_path in proxy_routes"),
        (lambda path: open_database(path, create=True).close(), "of FastGate itself"),
    ],
)
def test_anything_else_is_refused_and_untouched(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "old.db"
    make(path)
    before = snapshot_folder(tmp_path)
    with pytest.raises(DatabaseError, match=reason) as caught, open_predecessor(path):
        pass
    assert caught.value.hint
    assert snapshot_folder(tmp_path) == before


def test_rows_are_read_in_their_order_and_the_file_is_untouched(tmp_path: Path) -> None:
    logs = [{**LOG, "id": f"l{n}", "request_time": f"2026-01-31 08:0{n}:00"} for n in (2, 0, 1)]
    path = build_old_database(tmp_path / "old.db", logs=logs)
    path.chmod(0o400)
    before = snapshot_folder(tmp_path)
    with open_predecessor(path) as old:
        old.check("api_keys", "proxy_routes", "audit_logs")
        assert old.read_keys() == [KEY]
        assert old.read_routes() == [ROUTE]
        assert [row["id"] for row in old.read_logs()] == ["l0", "l1", "l2"]
        assert old.count_logs() == 3
        assert list(old.read_request_ids()) == [LOG["request_id"]] * 3
        assert snapshot_folder(tmp_path) == before
    assert snapshot_folder(tmp_path) == before


def test_columns_that_an_older_version_lacks_are_none(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE api_keys DROP COLUMN rate_limit")
    with open_predecessor(path) as old:
        assert old.read_keys() == [{**KEY, "rate_limit": None}]


def test_what_is_still_in_a_write_ahead_log_is_read(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db", journal="WAL")
    with closing(sqlite3.connect(path)) as writer:
        insert_row(writer, "api_keys", {**KEY, "key_id": "late", "key_value": "late-secret"})
        writer.commit()
        with open_predecessor(path) as old:
            assert [row["key_id"] for row in old.read_keys()] == ["fg_0123456789ab", "late"]


def test_a_wal_database_at_rest_is_read_without_a_file_beside_it(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db", journal="WAL")
    with open_predecessor(path) as old:
        assert len(old.read_keys()) == 1
        assert [file.name for file in tmp_path.iterdir()] == ["old.db"]


def test_a_file_in_the_middle_of_a_write_is_refused(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("DELETE FROM api_keys")
        assert (tmp_path / "old.db-journal").stat().st_size > 0
        with pytest.raises(DatabaseError, match="being written"), open_predecessor(path):
            pass


def test_everything_is_seen_at_one_moment(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db", journal="WAL")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE api_keys SET usage_count = 8")
        writer.commit()
        with open_predecessor(path) as old:
            assert old.count_logs() == 1
            writer.execute("DELETE FROM api_keys")
            writer.commit()
            assert len(old.read_keys()) == 1


def test_a_damaged_table_is_told(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db", logs=[{**LOG, "id": f"l{n}"} for n in range(300)])
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit_logs'").fetchone()[
            0
        ]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    with open_predecessor(path) as old:
        old.check("api_keys")
        with pytest.raises(DatabaseError, match="damaged"):
            old.check("audit_logs")


def test_text_that_is_not_utf_8_is_read_with_escapes(tmp_path: Path) -> None:
    path = build_old_database(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE audit_logs SET user_agent = CAST(x'61ff' AS TEXT)")
        connection.commit()
    with open_predecessor(path) as old:
        assert [row["user_agent"] for row in old.read_logs()] == ["a\\xff"]
