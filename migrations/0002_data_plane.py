"""What the data plane needs besides: several backends a route, how they are reached, and a key's burst.

SQLite cannot change the columns that a trigger watches: those of both tables are made anew.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

NEW_COLUMNS = {
    "api_keys": {"rate_burst": "INTEGER"},
    "proxy_routes": {
        "targets": "TEXT",  # JSON list of further origins
        "balance": "VARCHAR(20) DEFAULT 'failover'",
        "retry_statuses": "TEXT",  # JSON list of numbers
        "total_timeout": "INTEGER",
        "http_version": "VARCHAR(5) DEFAULT '1.1'",
        "tls_ca": "VARCHAR(500)",
        "tls_verify": "BOOLEAN DEFAULT 1",
        "on_client_abort": "VARCHAR(10) DEFAULT 'cancel'",
    },
}
OLD_POLICY_COLUMNS = {
    "api_keys": "key_id, key_value, source_path, permissions, expires_at, is_active, rate_limit",
    "proxy_routes": """
        route_id, route_name, match_path, match_method, match_headers, match_body_schema, target_host,
        target_path, target_protocol, strip_path_prefix, add_headers, add_body_fields, remove_headers,
        timeout, retry_count, is_active, priority, created_at
    """,
}
MOVE_REVISION = "BEGIN UPDATE gateway_state SET revision = revision + 1 WHERE id = 1; END"


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, and have a change of one move the revision."""
    execute: Callable[[str], object] = db.execute_sql
    for table, columns in NEW_COLUMNS.items():
        for name, declaration in columns.items():
            execute(f"ALTER TABLE {table} ADD COLUMN {name} {declaration}")
        watch_columns(execute, table, f"{OLD_POLICY_COLUMNS[table]}, {', '.join(columns)}")


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Drop the columns again."""
    execute: Callable[[str], object] = db.execute_sql
    for table, columns in NEW_COLUMNS.items():
        watch_columns(execute, table, OLD_POLICY_COLUMNS[table])
        for name in columns:
            execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def watch_columns(execute: Callable[[str], object], table: str, columns: str) -> None:
    """Make the trigger anew that moves the revision when one of these columns is updated."""
    execute(f"DROP TRIGGER {table}_update")
    execute(f"CREATE TRIGGER {table}_update AFTER UPDATE OF {columns} ON {table} {MOVE_REVISION}")
