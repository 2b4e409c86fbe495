"""Requests that a trusted proxy has given an id are found by it.

Of every other request the id can be told from that of its row: those are not in the index.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

INDEX = """
    CREATE INDEX audit_logs_given ON audit_logs (request_id)
    WHERE writer_id IS NOT NULL AND request_id <> 'req_' || substr(id, 5)
"""


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Make the index."""
    execute: Callable[[str], object] = db.execute_sql
    execute(INDEX)


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Drop it again."""
    execute: Callable[[str], object] = db.execute_sql
    execute("DROP INDEX audit_logs_given")
