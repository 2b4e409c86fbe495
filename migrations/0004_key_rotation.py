"""What rotating a key needs: the secret it had before, until when that works, and who still uses it.

The policy sees the digest and the end of the previous secret, so that a change of either moves the revision;
that it was used is counted like every use, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

NEW_COLUMNS = {
    "rotated_at": "DATETIME",
    "previous_key_value": "VARCHAR(100)",  # digest
    "previous_key_hint": "VARCHAR(20)",
    "previous_expires_at": "DATETIME",
    "previous_last_used_at": "DATETIME",
    "previous_last_used_ip": "VARCHAR(50)",
}
OLD_POLICY_COLUMNS = (
    "key_id, key_value, source_path, permissions, expires_at, is_active, rate_limit, rate_burst"
)
MOVE_REVISION = "BEGIN UPDATE gateway_state SET revision = revision + 1 WHERE id = 1; END"


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Add the columns, and have a change of what policy sees of them move the revision."""
    execute: Callable[[str], object] = db.execute_sql
    for name, declaration in NEW_COLUMNS.items():
        execute(f"ALTER TABLE api_keys ADD COLUMN {name} {declaration}")
    execute(
        "CREATE UNIQUE INDEX api_keys_previous_key_value ON api_keys (previous_key_value)"
        " WHERE previous_key_value IS NOT NULL"
    )
    watch_columns(execute, f"{OLD_POLICY_COLUMNS}, previous_key_value, previous_expires_at")


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Drop the columns again: from then on previous secrets are unknown."""
    execute: Callable[[str], object] = db.execute_sql
    watch_columns(execute, OLD_POLICY_COLUMNS)
    execute("DROP INDEX api_keys_previous_key_value")
    for name in NEW_COLUMNS:
        execute(f"ALTER TABLE api_keys DROP COLUMN {name}")


def watch_columns(execute: Callable[[str], object], columns: str) -> None:
    """Make the trigger anew that moves the revision when one of these columns is updated."""
    execute("DROP TRIGGER api_keys_update")
    execute(f"CREATE TRIGGER api_keys_update AFTER UPDATE OF {columns} ON api_keys {MOVE_REVISION}")
