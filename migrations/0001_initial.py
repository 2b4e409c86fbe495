"""The first schema: keys, routes and the audit trail, and what the gateway itself has to remember.

Plain SQL, because triggers, partial indexes and exact column types have no peewee expression. The revision
moves with every change that policy can see; counting a key's use is not one.
"""

from __future__ import annotations

from collections.abc import Callable

from peewee import Database
from playhouse.migrate import SchemaMigrator

APPLICATION_ID = 0x46474154  # "FGAT": tells this program's files from every other SQLite file

TABLES = {
    "api_keys": """
        key_id VARCHAR(50) NOT NULL PRIMARY KEY,
        key_value VARCHAR(100) NOT NULL,
        source_path VARCHAR(100) NOT NULL DEFAULT 'default',
        permissions TEXT,
        created_at DATETIME,
        expires_at DATETIME,
        is_active BOOLEAN DEFAULT 1,
        usage_count INTEGER DEFAULT 0,
        rate_limit INTEGER,
        last_used_at DATETIME,
        key_hint VARCHAR(20)
    """,
    "audit_logs": """
        id VARCHAR(50) NOT NULL PRIMARY KEY,
        request_id VARCHAR(50) NOT NULL,
        api_key VARCHAR(100),
        source_path VARCHAR(100),
        method VARCHAR(10) NOT NULL,
        path VARCHAR(500) NOT NULL,
        target_url VARCHAR(500),
        status_code INTEGER,
        request_time DATETIME NOT NULL,
        first_response_time DATETIME,
        response_time DATETIME,
        response_time_ms INTEGER,
        request_size INTEGER,
        response_size INTEGER,
        user_agent VARCHAR(500),
        ip_address VARCHAR(50),
        is_stream BOOLEAN DEFAULT 0,
        stream_chunks INTEGER DEFAULT 0,
        error_message TEXT,
        request_headers TEXT,
        request_body TEXT,
        response_headers TEXT,
        response_body TEXT,
        created_at DATETIME,
        route_id VARCHAR(50),
        gateway_ms FLOAT,
        writer_id VARCHAR(64),
        sequence INTEGER
    """,
    "proxy_routes": """
        route_id VARCHAR(50) NOT NULL PRIMARY KEY,
        route_name VARCHAR(100) NOT NULL,
        description TEXT,
        match_path VARCHAR(500) NOT NULL,
        match_method VARCHAR(20) DEFAULT 'ANY',
        match_headers TEXT,
        match_body_schema TEXT,
        target_host VARCHAR(200) NOT NULL,
        target_path VARCHAR(500) NOT NULL DEFAULT '',
        target_protocol VARCHAR(10) DEFAULT 'http',
        strip_path_prefix BOOLEAN DEFAULT 0,
        add_headers TEXT,
        add_body_fields TEXT,
        remove_headers TEXT,
        timeout INTEGER,
        retry_count INTEGER DEFAULT 0,
        is_active BOOLEAN DEFAULT 1,
        priority INTEGER DEFAULT 100,
        created_at DATETIME,
        updated_at DATETIME
    """,
    "gateway_state": "id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL",
    "journal_segments": 'name VARCHAR(200) NOT NULL PRIMARY KEY, "offset" INTEGER NOT NULL',
}

INDEXES = (
    "CREATE UNIQUE INDEX api_keys_key_value ON api_keys (key_value)",
    "CREATE INDEX api_keys_source_path ON api_keys (source_path)",
    "CREATE INDEX proxy_routes_priority ON proxy_routes (priority)",
    "CREATE INDEX audit_logs_request_time ON audit_logs (request_time)",
    "CREATE INDEX audit_logs_request_id ON audit_logs (request_id)",
    "CREATE INDEX audit_logs_api_key ON audit_logs (api_key, request_time)",
    "CREATE INDEX audit_logs_source_path ON audit_logs (source_path, request_time)",
    "CREATE INDEX audit_logs_route_id ON audit_logs (route_id, request_time)",
    "CREATE INDEX audit_logs_status_code ON audit_logs (status_code, request_time)",
    "CREATE INDEX audit_logs_path ON audit_logs (path, request_time)",
    # Rows in flight are few among millions, and have to be found after every restart.
    "CREATE INDEX audit_logs_in_flight ON audit_logs (writer_id) WHERE response_time IS NULL",
)

# The columns that decisions depend on: a change of any other leaves the revision alone.
POLICY_COLUMNS = {
    "api_keys": "key_id, key_value, source_path, permissions, expires_at, is_active, rate_limit",
    "proxy_routes": """
        route_id, route_name, match_path, match_method, match_headers, match_body_schema, target_host,
        target_path, target_protocol, strip_path_prefix, add_headers, add_body_fields, remove_headers,
        timeout, retry_count, is_active, priority, created_at
    """,
}
MOVE_REVISION = "BEGIN UPDATE gateway_state SET revision = revision + 1 WHERE id = 1; END"


def up(_migrator: SchemaMigrator, db: Database) -> None:
    """Create everything."""
    execute: Callable[[str], object] = db.execute_sql
    execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for table, columns in TABLES.items():
        execute(f"CREATE TABLE {table} ({columns})")
    for index in INDEXES:
        execute(index)
    execute("INSERT INTO gateway_state (id, revision) VALUES (1, 1)")
    for table, columns in POLICY_COLUMNS.items():
        for name, event in (("insert", "INSERT"), ("delete", "DELETE"), ("update", f"UPDATE OF {columns}")):
            execute(f"CREATE TRIGGER {table}_{name} AFTER {event} ON {table} {MOVE_REVISION}")


def down(_migrator: SchemaMigrator, db: Database) -> None:
    """Drop everything, and with the tables their indexes and triggers."""
    execute: Callable[[str], object] = db.execute_sql
    for table in TABLES:
        execute(f"DROP TABLE {table}")
    execute("PRAGMA application_id = 0")
