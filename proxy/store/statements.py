"""Statements for `executemany`: peewee writes each once, and the rows are handed to the driver as they are.

Building a peewee query for each row costs several times as much as the row itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import peewee

from proxy.store.database import Database

Columns = tuple[object, ...]
PeeweeKind = Callable[[None], peewee.Database]  # a class of databases: what differs is the dialect


def kind_of(database: Database) -> PeeweeKind:
    """Return what the statements for a database depend on."""
    return type(database.peewee)


def execute_many(database: Database, statement: str, rows: Sequence[Columns]) -> int:
    """Execute a statement for each row, and return how many rows of the table it has changed."""
    if not rows:
        return 0
    return max(0, database.connection().executemany(statement, rows).rowcount)


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
