"""What a route may allow besides: a foreign credential sent on, `%2F` in a path, redirects left as they are.

SQLite cannot change the columns that a trigger watches: the trigger of the table is made anew.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

NEW_COLUMNS = {
    "pass_credential": "BOOLEAN DEFAULT 0",
    "encoded_slash": "BOOLEAN DEFAULT 0",
    "keep_redirects": "BOOLEAN DEFAULT 0",
}
OLD_POLICY_COLUMNS = """
    route_id, route_name, match_path, match_method, match_headers, match_body_schema, target_host,
    target_path, target_protocol, strip_path_prefix, add_headers, add_body_fields, remove_headers,
    timeout, retry_count, is_active, priority, created_at, targets, balance, retry_statuses, total_timeout,
    http_version, tls_ca, tls_verify, on_client_abort
"""
MOVE_REVISION = "BEGIN UPDATE gateway_state SET revision = revision + 1 WHERE id = 1; END"


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, and have a change of one move the revision."""
    execute: Callable[[str], object] = db.execute_sql
    for name, declaration in NEW_COLUMNS.items():
        execute(f"ALTER TABLE proxy_routes ADD COLUMN {name} {declaration}")
    watch_columns(execute, f"{OLD_POLICY_COLUMNS}, {', '.join(NEW_COLUMNS)}")


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Drop the columns again."""
    execute: Callable[[str], object] = db.execute_sql
    watch_columns(execute, OLD_POLICY_COLUMNS)
    for name in NEW_COLUMNS:
        execute(f"ALTER TABLE proxy_routes DROP COLUMN {name}")


def watch_columns(execute: Callable[[str], object], columns: str) -> None:
    """Make the trigger anew that moves the revision when one of these columns is updated."""
    execute("DROP TRIGGER proxy_routes_update")
    execute(f"CREATE TRIGGER proxy_routes_update AFTER UPDATE OF {columns} ON proxy_routes {MOVE_REVISION}")
