"""Builds a database as M-FastGate 0.4 leaves one behind: its tables, and rows in its spelling."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
SECRET = "fg_Kq3vW-Zt8_XbN1pLs6RyUe0HdJm4GcA9oTfQ2wEiBx5"
OTHER_SECRET = "fg_aaaaBBBBccccDDDDeeeeFFFFggggHHHHiiiiJJJJkkk"
COLUMNS = {
    "api_keys": """
        key_id VARCHAR(50) NOT NULL, key_value VARCHAR(100) NOT NULL, source_path VARCHAR(100) NOT NULL,
        permissions TEXT, created_at DATETIME, expires_at DATETIME, is_active BOOLEAN, usage_count INTEGER,
        rate_limit INTEGER, last_used_at DATETIME, PRIMARY KEY (key_id)
    """,
    "proxy_routes": """
        route_id VARCHAR(50) NOT NULL, route_name VARCHAR(100) NOT NULL, description TEXT,
        match_path VARCHAR(500) NOT NULL, match_method VARCHAR(20), match_headers TEXT,
        match_body_schema TEXT, target_host VARCHAR(200) NOT NULL, target_path VARCHAR(500) NOT NULL,
        target_protocol VARCHAR(10), strip_path_prefix BOOLEAN, add_headers TEXT, add_body_fields TEXT,
        remove_headers TEXT, timeout INTEGER, retry_count INTEGER, is_active BOOLEAN, priority INTEGER,
        created_at DATETIME, updated_at DATETIME, PRIMARY KEY (route_id)
    """,
    "audit_logs": """
        id VARCHAR(50) NOT NULL, request_id VARCHAR(50) NOT NULL, api_key VARCHAR(100),
        source_path VARCHAR(100), method VARCHAR(10) NOT NULL, path VARCHAR(500) NOT NULL,
        target_url VARCHAR(500), status_code INTEGER, request_time DATETIME NOT NULL,
        first_response_time DATETIME, response_time DATETIME, response_time_ms INTEGER,
        request_size INTEGER, response_size INTEGER, user_agent VARCHAR(500), ip_address VARCHAR(50),
        error_message TEXT, is_stream BOOLEAN, stream_chunks INTEGER, request_headers TEXT,
        request_body TEXT, response_headers TEXT, response_body TEXT, created_at DATETIME, PRIMARY KEY (id)
    """,
}
KEY: Row = {
    "key_id": "fg_0123456789ab",
    "key_value": SECRET,
    "source_path": "team-a",
    "permissions": "[]",
    "created_at": "2026-01-31 08:00:00",
    "expires_at": "2030-01-31 08:00:00.250000",
    "is_active": 1,
    "usage_count": 7,
    "rate_limit": 60,
    "last_used_at": None,
}
ROUTE: Row = {
    "route_id": "general",
    "route_name": "general",
    "description": None,
    "match_path": "/v1/*",
    "match_method": "ANY",
    "match_headers": None,
    "match_body_schema": None,
    "target_host": "127.0.0.1:9110",
    "target_path": "/v1/",
    "target_protocol": "http",
    "strip_path_prefix": 1,
    "add_headers": None,
    "add_body_fields": None,
    "remove_headers": None,
    "timeout": 30,
    "retry_count": 0,
    "is_active": 1,
    "priority": 100,
    "created_at": "2026-01-31 08:00:01.000000",
    "updated_at": "2026-01-31 08:00:01.000004",
}
LOG: Row = {
    "id": "log_0123456789ab",
    "request_id": "req_0123456789ab",
    "api_key": SECRET,
    "source_path": None,
    "method": "POST",
    "path": "/v1/chat/completions",
    "target_url": "http://127.0.0.1:9110/v1/chat/completions",
    "status_code": 200,
    "request_time": "2026-01-31 08:01:00.500000",
    "first_response_time": None,
    "response_time": "2026-01-31 08:01:00.750000",
    "response_time_ms": 250,
    "request_size": 12,
    "response_size": 8,
    "user_agent": "curl/8",
    "ip_address": "127.0.0.1",
    "error_message": None,
    "is_stream": 0,
    "stream_chunks": 0,
    "request_headers": '{"host": "gw", "authorization": "[REDACTED]"}',
    "request_body": '{"model": "q"}',
    "response_headers": '{"content-type": "application/json"}',
    "response_body": "b'{\"ok\":1}'",
    "created_at": "2026-01-31 08:01:00.600000",
}
UNFINISHED: Row = {
    "status_code": None,
    "response_time": None,
    "response_time_ms": None,
    "response_headers": None,
    "response_body": None,
}


def build_old_database(
    path: Path,
    *,
    keys: Sequence[Row] = (KEY,),
    routes: Sequence[Row] = (ROUTE,),
    logs: Sequence[Row] = (LOG,),
    journal: str = "DELETE",
) -> Path:
    """Write such a database and return its path."""
    rows = {"api_keys": keys, "proxy_routes": routes, "audit_logs": logs}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        for table, columns in COLUMNS.items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
            for row in rows[table]:
                insert_row(connection, table, row)
        connection.execute("CREATE UNIQUE INDEX ix_api_keys_key_value ON api_keys (key_value)")
        connection.execute("CREATE INDEX ix_audit_logs_request_time ON audit_logs (request_time)")
        connection.commit()
    return path


def insert_row(connection: sqlite3.Connection, table: str, row: Row) -> None:
    """Insert one row, given in full."""
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def make_logs(count: int) -> list[Row]:
    """Return many rows of the audit trail, all of one kind, each a microsecond after the one before."""
    return [
        {
            **LOG,
            "id": f"log_{n:012}",
            "request_id": f"req_{n:012}",
            "request_time": f"2026-01-31 08:01:00.{n:06}",
        }
        for n in range(count)
    ]
