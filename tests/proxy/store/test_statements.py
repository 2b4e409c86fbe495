"""Statements that are written once: what they change, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.store.database import open_database
from proxy.store.models import JournalSegment
from proxy.store.statements import execute_many, insert_statement, kind_of, update_statement


def is_this_one() -> Any:
    return JournalSegment.name == ""


def test_rows_that_are_there_stay_and_the_count_is_of_those_that_were_not(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database:
        kind = kind_of(database)
        insert = insert_statement(kind, JournalSegment, ("name", "offset"))
        assert execute_many(database, insert, [("a", 1), ("b", 2)]) == 2
        assert execute_many(database, insert, [("b", 9), ("c", 3)]) == 1
        assert execute_many(database, insert, []) == 0
        update = update_statement(kind, JournalSegment, ("offset",), is_this_one)
        assert execute_many(database, update, [(5, "a"), (6, "nobody")]) == 1
        rows = database.connection().execute("SELECT * FROM journal_segments ORDER BY name").fetchall()
        assert [tuple(row) for row in rows] == [("a", 5), ("b", 2), ("c", 3)]


def test_columns_in_another_order_than_the_model_s_are_a_mistake(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database, pytest.raises(AssertionError):
        update_statement(kind_of(database), JournalSegment, ("offset", "name"), is_this_one)
