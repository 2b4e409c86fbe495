"""Batches in a real database: all or nothing, and nothing twice."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.clock import format_us
from proxy.errors import DatabaseError
from proxy.store.database import Database, open_database
from proxy.store.facts import WordBook
from proxy.store.models import ApiKeyRow, AuditLogRow
from proxy.store.recording import (
    BEGIN_COLUMNS,
    END_COLUMNS,
    INTERRUPTED,
    NO_END,
    Batch,
    finish_writer,
    forget_segments,
    read_offsets,
    write_batch,
)
from proxy.store.statements import Columns

BEGAN_US = 1_769_817_600_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path / "f.db", create=True) as database:
        with database.transaction():
            for name in ("a", "b"):
                ApiKeyRow.insert(key_id=f"key_{name}", key_value=name, source_path="s").execute(
                    database.peewee
                )
        yield database


def write(database: Database, batch: Batch, offsets: dict[str, int]) -> None:
    write_batch(database, batch, offsets, WordBook())


def finish(database: Database, writer_id: str) -> int:
    return finish_writer(database, writer_id, WordBook())


def begin(name: str, writer_id: str = "w") -> Columns:
    values = dict.fromkeys(BEGIN_COLUMNS) | {
        "id": f"log_{name}",
        "request_id": f"req_{name}",
        "method": "GET",
        "path": "/",
        "request_time": format_us(BEGAN_US),
        "writer_id": writer_id,
    }
    return tuple(values.values())


def ending(status: int = 200, error: str | None = None) -> Columns:
    values: dict[str, object] = dict.fromkeys(END_COLUMNS)
    values |= {"status_code": status, "response_time": format_us(BEGAN_US + 9), "error_message": error}
    return tuple(values.values())


def rows(database: Database) -> dict[str, tuple[object, object]]:
    found = database.fetch(
        AuditLogRow.select(AuditLogRow.id, AuditLogRow.status_code, AuditLogRow.error_message)
    )
    return {row["id"].removeprefix("log_"): (row["status_code"], row["error_message"]) for row in found}


def usage(database: Database, key_id: str) -> tuple[int | None, str | None]:
    query = "SELECT usage_count, last_used_at FROM api_keys WHERE key_id = ?"
    count, last = database.connection().execute(query, (key_id,)).fetchone()
    return count, last


def test_every_end_column_goes_where_it_belongs_in_an_update_too(database: Database) -> None:
    values = tuple(f"value {name}" for name in END_COLUMNS)
    write(database, Batch(inserts=[begin("updated") + NO_END, begin("inserted") + values]), {})
    write(database, Batch(ends=[(*values, "log_updated")]), {})

    columns = ", ".join(END_COLUMNS)
    for row in database.connection().execute(f"SELECT {columns} FROM audit_logs"):
        assert tuple(row) == values


def test_writing_a_row_again_changes_nothing(database: Database) -> None:
    batch = Batch(
        inserts=[begin("a") + ending(), begin("b") + NO_END],
        first_bytes=[(format_us(BEGAN_US + 1), True, "log_b")],
        ends=[(*ending(502, "upstream_truncated"), "log_b")],
    )
    write(database, batch, {})
    before = database.connection().execute("SELECT * FROM audit_logs").fetchall()

    write(database, batch, {})
    write(database, Batch(ends=[(*ending(500, "other"), "log_a")]), {})

    assert database.connection().execute("SELECT * FROM audit_logs").fetchall() == before


def test_a_first_byte_that_comes_after_the_end_changes_nothing(database: Database) -> None:
    write(database, Batch(inserts=[begin("a") + ending()]), {})

    write(database, Batch(first_bytes=[(format_us(BEGAN_US + 1), True, "log_a")]), {})

    row = database.connection().execute("SELECT first_response_time, is_stream FROM audit_logs").fetchone()
    assert tuple(row) == (None, None)


def test_a_batch_that_fails_leaves_rows_usage_and_offsets_as_they_were(database: Database) -> None:
    write(database, Batch(), {"w.000001.log": 10})
    batch = Batch(inserts=[begin("a") + NO_END], ends=[(*ending(), object())])
    batch.count_usage("key_a", BEGAN_US)

    with pytest.raises(DatabaseError):
        write(database, batch, {"w.000001.log": 99})

    assert rows(database) == {}
    assert usage(database, "key_a") == (0, None)
    assert read_offsets(database) == {"w.000001.log": 10}


def test_uses_add_up_and_the_last_one_never_goes_back(database: Database) -> None:
    for at_us in (BEGAN_US + 5, BEGAN_US):
        batch = Batch()
        batch.count_usage("key_a", at_us)
        batch.count_usage("key_a", at_us - 1)
        batch.count_usage("key_gone", at_us)
        write(database, batch, {})

    assert usage(database, "key_a") == (4, format_us(BEGAN_US + 5))
    assert usage(database, "key_b") == (0, None)


def test_a_key_whose_count_was_never_set_is_counted(database: Database) -> None:
    database.connection().execute("UPDATE api_keys SET usage_count = NULL")
    batch = Batch()
    for _ in range(3):
        batch.count_usage("key_a", BEGAN_US)

    write(database, batch, {})

    assert usage(database, "key_a")[0] == 3


def test_counting_uses_does_not_make_the_gateway_reload(database: Database) -> None:
    query = "SELECT revision FROM gateway_state"
    before = database.connection().execute(query).fetchone()[0]
    batch = Batch()
    batch.count_usage("key_a", BEGAN_US)

    write(database, batch, {})

    assert database.connection().execute(query).fetchone()[0] == before


def test_what_a_writer_began_adds_up_and_its_last_number_never_goes_back(database: Database) -> None:
    for count, last in ((3, 5), (2, 4)):
        batch = Batch()
        batch.count_requests("w", count, last)
        write(database, batch, {})

    row = database.connection().execute("SELECT writer_id, accepted, stored, pruned FROM journal_writers")
    assert [tuple(found) for found in row] == [("w", 5, 5, 0)]


def test_only_requests_of_the_dead_writer_that_have_not_ended_are_interrupted(database: Database) -> None:
    inserts = [
        begin("dead") + NO_END,
        begin("ended") + ending(),
        begin("failed") + ending(502, "upstream_unreachable"),
        begin("alive", "w2") + NO_END,
    ]
    write(database, Batch(inserts=inserts), {})

    assert finish(database, "w") == 1
    assert finish(database, "w") == 0
    assert rows(database) == {
        "dead": (None, INTERRUPTED),
        "ended": (200, None),
        "failed": (502, "upstream_unreachable"),
        "alive": (None, None),
    }


def test_an_end_that_comes_after_all_replaces_the_interruption(database: Database) -> None:
    write(database, Batch(inserts=[begin("a") + NO_END]), {})
    finish(database, "w")

    write(database, Batch(ends=[(*ending(), "log_a")]), {})

    assert rows(database) == {"a": (200, None)}


def test_offsets_are_kept_replaced_and_forgotten(database: Database) -> None:
    write(database, Batch(), {"a.log": 1, "b.log": 2})
    write(database, Batch(), {"a.log": 3})
    assert read_offsets(database) == {"a.log": 3, "b.log": 2}

    forget_segments(database, ["a.log", "never.log"])
    forget_segments(database, [])

    assert read_offsets(database) == {"b.log": 2}


def test_a_lock_that_is_let_go_in_time_is_waited_for(database: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "f.db", check_same_thread=False, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        release.start()
        write(database, Batch(inserts=[begin("a") + ending()]), {})
        release.join()

    assert rows(database) == {"a": (200, None)}
