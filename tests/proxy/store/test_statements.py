"""Statements that are written once: what they change, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.store.database import open_database
from proxy.store.models import JournalSegment, LogWord
from proxy.store.statements import (
    RowNames,
    execute_many,
    insert_rows,
    insert_statement,
    kind_of,
    update_statement,
)

WORDS = st.sampled_from([("GET",), ("POST",)])


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


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from([("GET",), ("POST",)])), max_size=100), st.data()
)
def test_rows_are_inserted_with_what_they_have_in_common_and_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, tuple[str]]], data: st.DataObject
) -> None:
    first: dict[int, tuple[object, ...]] = {}
    names = RowNames(("kind",), ("word",), ("n", "last_day"))
    for number, word in wanted:
        first.setdefault(number, (number, "k", *word, number * 2))
    cut = data.draw(st.integers(0, len(wanted)))
    with open_database(tmp_path_factory.mktemp("db") / "f.db", create=True) as database:
        database.connection().execute("DROP INDEX log_words_word")
        inserted = [
            insert_rows(
                *(database, LogWord, names, ("k",), [word for _, word in some]),
                [value for number, _ in some for value in (number, number * 2)],
            )
            for some in (wanted[:cut], wanted[cut:])
        ]
        rows = database.connection().execute("SELECT * FROM log_words ORDER BY n").fetchall()
    assert sum(inserted) == len(first)
    assert [tuple(row) for row in rows] == [first[number] for number in sorted(first)]


def test_columns_in_another_order_than_the_model_s_are_a_mistake(tmp_path: Path) -> None:
    with open_database(tmp_path / "f.db", create=True) as database, pytest.raises(AssertionError):
        update_statement(kind_of(database), JournalSegment, ("offset", "name"), is_this_one)
