"""Statements for `executemany`: peewee writes each once, and the rows are handed to the driver as they are.

Building a peewee query for each row costs several times as much as the row itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import peewee

from proxy.store.database import Database

Columns = tuple[object, ...]
_ROWS_PER_STATEMENT = 32
PeeweeKind = Callable[[None], peewee.Database]  # a class of databases: what differs is the dialect


class RowNames(NamedTuple):
    """The columns of rows that are inserted together, as `insert_rows` is given their values."""

    common: tuple[str, ...]
    head: tuple[str, ...]
    rest: tuple[str, ...]


def kind_of(database: Database) -> PeeweeKind:
    """Return what the statements for a database depend on."""
    return type(database.peewee)


def execute_many(database: Database, statement: str, rows: Sequence[Columns]) -> int:
    """Execute a statement for each row, and return how many rows of the table it has changed."""
    if not rows:
        return 0
    return max(0, database.connection().executemany(statement, rows).rowcount)


def insert_rows(
    database: Database,
    model: type[peewee.Model],
    names: RowNames,
    common: Columns,
    heads: Sequence[Columns],
    rests: list[Any],
) -> int:
    """Insert rows, and return how many of them were not there already.

    `common` are values that all of them have; `heads` has a tuple for each, often the same as the one before;
    `rests` has what is left of one row after what is left of another.

    A statement inserts many rows: SQLite is entered once for all of them, and what they have in common is
    handed over once, which is half the cost of one by one. They stay in their order, which is about that of
    the tables' keys: to sort them by their heads costs more than it saves, since all pages are touched then.
    """
    width, inserted, start = len(names.rest), 0, 0
    cursor, kind = database.connection().cursor(), kind_of(database)
    while left := len(heads) - start:
        # Powers of two, since SQLite has to prepare a statement for each number of rows.
        count = min(_ROWS_PER_STATEMENT, 1 << left.bit_length() - 1)
        end = start + count
        some, values = heads[start:end], rests[start * width : end * width]
        if some.count(some[0]) == count:
            statement = _rows_statement(kind, model, names.common + names.head, names.rest, count)
            parameters = [*common, *some[0], *values]
        else:
            statement = _rows_statement(kind, model, names.common, names.head + names.rest, count)
            parameters = list(common)
            for number, head in enumerate(some):
                parameters += head
                parameters += values[number * width : (number + 1) * width]
        inserted += cursor.execute(statement, parameters).rowcount
        start = end
    return inserted


@lru_cache(maxsize=64)
def _rows_statement(
    kind: PeeweeKind, model: type[peewee.Model], common: tuple[str, ...], own: tuple[str, ...], count: int
) -> str:
    """Return an INSERT of rows: the common parameters come once, then those of each row."""
    first = [f"?{number}" for number in range(1, len(common) + 1)]
    starts = range(len(first) + 1, len(first) + 1 + count * len(own), len(own))
    rows = [[*first, *(f"?{number}" for number in range(start, start + len(own)))] for start in starts]
    statement = insert_statement(kind, model, common + own)
    return statement.replace(", ".join("?" * len(common + own)), "), (".join(map(", ".join, rows)))


@lru_cache(maxsize=8)
def insert_statement(kind: PeeweeKind, model: type[peewee.Model], names: tuple[str, ...]) -> str:
    """Return an INSERT of these columns that leaves a row alone which is there already."""
    fields = [getattr(model, name) for name in names]
    return _write(kind, model.insert_many([(None,) * len(names)], fields=fields).on_conflict_ignore())


@lru_cache(maxsize=16)
def update_statement(
    kind: PeeweeKind, model: type[peewee.Model], names: tuple[str, ...], condition: Callable[[], Any]
) -> str:
    """Return an UPDATE of these columns; parameters of the condition come behind those of the columns.

    The names have to be in the order of the model's fields, which is peewee's. `condition` is a module's
    function, so that the statement is written once.
    """
    assert list(names) == [name for name in model._meta.sorted_field_names if name in names]
    return _write(kind, model.update({getattr(model, name): None for name in names}).where(condition()))


@lru_cache(maxsize=16)
def write_statement(kind: PeeweeKind, build: Callable[[], Any]) -> str:
    """Return the statement of a query that a module's function builds, its values in place of parameters."""
    return _write(kind, build())


@lru_cache(maxsize=4)
def delete_statement(kind: PeeweeKind, model: type[peewee.Model], condition: Callable[[], Any]) -> str:
    """Return a DELETE with the parameters of a condition, which is as for `update_statement`."""
    return _write(kind, model.delete().where(condition()))


def _write(kind: PeeweeKind, query: Any) -> str:
    # The query lends its statement; the parameters are the rows', in the order of its placeholders.
    statement: str = query.bind(kind(None)).sql()[0]
    return statement
